"""Business days as partitions and as the schedule's days, where the clocks change; and what is served of them."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._utils.schedules import schedule_execution_time_iterator
from dagster_webserver.app import create_app_from_workspace_process_context

from orders_platform.definitions import defs
from orders_platform.defs.reports.assets import DEADLINE_CRON, SINCE_MIDNIGHT
from orders_platform.defs.reports.days import FIRST_DAY, business_days, days_of
from orders_platform.defs.reports.files import folder, found
from orders_platform.defs.resources import RESOURCES
from orders_platform.defs.webserver import with_statements

# Changes at 2, at midnight (Havana both ways; Beirut and Cairo forward), by half an hour, and none at all.
ZONES = ["America/New_York", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kolkata"]
HOUR_MS = 3_600_000


@pytest.mark.parametrize("zone", ZONES)
def test_a_partition_is_the_statements_day(zone: str) -> None:
    partitions = business_days(zone)
    at = datetime(2027, 1, 2, 12, tzinfo=UTC)
    keys = partitions.get_partition_keys(at)
    assert keys[0] == FIRST_DAY
    assert keys[-1] == "2027-01-02", "today, which is provisional"
    days = days_of(list(keys), zone, zone)
    lengths = set()
    for key, day in zip(keys, days, strict=True):
        window = partitions.time_window_for_partition_key(key)
        edges = (round(window.start.timestamp() * 1000), round(window.end.timestamp() * 1000))
        assert edges == (day.start_ms, day.end_ms), key
        lengths.add((day.end_ms - day.start_ms) / HOUR_MS)
    changes = {"Asia/Kolkata": {24}, "Australia/Lord_Howe": {23.5, 24, 24.5}}
    assert lengths == changes.get(zone, {23, 24, 25})


@pytest.mark.parametrize("zone", ZONES)
def test_each_day_is_closed_once_and_after_it_has_ended(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_REPORTS__TIME_ZONE", zone)
    # What was missed is another test's, which has a MongoDB.
    monkeypatch.setattr("orders_platform.defs.reports.jobs._last_closed", lambda _: None)
    repository = defs().get_repository_def()
    schedule = repository.schedule_defs[0]
    began = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    cron = schedule.cron_schedule, schedule.execution_timezone
    ticks = list(islice(schedule_execution_time_iterator(began.timestamp(), *cron), 366))
    assert [tick.date() for tick in ticks] == [date(2026, 1, 1) + timedelta(number) for number in range(366)]
    near = [at for at in range(1, 365) if ticks[at - 1].utcoffset() != ticks[at + 1].utcoffset()]
    for tick in [ticks[0], *(ticks[at] for at in near), ticks[-1]]:
        given = {"matcher": RESOURCES["matcher"]}
        with dg.build_schedule_context(
            scheduled_execution_time=tick, repository_def=repository, resources=given
        ) as context:
            (request,) = schedule.evaluate_tick(context).run_requests or []
        ended = (tick.date() - timedelta(days=1)).isoformat()
        assert request.partition_key == ended
        (day,) = days_of([ended], zone, zone)
        # Where midnight comes twice, so does ten past: the later one is an hour on.
        assert 0 < tick.timestamp() * 1000 - day.end_ms <= 70 * 60_000, ended


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_made_after_midnight_is_fresh_at_the_deadline(zone: str) -> None:
    deadlines = schedule_execution_time_iterator(datetime(2026, 1, 1, tzinfo=UTC).timestamp(), DEADLINE_CRON, zone)
    for deadline in islice(deadlines, 366):
        midnight = datetime(deadline.year, deadline.month, deadline.day, 0, 10, tzinfo=ZoneInfo(zone))
        assert deadline.timestamp() - midnight.timestamp() <= SINCE_MIDNIGHT.total_seconds()


# --- The files, as the webserver of `orders up` shows them


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Dagster's own application with the statements before it, on the loopback interface."""
    home = tmp_path_factory.mktemp("home")
    when = folder(home, "2026-01-05")
    when.mkdir(parents=True)
    (when / "statement.html").write_bytes(b"<p>page</p>")
    (when / "breaks.csv").write_bytes(b"id\n")
    (when / "other.txt").write_bytes(b"not ours")
    (home / "secret.html").write_bytes(b"secret")
    with (
        dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
        WorkspaceProcessContext(instance, None) as context,
    ):
        app = with_statements(create_app_from_workspace_process_context(context), home)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
            thread.start()
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            server.should_exit = True
            thread.join()


def fetched(address: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_a_statement_is_shown_beside_dagsters_own_pages(served: str) -> None:
    status, headers, body = fetched(f"{served}/statements/2026-01-05")
    assert (status, body) == (200, b"<p>page</p>")
    assert headers["content-type"].startswith("text/html")
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert headers["x-content-type-options"] == "nosniff"
    status, headers, body = fetched(f"{served}/statements/2026-01-05/breaks.csv")
    assert (status, body) == (200, b"id\n")
    assert headers["content-type"].startswith("text/csv")
    assert b"dagster_webserver_version" in fetched(f"{served}/server_info")[2]
    assert b"<html" in fetched(f"{served}/assets")[2]


@pytest.mark.parametrize(
    "path",
    [
        "2026-01-06",
        "20260105",
        "2026-W02-1",
        "2026-1-5",
        "..",
        "%2e%2e",
        "..%2f..%2fsecret.html",
        "2026-01-05/other.txt",
        "2026-01-05/..%2f..%2fsecret.html",
        "2026-01-05/%2e%2e%2fsecret.html",
        "2026-01-05/breaks.parquet",
    ],
)
def test_nothing_else_is_served(served: str, path: str) -> None:
    status, _, body = fetched(f"{served}/statements/{path}")
    assert b"secret" not in body
    assert b"not ours" not in body
    # What is no day or file of one is not there, or is a page of Dagster's.
    assert status == 404 or b"<html" in body


def test_a_day_is_written_in_one_way(tmp_path: Path) -> None:
    folder(tmp_path, "2026-01-05").mkdir(parents=True)
    (folder(tmp_path, "2026-01-05") / "statement.html").write_bytes(b"page")
    (tmp_path / "statements" / "20260105").symlink_to(folder(tmp_path, "2026-01-05"))
    assert found(tmp_path, "2026-01-05", "statement.html") is not None
    assert found(tmp_path, "20260105", "statement.html") is None
    assert found(tmp_path, "../statements/2026-01-05", "statement.html") is None
