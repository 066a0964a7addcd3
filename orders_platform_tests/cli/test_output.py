"""How commands speak: what goes where, and what is drawn only on a terminal."""

import io
import json
import os
import pty
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orders_platform.cli import output


class Grudging(io.RawIOBase):
    """A stream that takes three bytes a call, as an unbuffered pipe may."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        part = bytes(memoryview(data)[:3])  # type: ignore[arg-type]
        self.taken += part
        return len(part)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[int]:
    """Make a standard stream a terminal; yield the other end."""
    screen, end = pty.openpty()
    with io.TextIOWrapper(io.FileIO(end, "w"), write_through=True) as stream:
        monkeypatch.setattr(sys, name, stream)
        yield screen
    os.close(screen)


def drawn(screen: int, *, until: bytes) -> bool:
    """Read what a drawing thread writes, which comes in any number of parts, until it has shown something."""
    seen, deadline_s = b"", time.monotonic() + 10
    while until not in seen and time.monotonic() < deadline_s:
        if select.select([screen], [], [], 0.1)[0]:
            seen += os.read(screen, 65536)
    return until in seen


def test_words_and_results_go_apart(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("[bold]words[/]")
    output.result("result")
    output.result_json({"a": [1, None]})
    output.show(output.table("x", rows=[["drawn"]]))
    captured = capsys.readouterr()
    assert captured.err == "[bold]words[/]\n"
    first, second, *rest = captured.out.splitlines()
    assert (first, json.loads(second)) == ("result", {"a": [1, None]})
    assert "drawn" in "".join(rest)
    assert "\x1b" not in captured.out


def test_json_is_indented_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch, "stdout") as screen:
        output.result_json({"a": 1})
        assert os.read(screen, 100) == b'{\r\n  "a": 1\r\n}\r\n'


def test_bulk_writes_everything_to_a_stream_that_takes_little() -> None:
    sink = Grudging()
    stream = io.TextIOWrapper(sink)  # type: ignore[type-var]
    assert output.Bulk(stream).write(b"0123456789") == 10
    assert sink.taken == b"0123456789"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("Sending", 3) as advance, output.activity("Waiting") as tell:
        advance(3)
        tell("still")
    assert capsys.readouterr() == ("", "")


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with terminal(monkeypatch, "stderr") as screen:
        with output.progress("Sending", 3) as advance:
            advance(2)
        assert drawn(screen, until=b"2/3")
        with output.activity("Waiting"):
            pass
        assert drawn(screen, until=b"Waiting")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    with terminal(monkeypatch, "stdout") as screen:
        output.show("[red]word[/]")
        seen = b""
        while b"word" not in seen:
            seen += os.read(screen, 100)
        assert (b"\x1b[31m" in seen) == coloured


def test_a_file_is_not_wrapped_at_80_columns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        output.show("word " * 30)
    assert len((tmp_path / "out").read_text().splitlines()) == 1
