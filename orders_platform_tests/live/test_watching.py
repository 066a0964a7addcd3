"""What the live server's loops do when one of them fails: they tell it, keep their pace, and hold up no other."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from bson.datetime_ms import DatetimeMS

from orders_platform.errors import FatalStoreError
from orders_platform.live import server, watching
from orders_platform.live.watching import COUNTS, DAY, State, Watching
from orders_platform.settings import Settings
from orders_platform.store import queries
from orders_platform.store.client import Store
from orders_platform.supervision.observe import KAFKA, MONGODB
from orders_platform_tests.conftest import RunningStack

QUIET_S = 1.5


@pytest.fixture
def watched(
    store: Store, stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Watching]]:
    """Starts to watch a store, with loops that would spin if nothing else held them back."""
    for name in ("LOOK_S", "COUNT_S", "DAY_S"):
        monkeypatch.setattr(watching, name, 0.02)
    settings = Settings.load(
        {
            "home": str(tmp_path / "home"),
            "mongo": {"uri": stack.mongo_uri, "database": store.database.name},
            "kafka": {"bootstrap_servers": stack.bootstrap_servers},
        },
        {},
        tmp_path,
    )
    made: list[Watching] = []

    def start() -> Watching:
        made.append(Watching(settings))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.stop()


def until(holds: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.services
def test_counts_that_fail_are_told_and_not_asked_for_again_and_again(
    watched: Callable[[], Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def fails(_store: Store) -> dict[str, int]:
        asked.append(time.monotonic())
        time.sleep(0.1)
        raise FatalStoreError("MongoDB refused it.", "Look it up.")

    monkeypatch.setattr(queries, "dead_letter_counts", fails)
    its = watched()
    until(lambda: its.state.troubles.get(COUNTS))
    assert its.state.trouble() == "Dead letters and restarts can't be counted. MongoDB refused it. Look it up."
    time.sleep(QUIET_S)
    assert len(asked) == 1
    assert not server.as_keys(its.state, its.stale_s())["stale"]


@pytest.mark.services
def test_a_day_that_can_not_be_read_is_told_and_the_last_statement_is_known(
    watched: Callable[[], Watching], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def fails(*_args: object, **_options: object) -> None:
        asked.append(time.monotonic())
        time.sleep(0.1)
        raise msgspec.ValidationError("a kept statement that is none")

    monkeypatch.setattr(watching, "count", fails)
    kept: dict[str, object] = {"_id": "2026-01-05:1", "date": "2026-01-05", "time_zone": "UTC", "provisional": False}
    kept["read_at"] = DatetimeMS(1_767_700_000_000)
    store.statements.insert_one(kept, bypass_document_validation=True)
    its = watched()
    until(lambda: its.state.troubles.get(DAY))
    assert its.state.trouble().startswith("The day so far can't be counted. It is a ValidationError: read")
    until(lambda: its.state.last_statement_s)
    assert its.state.last_statement_s == 1_767_657_600, "the end of 2026-01-05"
    time.sleep(QUIET_S)
    assert len(asked) == 1


def test_what_follows_from_a_mongodb_that_is_away_is_not_told_beside_it() -> None:
    state = State(troubles={MONGODB: "It is away.", KAFKA: "So is Kafka.", COUNTS: "No counts."})
    assert state.trouble() == "It is away. So is Kafka."
    assert State(troubles={MONGODB: "", COUNTS: "No counts."}).trouble() == "No counts."
