"""Giving a checkpoint up: by another name here, by the next name elsewhere."""

from pathlib import Path

import pytest

from orders_platform.settings import Settings
from orders_platform.store import matcher_records as records
from orders_platform.store.client import Store
from orders_platform.store.matcher_records import BegunCheckpoint
from orders_platform.streams.offsets import EARLIEST, complete
from orders_platform.supervision import checkpoints


def test_a_checkpoint_is_kept_under_a_new_name(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "offsets").mkdir(parents=True)
    (checkpoint / "offsets" / "0").write_text("damaged")
    aside = checkpoints.put_aside(checkpoint)
    assert aside is not None
    assert aside.name.startswith("checkpoint.damaged-")
    assert (aside / "offsets" / "0").read_text() == "damaged"
    assert not checkpoint.exists()
    assert checkpoints.put_aside(checkpoint) is None


def test_two_repairs_in_a_row_keep_both(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        (tmp_path / "checkpoint").mkdir()
        names.add(checkpoints.put_aside(tmp_path / "checkpoint"))
    assert len(names) == 3


def test_every_partition_gets_an_offset() -> None:
    ends = {"orders": {0: 9, 1: 9}, "payments": {0: 4}}
    assert complete({"orders": {"1": 5}}, ends) == {"orders": {"0": EARLIEST, "1": 5}, "payments": {"0": EARLIEST}}


def at(home: Path, checkpoint: str | None) -> Settings:
    return Settings.load({"home": str(home), "matcher": {"checkpoint": checkpoint}}, {}, home)


def test_where_the_checkpoint_is(tmp_path: Path) -> None:
    assert checkpoints.on_this_machine(at(tmp_path, None)) == tmp_path / "checkpoint"
    assert checkpoints.on_this_machine(at(tmp_path, "/data/c")) == Path("/data/c")
    assert checkpoints.on_this_machine(at(tmp_path, "file:/data/c")) == Path("/data/c")
    assert checkpoints.on_this_machine(at(tmp_path, "file:///data/c")) == Path("/data/c")
    assert checkpoints.on_this_machine(at(tmp_path, "gs://bucket/c")) is None
    given = {"home": str(tmp_path), "matcher": {"backend": "dataproc"}, "dataproc": {"bucket": "gs://shop/orders"}}
    assert checkpoints.location(Settings.load(given, {}, tmp_path), None) == "gs://shop/orders/checkpoint"


def test_elsewhere_the_next_checkpoint_has_the_next_name(tmp_path: Path) -> None:
    settings, begun = at(tmp_path, "gs://bucket/c"), None
    names = []
    for _ in range(3):
        old, following = checkpoints.give_up(settings, begun)
        begun = BegunCheckpoint(base="gs://bucket/c", location=following, offsets=None)
        names.append((old, following, checkpoints.location(settings, begun)))
    assert names == [
        ("gs://bucket/c", "gs://bucket/c.2", "gs://bucket/c.2"),
        ("gs://bucket/c.2", "gs://bucket/c.3", "gs://bucket/c.3"),
        ("gs://bucket/c.3", "gs://bucket/c.4", "gs://bucket/c.4"),
    ]
    # Who names another checkpoint means that one.
    assert checkpoints.location(at(tmp_path, "gs://bucket/d"), begun) == "gs://bucket/d"


@pytest.mark.services
def test_start_offsets_are_kept_until_a_driver_has_committed(store: Store) -> None:
    assert records.read_checkpoint(store) is None
    records.forget_start_offsets(store)
    assert records.read_checkpoint(store) is None
    begun = BegunCheckpoint(base=None, location=None, offsets={"orders": {"0": 5}})
    records.begin_checkpoint(store, begun)
    assert records.read_checkpoint(store) == begun
    records.forget_start_offsets(store)
    records.forget_start_offsets(store)
    assert records.read_checkpoint(store) == BegunCheckpoint(base=None, location=None, offsets=None)
