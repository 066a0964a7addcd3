"""The state of the platform as one document: what `orders status` shows, and scripts rely on."""

import time
from urllib.parse import urlsplit

import msgspec

from orders_platform.errors import OrdersError
from orders_platform.local import broker, live, mongod, processes, prometheus
from orders_platform.local.servers import Server
from orders_platform.local.stack import Endpoints
from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store, connect, within
from orders_platform.streams.client import admin
from orders_platform.supervision import dagster_home
from orders_platform.supervision.backends.choose import make_backend
from orders_platform.supervision.decide import State
from orders_platform.supervision.observe import Backend, Facts, events_behind, look, restarts
from orders_platform.supervision.rounds import Report, own_holder, read_report
from orders_platform.supervision.supervisor_lock import DAEMON, find_supervisor
from orders_platform.supervision.supervisor_lock import NAME as SUPERVISOR
from orders_platform.times import format_ms

TIMEOUT_S = 3.0
_SERVERS = (dagster_home.SERVER, live.SERVER, prometheus.SERVER)
SENSOR_SILENT_MAX_S = 60
"""Six ticks of the sensor."""


class Component(msgspec.Struct, frozen=True):
    """One part of the platform."""

    name: str
    state: State
    pid: int | None
    address: str | None
    detail: str


class Matcher(msgspec.Struct, frozen=True, kw_only=True):
    """How far the matcher is. `pid` is the process whose death stops the work, `restarts` how often it was started
    within 24 hours though nobody asked for it."""

    state: State
    pid: int | None
    epoch: int | None
    batch_id: int | None
    last_commit_at: str | None
    events_behind: int | None
    restarts: int
    deadline_swept_to: str | None


class Status(msgspec.Struct, frozen=True):
    """Everything; the platform is healthy if every part of it runs."""

    components: tuple[Component, ...]
    matcher: Matcher
    urls: dict[str, str]

    def healthy(self) -> bool:
        """Say whether every component runs."""
        return all(component.state == "running" for component in self.components)


def gather(settings: Settings) -> Status:
    """Ask every part, each with a short time-out; a part that does not answer is a state, not an error.

    Raises:
        SettingsError: the settings name no place where the matcher could be, or a secret can't be read.
    """
    kafka, servers = _kafka(settings)
    mongo, uri = _mongo(settings)
    backend = make_backend(settings, Endpoints(servers or "", uri or ""))
    store = None if uri is None else connect(uri, settings.mongo.database, timeout_s=TIMEOUT_S)
    supervisor = find_supervisor(settings.home)
    report = None if supervisor is None else read_report(settings.home)
    try:
        facts = look(settings, servers, store, backend, timeout_s=TIMEOUT_S)
        elsewhere = None if supervisor is not None else _supervisor_elsewhere(settings, store)
        state, detail = _matcher_state(facts, report, elsewhere)
        if state not in ("running", "stopped"):
            detail = " ".join(filter(None, (detail, _trouble(backend))))
    finally:
        if store is not None:
            store.close()
        backend.disconnect()
    matcher = _matcher(settings, facts, state)
    working = Component("matcher", state, matcher.pid, None, detail)
    supervising = _supervisor(supervisor, report) if elsewhere is None else elsewhere
    parts = (kafka, mongo, supervising, working)
    pages = [_server(settings, each) for each in _SERVERS if each.is_wanted(settings.home)]
    urls = {each.name: each.address for each in pages if each.address is not None}
    return Status((*parts[:2], *pages, *parts[2:]), matcher, urls)


def _supervisor(supervisor: processes.Process | None, report: Report | None) -> Component:
    if supervisor is None:
        return Component(SUPERVISOR, "stopped", None, None, "")
    detail = "" if report is None else " ".join(filter(None, (report.reason, report.fix)))
    silent_s = 0 if report is None else int(time.time() - report.at_ms / 1000)
    if supervisor.name == DAEMON and silent_s > SENSOR_SILENT_MAX_S:
        fix = "See the sensor matcher_supervisor in Dagster: somebody may have stopped it."
        return Component(DAEMON, "stalled", supervisor.pid, None, f"The sensor last looked {silent_s} s ago. {fix}")
    if supervisor.name == DAEMON and report is not None:
        detail = f"The sensor looked {max(0, silent_s)} s ago. {detail}"
    return Component(supervisor.name, "running", supervisor.pid, None, detail)


def _supervisor_elsewhere(settings: Settings, store: Store | None) -> Component | None:
    """Return the supervisor of another home or machine that looked lately, if one did."""
    try:
        if store is None:
            return None
        with within(TIMEOUT_S):
            last, now_ms = records.read_last_look(store), records.server_time_ms(store)
    except OrdersError:
        return None
    if last is None or last.holder == own_holder(settings):
        return None
    silent_s = max(0, now_ms - last.looked_at_ms) // 1000
    if silent_s > SENSOR_SILENT_MAX_S:
        return None
    return Component(SUPERVISOR, "running", None, last.holder.partition(":")[0], f"It looked {silent_s} s ago.")


def _server(settings: Settings, server: Server) -> Component:
    found, address = processes.find(settings.home, server.name), server.url(settings.home)
    if found is None or address is None:
        return Component(server.name, "failed", None, None, "Start it with `orders up`.")
    state = "running" if server.answers(address, TIMEOUT_S) else "starting"
    return Component(server.name, state, found.pid, address, "")


def _kafka(settings: Settings) -> tuple[Component, str | None]:
    servers = settings.kafka.bootstrap_servers
    process = None
    if servers is None:
        process = processes.find(settings.home, broker.NAME)
        if process is None:
            return Component("kafka", "stopped", None, None, "Start it with `orders up`."), None
        servers = broker.bootstrap_servers(settings.home)
    pid = None if process is None else process.pid
    try:
        with admin(servers, settings.kafka.client_properties()) as client:
            known = client.list_topics(timeout=TIMEOUT_S).topics
    except OrdersError as error:
        return Component("kafka", "failed", pid, servers, error.what), None
    missing = [topic for topic in settings.kafka.topics if topic not in known]
    if missing:
        return Component("kafka", "failed", pid, servers, f"It has no topic {', '.join(missing)}."), servers
    return Component("kafka", "running", pid, servers, ""), servers


def _mongo(settings: Settings) -> tuple[Component, str | None]:
    process = None
    uri = settings.mongo.given_uri()
    if uri is None:
        process = processes.find(settings.home, mongod.NAME)
        if process is None:
            return Component("mongo", "stopped", None, None, "Start it with `orders up`."), None
        uri = mongod.uri(settings.home)
    pid = None if process is None else process.pid
    try:
        store = connect(uri, settings.mongo.database, timeout_s=TIMEOUT_S)
        try:
            store.ping()
        finally:
            store.close()
    except OrdersError as error:
        return Component("mongo", "failed", pid, _hosts(uri), error.what), None
    return Component("mongo", "running", pid, _hosts(uri), ""), uri


def _hosts(uri: str) -> str:
    """Return the hosts of a MongoDB URI, without the name and password that it may hold."""
    return urlsplit(uri).netloc.rpartition("@")[2]


def _trouble(backend: Backend) -> str:
    try:
        return backend.describe().get("trouble", "")
    except OrdersError as error:
        return str(error)


def _matcher_state(facts: Facts, report: Report | None, elsewhere: Component | None) -> tuple[State, str]:
    """Judge by the process first: it may have died or come up since the supervisor last looked. One that can't be seen
    from here is judged by what it leaves in MongoDB."""
    beat = facts.beat()
    reason = "" if report is None else report.reason
    if facts.running is not None:
        if report is not None and report.state == "stalled":
            return "stalled", reason
        return ("running" if beat is not None and beat.state == "running" else "starting"), reason
    if facts.desired is not None and facts.desired.state == "stopped":
        return "stopped", "It is stopped, as asked."
    if (elsewhere is not None or not facts.backend_answered) and (signs := _signs_of_life(facts)) is not None:
        return signs, ""
    if report is not None:
        return ("starting" if report.state not in ("backing_off", "failed") else report.state), reason
    if elsewhere is not None:
        return "starting", "It gives no sign of life; `orders status` where its supervisor runs says why."
    if not facts.backend_answered:
        return "failed", "It gives no sign of life."
    if facts.history:
        return "failed", "It is wanted, not running, and nobody supervises it: run `orders matcher start`."
    return "stopped", ""


def _signs_of_life(facts: Facts) -> State | None:
    """Return the state of a driver that keeps its lease, wherever it is."""
    if facts.lease is None or not facts.lease.live:
        return None
    beat = facts.heartbeat
    begun = beat is not None and beat.epoch == facts.lease.epoch and beat.state == "running"
    return "running" if begun else "starting"


def _matcher(settings: Settings, facts: Facts, state: State) -> Matcher:
    beat = facts.heartbeat
    behind = events_behind(facts, settings.matcher.starting_offsets == "earliest")
    if beat is None:
        beat_fields = {"epoch": None, "batch_id": None, "last_commit_at": None, "deadline_swept_to": None}
    else:
        behind = beat.events_behind if behind is None else behind
        beat_fields = {
            "epoch": beat.epoch,
            "batch_id": beat.batch_id,
            "last_commit_at": _time(beat.committed_at_ms),
            "deadline_swept_to": _time(beat.deadline_swept_to_ms),
        }
    pid = None if facts.running is None else facts.running.pid
    its_restarts = restarts(facts.history, time.time_ns() // 1_000_000)
    return Matcher(state=state, pid=pid, events_behind=behind, restarts=its_restarts, **beat_fields)


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_ms(time_ms)
