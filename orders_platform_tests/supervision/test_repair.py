"""Putting a checkpoint aside, and the offsets that the next one begins at."""

from pathlib import Path

import pytest

from orders_platform.errors import CheckpointError
from orders_platform.settings import Settings
from orders_platform.supervision import repair
from orders_platform.supervision.control import checkpoint_path


def test_a_checkpoint_is_kept_under_a_new_name(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "offsets").mkdir(parents=True)
    (checkpoint / "offsets" / "0").write_text("damaged")
    aside = repair.put_checkpoint_aside(checkpoint)
    assert aside is not None
    assert aside.name.startswith("checkpoint.damaged-")
    assert (aside / "offsets" / "0").read_text() == "damaged"
    assert not checkpoint.exists()
    assert repair.put_checkpoint_aside(checkpoint) is None


def test_two_repairs_in_a_row_keep_both(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        (tmp_path / "checkpoint").mkdir()
        names.add(repair.put_checkpoint_aside(tmp_path / "checkpoint"))
    assert len(names) == 3


def test_every_partition_gets_an_offset() -> None:
    ends = {"orders": {0: 9, 1: 9}, "payments": {0: 4}}
    complete = repair.complete({"orders": {"1": 5}}, ends)
    assert complete == {"orders": {"0": repair.EARLIEST, "1": 5}, "payments": {"0": repair.EARLIEST}}


def test_start_offsets_are_kept_until_they_are_forgotten(tmp_path: Path) -> None:
    assert repair.kept_start_offsets(tmp_path) is None
    repair.keep_start_offsets(tmp_path, {"orders": {"0": 5}})
    assert repair.kept_start_offsets(tmp_path) == {"orders": {"0": 5}}
    repair.forget_start_offsets(tmp_path)
    repair.forget_start_offsets(tmp_path)
    assert repair.kept_start_offsets(tmp_path) is None


def test_half_a_file_of_offsets_is_none(tmp_path: Path) -> None:
    repair.keep_start_offsets(tmp_path, {"orders": {"0": 5}})
    (tmp_path / "run" / "start-offsets.json").write_text('{"orders": {"0"')
    assert repair.kept_start_offsets(tmp_path) is None


def test_where_the_checkpoint_is(tmp_path: Path) -> None:
    def at(checkpoint: str | None) -> Settings:
        return Settings.load({"home": str(tmp_path), "matcher": {"checkpoint": checkpoint}}, {}, tmp_path)

    assert checkpoint_path(at(None)) == tmp_path / "checkpoint"
    assert checkpoint_path(at("/data/c")) == Path("/data/c")
    assert checkpoint_path(at("file:/data/c")) == Path("/data/c")
    assert checkpoint_path(at("file:///data/c")) == Path("/data/c")
    with pytest.raises(CheckpointError, match="not on this machine"):
        checkpoint_path(at("gs://bucket/c"))
