"""What is wrong, or soon will be, on this machine and with what the settings name; each finding with its fix."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal

import msgspec

from orders_platform.alerts import webhook
from orders_platform.errors import OrdersError
from orders_platform.local import broker, jars, java, mongod, processes, prometheus
from orders_platform.local import home as homes
from orders_platform.settings import Settings
from orders_platform.store import admin
from orders_platform.streams.client import admin as kafka_admin

LOCK = jars.LOCK.with_name("python.txt")
MONGO_MIN = (5, 0, 0)
"""From here on a snapshot transaction and `majority` behave as the store needs."""
MONGO_ZLIB_FIXED = {6: (6, 0, 27), 7: (7, 0, 28), 8: (8, 0, 17)}
"""From these versions on zlib no longer hands out memory (CVE-2025-14847)."""
_TIMEOUT_S = 5.0
_DISK_PROBLEM = 1 << 30
_DISK_WARNING = 5 << 30
_CLOCK_OFFSET_MAX_MS = 1000

State = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `fix` is empty where all is well."""

    check: str
    state: State
    detail: str
    fix: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; what can't be looked at is a finding too, never an error."""
    checks: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
        ("python", _python),
        ("locks", _locks),
        ("java", _java),
        ("jars", _jars),
        ("disk", _disk),
        ("ports", _ports),
        ("kafka", _kafka),
        ("mongo", _mongo),
        ("checkpoint", _checkpoint),
        ("alerts", _alerts),
        ("prometheus", _prometheus),
    )
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings.extend(check(settings))
        except OrdersError as error:
            findings.append(Finding(name, "problem", error.what, error.fix))
        except OSError as error:
            findings.append(Finding(name, "problem", f"It can't be looked at: {error}.", "Correct the rights."))
    return findings


def _python(settings: Settings) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{sys.version.split()[0]} in {sys.prefix}")


def _locks(settings: Settings) -> Iterator[Finding]:
    # A package is pinned more than once where Python's version or the machine decides.
    pinned: dict[str, set[str]] = {}
    conditional: set[str] = set()
    for name, version, marker in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)( ;)?", LOCK.read_text(), re.MULTILINE):
        pinned.setdefault(name, set()).add(version)
        if marker:
            conditional.add(name)
    wrong: list[str] = []
    for name, versions in pinned.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name not in conditional:
                wrong.append(f"{name} is missing")
            continue
        if installed not in versions:
            wrong.append(f"{name} is {installed}, not {' or '.join(sorted(versions))}")
    if wrong:
        shown = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        yield Finding("locks", "problem", shown, "Delete .venv and run `./orders` again.")
    else:
        yield Finding("locks", "ok", f"{len(pinned)} packages as pinned")


def _java(settings: Settings) -> Iterator[Finding]:
    found = java.find_java()
    yield Finding("java", "ok", f"version {java.java_version(found)}, {found}")


def _jars(settings: Settings) -> Iterator[Finding]:
    for group in ("broker", f"spark-{metadata.version('pyspark')}"):
        pinned = jars.locked(group)
        good = sum(jars.verified(jars.cache_folder(), jar) for jar in pinned)
        if good == len(pinned):
            yield Finding("jars", "ok", f"{group}: all {good} verified")
        else:
            missing = f"{group}: {len(pinned) - good} of {len(pinned)} are missing or damaged"
            yield Finding("jars", "warning", missing, "`orders up` fetches them; that needs a network.")


def _disk(settings: Settings) -> Iterator[Finding]:
    homes.prepare(settings.home)
    free = shutil.disk_usage(settings.home).free
    detail = f"{free / (1 << 30):.1f} GiB free under {settings.home}"
    fix = "Free some space, or move the home with ORDERS_HOME; Kafka and MongoDB stop when none is left."
    if free < _DISK_PROBLEM:
        yield Finding("disk", "problem", detail, fix)
    elif free < _DISK_WARNING:
        yield Finding("disk", "warning", detail, fix)
    else:
        yield Finding("disk", "ok", detail)


def _ports(settings: Settings) -> Iterator[Finding]:
    recorded = homes.Ports(settings.home).recorded()
    wanted = {broker.NAME: settings.local.kafka_port, mongod.NAME: settings.local.mongo_port}
    for name, port in wanted.items():
        known = port or recorded.get(name)
        if known is None:
            yield Finding("ports", "ok", f"{name}: a free one is chosen at its start")
        elif processes.find(settings.home, name) is not None:
            running = recorded.get(name, known)
            same = running == known
            fix = "" if same else "`orders down` and `orders up` move it."
            detail = f"{name}: {running} in use by it" + ("" if same else f", though {known} is set")
            yield Finding("ports", "ok" if same else "warning", detail, fix)
        elif homes.port_is_free(known):
            yield Finding("ports", "ok", f"{name}: {known} is free")
        elif port is None:
            yield Finding("ports", "warning", f"{name}: {known} is taken", "`orders up` chooses another one.")
        else:
            fix = f"Stop what listens there, or change ORDERS_LOCAL__{name.upper()}_PORT."
            yield Finding("ports", "problem", f"{name}: {known} is set, and taken by another process", fix)


def _kafka(settings: Settings) -> Iterator[Finding]:
    servers = settings.kafka.bootstrap_servers
    if servers is None:
        if processes.find(settings.home, broker.NAME) is None:
            yield Finding("kafka", "warning", "it is not running", "Run `orders up`.")
            return
        servers = broker.bootstrap_servers(settings.home)
    with kafka_admin(servers, settings.kafka.client_properties()) as client:
        known = client.list_topics(timeout=_TIMEOUT_S).topics
    missing = [topic for topic in settings.kafka.topics if topic not in known]
    if missing:
        yield Finding("kafka", "problem", f"{servers} has no topic {', '.join(missing)}", "Run `orders up`.")
    else:
        yield Finding("kafka", "ok", f"{servers} answers and has the topics")


def _mongo(settings: Settings) -> Iterator[Finding]:
    uri = settings.mongo.given_uri()
    local = uri is None
    if uri is None:
        yield Finding("mongo", "ok", f"server program {mongod.find_mongod()}")
        if processes.find(settings.home, mongod.NAME) is None:
            yield Finding("mongo", "warning", "it is not running", "Run `orders up`.")
            return
        uri = mongod.uri(settings.home)
    server = admin.inspect(uri, settings.mongo.database, _TIMEOUT_S)
    yield _mongo_version(server, local=local)
    if server.replica_set is None:
        fix = "Use a replica set (one node is enough) or a sharded cluster: transactions need it."
        yield Finding("mongo", "problem", "it is a standalone server", fix)
    if server.majority_writes:
        yield Finding("mongo", "ok", "writes are acknowledged by a majority, with journal")
    else:
        fix = "Bring its other members back: nothing is committed until then."
        yield Finding("mongo", "problem", "no majority acknowledges writes", fix)
    yield _clock(server)


def _mongo_version(server: admin.Server, *, local: bool) -> Finding:
    version = ".".join(map(str, server.version))
    if server.version < MONGO_MIN:
        needed = ".".join(map(str, MONGO_MIN[:2]))
        return Finding("mongo", "problem", f"version {version} is too old", f"Update it to {needed} or later.")
    fixed = MONGO_ZLIB_FIXED.get(server.version[0])
    if server.zlib and (server.version[0] < min(MONGO_ZLIB_FIXED) or (fixed is not None and server.version < fixed)):
        target = ".".join(map(str, fixed or MONGO_ZLIB_FIXED[min(MONGO_ZLIB_FIXED)]))
        detail = f"version {version} takes zlib and can leak its memory to strangers (CVE-2025-14847)"
        return Finding("mongo", "warning", detail, f"Update it to {target}, or switch zlib off in its compressors.")
    where = "on the loopback interface, without zlib" if local else "without a known leak"
    return Finding("mongo", "ok", f"version {version}, {where}")


def _clock(server: admin.Server) -> Finding:
    offset_ms = server.clock_offset_ms
    # Deadlines are judged by our clock, leases by the server's.
    if abs(offset_ms) > _CLOCK_OFFSET_MAX_MS:
        detail = f"MongoDB's clock is {offset_ms / 1000:+.1f} s from this machine's"
        return Finding("clock", "problem", detail, "Set both by the same time service (NTP).")
    if time.time() < LOCK.stat().st_mtime:
        return Finding("clock", "problem", "this machine's clock is before its own files", "Set the clock.")
    return Finding("clock", "ok", f"within {abs(offset_ms)} ms of MongoDB's")


def _checkpoint(settings: Settings) -> Iterator[Finding]:
    given = settings.checkpoint()
    if given is not None and "://" in given and not given.startswith("file:"):
        yield Finding("checkpoint", "ok", f"{given}, not on this machine")
        return
    folder = Path(given.removeprefix("file:")) if given else settings.home / "checkpoint"
    if not folder.exists():
        yield Finding("checkpoint", "ok", "none yet")
        return
    fix = "Run `orders matcher repair`: it starts a new one from the offsets last committed; no document changes."
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("checkpoint", "problem", f"{folder} can't be read and written", "Correct its rights.")
        return
    damaged = [file for file in (folder / "metadata", *_newest(folder)) if not file.is_file() or not _is_whole(file)]
    if damaged:
        yield Finding("checkpoint", "problem", f"{damaged[0]} is missing, empty or cut off", fix)
    else:
        yield Finding("checkpoint", "ok", f"{folder}, batch {_last(folder / 'offsets')}")


def _alerts(settings: Settings) -> Iterator[Finding]:
    address = settings.alerts.given_url()
    if not address:
        yield Finding("alerts", "ok", "no webhook is set, so nobody is told what goes wrong")
        return
    webhook.check_address(address)
    yield Finding("alerts", "ok", f"a webhook is set, and gets {settings.alerts.format}")


def _prometheus(settings: Settings) -> Iterator[Finding]:
    program = prometheus.find()
    if program is None:
        yield Finding("prometheus", "ok", "none is installed, so the live page's numbers are not kept over time")
    else:
        yield Finding("prometheus", "ok", f"version {prometheus.version(program)}, {program}")


def _newest(folder: Path) -> Iterator[Path]:
    """Yield the files that Spark reads first when it resumes."""
    for kind in ("offsets", "commits"):
        last = _last(folder / kind)
        if last is not None:
            yield folder / kind / str(last)


def _last(folder: Path) -> int | None:
    if not folder.is_dir():
        return None
    return max((int(file.name) for file in folder.iterdir() if file.name.isdigit()), default=None)


def _is_whole(file: Path) -> bool:
    text = file.read_text(errors="replace").rstrip()
    # After a loss of power a file can be there without its content; all of these end with a JSON object.
    return text.endswith("}")
