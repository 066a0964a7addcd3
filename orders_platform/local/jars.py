"""The jars of the broker and of Spark's Kafka connector: pinned, fetched once, verified at every use.

`locks/jars.toml` names them with their SHA-256. What is missing or damaged in the cache is fetched by the Ivy that
PySpark brings, through a user's Ivy settings where there are any. With a full cache no network is needed.
"""

import hashlib
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from xml.sax.saxutils import quoteattr

import msgspec

from orders_platform.errors import MissingDependency
from orders_platform.local import processes
from orders_platform.local.java import ensure_java

LOCK = Path(__file__).resolve().parents[2] / "locks" / "jars.toml"
Progress = Callable[[str, int, int], None]
"""Is told what is going on, how much of it is done and how much there is."""

# Maven Central as Ivy knows it, without reading POMs: the lock is the whole closure already.
_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <property name="ivy.checksums" value=""/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>"""
_PATTERN = "[organisation]__[artifact]-[revision](-[classifier]).[ext]"
_FETCH_TIMEOUT_S = 900.0


class Jar(msgspec.Struct, frozen=True):
    """One Maven artifact and the SHA-256 of its file."""

    organisation: str
    name: str
    revision: str
    sha256: str
    classifier: str = ""

    @property
    def file_name(self) -> str:
        """Its name in the cache."""
        kind = f"-{self.classifier}" if self.classifier else ""
        return f"{self.organisation}__{self.name}-{self.revision}{kind}.jar"


def broker_classpath(progress: Progress | None = None) -> list[Path]:
    """Return the verified jars of the local broker, fetched where they are missing.

    Raises:
        MissingDependency: Java is missing, or a jar can't be had as it was pinned.
    """
    return ensure("broker", progress)


def spark_connector_jars(progress: Progress | None = None) -> list[Path]:
    """Return the verified jars of the Kafka connector for the installed PySpark, fetched where they are missing.

    Raises:
        MissingDependency: PySpark or Java is missing, or a jar can't be had as it was pinned.
    """
    return ensure(f"spark-{_pyspark_version()}", progress)


def ensure(group: str, progress: Progress | None = None, cache: Path | None = None) -> list[Path]:
    """Return the verified jars of one group of the lock, fetched into the cache where they are missing.

    Raises:
        MissingDependency: the group is unknown, Java is missing, or a jar can't be had as it was pinned.
    """
    jars = locked(group)
    folder = cache or cache_folder()
    wrong = [jar for jar in jars if not verified(folder, jar)]
    if wrong:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _fetch(group, wrong, folder, progress)
        except OSError as error:
            raise MissingDependency(
                f"The jar cache {folder} can't be written: {error.strerror or error}.",
                "Free the disk, or choose another place with ORDERS_CACHE.",
            ) from error
    return [folder / jar.file_name for jar in jars]


def locked(group: str) -> list[Jar]:
    """Return the jars that the lock names for `group`.

    Raises:
        MissingDependency: the lock is missing or does not know the group.
    """
    try:
        pinned: dict[str, str] = tomllib.loads(LOCK.read_text())[group]
    except OSError as error:
        raise MissingDependency(f"The lock {LOCK} can't be read.", "Restore it from the repository.") from error
    except KeyError:
        raise MissingDependency(
            f"{LOCK.name} has no jars for {group}.", "Install the PySpark that pyproject.toml pins."
        ) from None
    return [_jar(coordinates, digest) for coordinates, digest in pinned.items()]


def cache_folder() -> Path:
    """Return where jars are kept for all homes of a user: `$ORDERS_CACHE`, else the user's cache directory."""
    if given := os.environ.get("ORDERS_CACHE"):
        return Path(given) / "jars"
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "orders-platform" / "jars"


def verified(folder: Path, jar: Jar) -> bool:
    """Say whether the cache holds this very jar. Hashing all of them takes some hundredths of a second."""
    try:
        with (folder / jar.file_name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _jar(coordinates: str, sha256: str) -> Jar:
    organisation, name, revision, *classifier = coordinates.split(":")
    return Jar(organisation, name, revision, sha256, *classifier)


def _pyspark_home() -> Path:
    """Locate PySpark without importing it."""
    try:
        return Path(str(metadata.distribution("pyspark").locate_file("pyspark")))
    except metadata.PackageNotFoundError:
        raise MissingDependency("PySpark is not installed.", "Run the platform through `./orders`.") from None


def _pyspark_version() -> str:
    _pyspark_home()
    return metadata.version("pyspark")


def _fetch(group: str, jars: Sequence[Jar], folder: Path, progress: Progress | None) -> None:
    """Fetch beside the cache, verify, and move into it one whole file at a time: two may do so at once."""
    ivy = next(iter((_pyspark_home() / "jars").glob("ivy-*.jar")), None)
    if ivy is None:
        raise MissingDependency("PySpark came without its Ivy.", "Delete .venv and run `./orders` again.")
    java = ensure_java()
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch_name:
        scratch = Path(scratch_name)
        (scratch / "ivy.xml").write_text(_module(jars))
        command = [java, "-jar", ivy, "-ivy", scratch / "ivy.xml", "-cache", scratch / "cache", "-types", "jar"]
        command += ["-settings", _settings(scratch), "-retrieve", scratch / "out" / _PATTERN]
        output = _run(command, f"Fetching jars of {group}", len(jars), progress)
        for jar in jars:
            fetched = scratch / "out" / jar.file_name
            if not fetched.exists():
                raise MissingDependency(
                    f"The jar {jar.file_name} could not be fetched ({_reason(output)}).",
                    "Connect to the network, or name your Ivy settings file with ORDERS_IVY_SETTINGS.",
                )
            if not verified(scratch / "out", jar):
                raise MissingDependency(
                    f"The jar {jar.file_name} that was fetched is not the one that was pinned.",
                    "Check what your repository serves; don't use it before that is known.",
                )
            fetched.replace(folder / jar.file_name)


def _module(jars: Sequence[Jar]) -> str:
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.organisation)} name={quoteattr(jar.name)} rev={quoteattr(jar.revision)}"
        f' transitive="false" conf="default->*">'
        f'<artifact name={quoteattr(jar.name)} type="jar" ext="jar"{_classified(jar)}/></dependency>'
        for jar in jars
    )
    info = '<info organisation="orders-platform" module="jars"/>'
    return f'<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">{info}<dependencies>{dependencies}</dependencies></ivy-module>'


def _classified(jar: Jar) -> str:
    return f" m:classifier={quoteattr(jar.classifier)}" if jar.classifier else ""


def _settings(scratch: Path) -> Path:
    """Return the user's Ivy settings file, else one that names Maven Central as Ivy knows it."""
    given = os.environ.get("ORDERS_IVY_SETTINGS")
    usual = Path.home() / ".ivy2" / "ivysettings.xml"
    if given:
        if not Path(given).is_file():
            raise MissingDependency(f"There is no Ivy settings file {given}.", "Correct ORDERS_IVY_SETTINGS.")
        return Path(given)
    if usual.is_file():
        return usual
    ours = scratch / "settings.xml"
    ours.write_text(_SETTINGS)
    return ours


def _run(command: Sequence[str | Path], what: str, total: int, progress: Progress | None) -> list[str]:
    env = processes.environment({name: os.environ[name] for name in ("JAVA_TOOL_OPTIONS",) if name in os.environ})
    report = progress or (lambda _what, _done, _total: None)
    report(what, 0, total)
    output: list[str] = []
    with _child(command, env) as lines:
        for line in lines:
            output.append(line)
            if "[SUCCESSFUL ]" in line:
                report(what, sum("[SUCCESSFUL ]" in known for known in output), total)
    report(what, total, total)
    return output


@contextmanager
def _child(command: Sequence[str | Path], env: dict[str, str]) -> Iterator[Iterator[str]]:
    with subprocess.Popen(
        [str(part) for part in command],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        try:
            yield iter(child.stdout or ())
            child.wait(_FETCH_TIMEOUT_S)
        finally:
            child.kill()


def _reason(output: Sequence[str]) -> str:
    """Return the line of Ivy's output that says most."""
    telling = ("UnknownHost", "ERROR", "FAILED", "not found", "Exception")
    for sign in telling:
        for line in output:
            if sign in line:
                return line.strip(" :\t\n")[:200]
    return "Ivy said nothing"
