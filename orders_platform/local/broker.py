"""One Apache Kafka node in KRaft mode, on the loopback interface."""

import shutil
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from orders_platform.errors import StackError
from orders_platform.local import home as homes
from orders_platform.local import jars, java, processes

NAME = "kafka"
_CONTROLLER = "kafka_controller"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
_HEAP = ("-Xms128m", "-Xmx384m")
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
# Kafka's own log, bounded; what the JVM itself says goes to the same file through standard output.
_LOGGING = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = info
"""


def start(home: Path, port: int | None = None, progress: jars.Progress | None = None) -> processes.Process:
    """Start the broker of `home`, or find it running, and return when it answers.

    `port` is the one to listen on; without it a free one is chosen and kept.

    Raises:
        MissingDependency: Java or a jar is missing.
        StackError: a port is taken, the disk refuses, or the broker does not answer in time.
    """
    running = processes.find(home, NAME)
    if running is not None:
        _await(home, running, _START_TIMEOUT_S)
        return running
    homes.prepare(home)
    classpath = jars.broker_classpath(progress)
    command = [java.ensure_java(), *_HEAP, *_JVM, "-cp", ":".join(map(str, classpath))]
    ports = homes.Ports(home)
    listens, controls = ports.take(NAME, port), ports.take(_CONTROLLER)
    folder = home / NAME
    with homes.writing(home):
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "log4j2.properties").write_text(_LOGGING)
        config = folder / "server.properties"
        command.insert(-2, f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}")
        _format(home, [*command, "kafka.tools.StorageTool"])
        config.write_text(_properties(folder / "data", listens, controls))
    process = processes.start(home, NAME, [*command, "kafka.Kafka", config], processes.environment())
    _await(home, process, _START_TIMEOUT_S)
    return process


def stop(home: Path) -> bool:
    """Stop the broker of `home`; False if none ran.

    Raises:
        StackError: it does not end.
    """
    return processes.stop(home, NAME, timeout_s=_STOP_TIMEOUT_S)


def bootstrap_servers(home: Path) -> str:
    """Return the address of the running broker of `home`.

    Raises:
        StackError: it does not run.
    """
    port = homes.Ports(home).recorded().get(NAME)
    if port is None or processes.find(home, NAME) is None:
        raise StackError("Kafka is not running.", "Run `orders up`.")
    return f"127.0.0.1:{port}"


def answers(port: int, timeout_s: float = 1.0) -> bool:
    """Say whether a broker on this port answers Kafka's first question, which versions it speaks."""
    request = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, version 0, correlation id 1, no client id
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(8)) > 0
    except OSError:
        return False


def _format(home: Path, command: list[str | Path]) -> None:
    """Make the node's storage once. It is made beside its place and moved there whole, lest a kill leave half of it.

    A tool that outlived its killed caller may still be at work beside us: each gets a place of its own.
    """
    data = home / NAME / "data"
    if data.exists():
        return
    for abandoned in (home / NAME).glob("data.new*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="data.new-", dir=home / NAME, ignore_cleanup_errors=True) as scratch:
        fresh, config = Path(scratch) / "data", Path(scratch) / "format.properties"
        config.write_text(_properties(fresh, 1, 2))
        arguments = [str(part) for part in (*command, "format", "-t", _cluster_id(), "-c", config)]
        done = subprocess.run(arguments, env=processes.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StackError(
                f"Kafka's storage can't be made: {_telling(done.stderr or done.stdout)}.",
                "Free or repair the disk that the home is on, and try again.",
            )
        fresh.replace(data)


def _cluster_id() -> str:
    """Return a new id in Kafka's form, which must not look like an option: one in 64 would begin with a dash."""
    drawn = iter(lambda: urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="), "")
    return next(text for text in drawn if not text.startswith("-"))


def _telling(output: str) -> str:
    """Return the last line that is no part of a stack trace."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("\tat ")]
    return lines[-1].strip()[:300] if lines else "it did not say why"


def _await(home: Path, process: processes.Process, timeout_s: float) -> None:
    port = homes.Ports(home).recorded()[NAME]
    deadline = time.monotonic() + timeout_s
    while not answers(port):
        if not processes.is_alive(process):
            processes.reap(process)
            raise StackError(
                f"Kafka ended while it started: {_telling(processes.log_tail(home, NAME, 50))}",
                f"Read {processes.log_file(home, NAME)}.",
            )
        if time.monotonic() > deadline:
            raise StackError(
                f"Kafka does not answer on port {port} after {timeout_s:.0f} s.",
                f"Read {processes.log_file(home, NAME)}; `orders down` and `orders up` start it anew.",
            )
        time.sleep(0.1)


def _properties(data: Path, port: int, controller_port: int) -> str:
    """Return the node's configuration: small, loopback only, and keeping what it was given until it is purged."""
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # A matcher that was off for longer than the retention would find its next offset gone.
        "log.retention.ms": "-1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        # The cleaner's default buffer alone is a third of the heap.
        "log.cleaner.dedupe.buffer.size": str(4 << 20),
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "2",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())
