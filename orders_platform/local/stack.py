"""The local platform as a whole: where its parts are, starting and stopping them in order."""

import shutil
from collections.abc import Callable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from orders_platform.local import broker, jars, java, mongod
from orders_platform.local import home as homes
from orders_platform.settings import Settings
from orders_platform.store.client import connect
from orders_platform.store.schema import migrate
from orders_platform.streams.topics import ensure_topics

PARTS = ("kafka", "mongo", "matcher")
"""What `up` can start, in the order in which one needs the other."""
_OURS = (
    *("checkpoint", "dagster", "kafka", "logs", "mongo", "prometheus"),
    *("run", "spark", "spark-statements", "statements"),
)
_OURS_PATTERNS = ("checkpoint.damaged-*",)


@dataclass(frozen=True)
class Endpoints:
    """Where Kafka and MongoDB are, and how to speak to them. What may hold a secret is not shown by `repr`."""

    bootstrap_servers: str
    mongo_uri: str = field(repr=False)
    kafka_client: Mapping[str, str] = field(default_factory=dict, repr=False)


def endpoints(settings: Settings) -> Endpoints:
    """Return what the settings name, and this home's own processes for what they leave open.

    Raises:
        StackError: a process of this home is needed and does not run.
        SettingsError: a file that holds a secret can't be read.
    """
    return Endpoints(
        bootstrap_servers=bootstrap_servers(settings),
        mongo_uri=mongo_uri(settings),
        kafka_client=settings.kafka.client_properties(),
    )


def bootstrap_servers(settings: Settings) -> str:
    """Return Kafka's address alone, as `endpoints` does.

    Raises:
        StackError: this home's broker is needed and does not run.
    """
    return settings.kafka.bootstrap_servers or broker.bootstrap_servers(settings.home)


def mongo_uri(settings: Settings) -> str:
    """Return MongoDB's address alone, as `endpoints` does: it may hold a password.

    Raises:
        StackError: this home's MongoDB is needed and does not run.
        SettingsError: the file that holds it can't be read.
    """
    return settings.mongo.given_uri() or mongod.uri(settings.home)


def up(settings: Settings, only: Set[str] = frozenset(PARTS), progress: jars.Progress | None = None) -> None:
    """Start the services of `only` that the settings leave to this home, and make topics, indexes and validators.

    For a matcher on this machine it sees that Java and Spark's connector are there; starting it is its supervisor's
    business. What runs already stays as it is.

    Raises:
        MissingDependency: Java, mongod or a jar is missing.
        StackError: a process does not start, or the home can't be written.
        ServiceUnavailable, StoreError: a service that the settings name can't be reached.
    """
    home = settings.home
    report = progress or (lambda _what, _done, _total: None)
    tasks: list[Callable[[], object]] = []
    if "kafka" in only:
        tasks.append(lambda: _kafka_up(settings, report))
    if "mongo" in only:
        tasks.append(lambda: _mongo_up(settings, report))
    with homes.locked(home), ThreadPoolExecutor(len(PARTS)) as pool:
        spark_here = "matcher" in only and settings.matcher.backend == "local"
        if "kafka" in only or spark_here:
            java.ensure_java()
        if spark_here:
            tasks.append(lambda: jars.spark_connector_jars(report))
        started = [pool.submit(task) for task in tasks]
        for task in started:
            task.result()


def down(settings: Settings, *, purge: bool = False) -> list[str]:
    """Stop the broker and the mongod of this home; return the names of those that ran.

    With `purge` everything that the platform made in the home is deleted; other files stay.

    Raises:
        StackError: a process does not end, or the home can't be written.
    """
    home = settings.home
    if not home.exists():
        return []
    with homes.locked(home):
        stopped = [name for name, stop in ((broker.NAME, broker.stop), (mongod.NAME, mongod.stop)) if stop(home)]
        if purge:
            with homes.writing(home):
                _purge(home)
    return stopped


def _kafka_up(settings: Settings, report: jars.Progress) -> None:
    bootstrap_servers = settings.kafka.bootstrap_servers
    if bootstrap_servers is None:
        report("Starting Kafka", 0, 1)
        broker.start(settings.home, settings.local.kafka_port, report)
        bootstrap_servers = broker.bootstrap_servers(settings.home)
    kafka = settings.kafka
    ensure_topics(bootstrap_servers, kafka.client_properties(), kafka.topics, kafka.partitions)
    report("Starting Kafka", 1, 1)


def _mongo_up(settings: Settings, report: jars.Progress) -> None:
    uri = settings.mongo.given_uri()
    if uri is None:
        report("Starting MongoDB", 0, 1)
        mongod.start(settings.home, settings.local.mongo_port)
        uri = mongod.uri(settings.home)
    store = connect(uri, settings.mongo.database)
    try:
        migrate(store)
    finally:
        store.close()
    report("Starting MongoDB", 1, 1)


def _purge(home: Path) -> None:
    for pattern in (*_OURS, *_OURS_PATTERNS):
        for path in home.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
    if not any(home.iterdir()):
        home.rmdir()
