"""Dead letters: stored once under their coordinates, whatever they hold."""

import pytest

from orders_platform.errors import FatalStoreError
from orders_platform.events import MAX_MESSAGE_BYTES, REASONS
from orders_platform.store import dead_letters, queries
from orders_platform.store.client import Store
from orders_platform.store.dead_letters import DeadLetter

pytestmark = pytest.mark.services


def _letters(count: int) -> list[DeadLetter]:
    return [
        DeadLetter(
            f"topic-{at % 3}", at % 2, at, REASONS[at % len(REASONS)], "type" if at % 4 else None, b"\0\xff" * at, at
        )
        for at in range(count)
    ]


def test_a_replay_stores_each_once_and_changes_none(store: Store) -> None:
    letters = _letters(50)
    assert dead_letters.write(store, letters[:30]) == 30
    before = list(store.dead_letters.find(sort=[("_id", 1)]))
    assert dead_letters.write(store, letters) == 20
    assert dead_letters.write(store, letters) == 0
    assert dead_letters.write(store, []) == 0
    assert [each for each in store.dead_letters.find(sort=[("_id", 1)]) if each in before] == before
    assert list(queries.export_dead_letters(store)) == sorted(letters, key=lambda letter: letter[:3])
    assert sum(queries.dead_letter_counts(store).values()) == 50


def test_what_is_too_large_is_cut_and_its_size_kept(store: Store) -> None:
    raw = b"x" * (MAX_MESSAGE_BYTES + 1000)
    dead_letters.write(store, [DeadLetter("orders", 0, 5, "too_large", None, raw, None)])
    stored = store.dead_letters.find_one({"_id": "orders:0:5"})
    assert stored is not None
    assert (len(stored["raw"]), stored["size"], stored["broker_time"]) == (MAX_MESSAGE_BYTES, len(raw), None)
    assert int(stored["first_seen_at"]) > 0


def test_another_error_than_a_repetition_is_raised(store: Store) -> None:
    letters = _letters(3)
    dead_letters.write(store, letters[:1])
    with pytest.raises(FatalStoreError, match="121"):
        dead_letters.write(store, [*letters, DeadLetter("orders", 0, 9, "bad_mood", None, b"", None)])
    assert store.dead_letters.count_documents({}) == 3
