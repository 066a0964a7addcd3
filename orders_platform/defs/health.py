"""What is wrong with this home's Dagster, or soon will be: for `orders doctor`, beside what it finds on the machine."""

import logging
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orders_platform.local import processes
from orders_platform.local.doctor import Finding
from orders_platform.settings import Settings
from orders_platform.supervision import dagster_home
from orders_platform.supervision.supervisor_lock import DAEMON

if TYPE_CHECKING:
    from dagster import DagsterInstance

NAME = "dagster"
SENSOR = "matcher_supervisor"
HEARTBEAT_MAX_S = 150.0
"""Each part of the daemon gives a sign of life every 30 s."""
TICK_MAX_S = 60.0
SIZE_WARNING = 2 << 30
_ANEW = "`orders down`, delete {}, `orders up`: it holds Dagster's history alone, orders and statements are in MongoDB."


def examine(settings: Settings) -> list[Finding]:
    """Look at the home's instance and who works on it; what can't be looked at is a finding too, never an error."""
    folder = settings.home / "dagster"
    if not (folder / "history").is_dir():
        return [Finding(NAME, "ok", "none yet")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(_examined(settings, folder))
        except Exception as error:
            # Whatever its storage raises for a file that is cut off, locked or of another version.
            logging.getLogger(__name__).debug("The instance can't be opened.", exc_info=error)
            detail = f"{folder} can't be opened ({type(error).__name__})"
            return [Finding(NAME, "problem", detail, _ANEW.format(folder))]


def _examined(settings: Settings, folder: Path) -> Iterator[Finding]:
    from dagster import DagsterInstance, __version__

    yield _size(folder)
    with DagsterInstance.from_config(str(folder)) as instance:
        storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
        revisions = [storage.alembic_version() for storage in storages if storage is not None]
        if all(found is None or found[0] == found[1] for found in revisions):
            yield Finding(NAME, "ok", f"tables as version {__version__} wants them")
        else:
            fix = f"With Dagster stopped (`orders down`): `DAGSTER_HOME={folder} dagster instance migrate`."
            yield Finding(NAME, "problem", f"tables of another version than {__version__}", fix)
        if dagster_home.SERVER.is_wanted(settings.home):
            yield _daemon(settings, instance)
            yield _sensor(instance)


def _size(folder: Path) -> Finding:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    detail = f"{size / (1 << 20):.0f} MiB in {folder}"
    return (
        Finding(NAME, "ok", detail) if size < SIZE_WARNING else Finding(NAME, "warning", detail, _ANEW.format(folder))
    )


def _daemon(settings: Settings, instance: "DagsterInstance") -> Finding:
    running = processes.find(settings.home, DAEMON)
    log = processes.log_file(settings.home, DAEMON)
    if running is None:
        return Finding(NAME, "problem", "the daemon is not running: nobody restarts the matcher", "Run `orders up`.")
    now_s, beats = time.time(), instance.get_daemon_heartbeats()
    silent = [kind for kind in instance.get_required_daemon_types() if kind not in beats]
    silent += [kind for kind, beat in beats.items() if now_s - beat.timestamp > HEARTBEAT_MAX_S]
    if silent and now_s - running.started > HEARTBEAT_MAX_S:
        return Finding(
            NAME, "problem", f"no sign of life of {', '.join(sorted(silent)).lower()}", f"Read {log}; `orders up`."
        )
    return Finding(NAME, "ok", f"the daemon works, as process {running.pid}")


def _sensor(instance: "DagsterInstance") -> Finding:
    from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus

    states = [state for state in instance.all_instigator_state() if state.instigator_name == SENSOR]
    if any(state.status == InstigatorStatus.STOPPED for state in states):
        fix = f"Switch {SENSOR} on in Dagster, under Automation."
        return Finding(NAME, "problem", f"{SENSOR} is switched off: nobody restarts the matcher", fix)
    ticks = [
        tick for state in states for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    ]
    latest = max(ticks, key=lambda tick: tick.timestamp, default=None)
    if latest is None:
        return Finding(NAME, "warning", f"{SENSOR} has not looked yet", "Wait a minute, then look again.")
    age_s = time.time() - latest.timestamp
    if age_s > TICK_MAX_S:
        return Finding(NAME, "problem", f"{SENSOR} looked {age_s:.0f} s ago, and not since", "Run `orders up`.")
    if latest.status == TickStatus.FAILURE:
        told = "" if latest.error is None else latest.error.message.strip().splitlines()[0]
        return Finding(NAME, "warning", f"{SENSOR} failed {age_s:.0f} s ago: {told}", "Look at its ticks in Dagster.")
    return Finding(NAME, "ok", f"{SENSOR} looked {max(0.0, age_s):.0f} s ago")
