"""`orders up` and the live page's server that runs already."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orders_platform.local import live, processes
from orders_platform.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    live.SERVER.stop(tmp_path / "home")


def test_it_is_left_as_it_is_until_orders_toml_says_something_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "orders.toml"
    monkeypatch.setenv("ORDERS_HOME", str(home))
    monkeypatch.setenv("ORDERS_CONFIG", str(file))

    def started(text: str) -> processes.Process:
        file.write_text(text)
        live.start(Settings.load())
        found = processes.find(home, live.SERVER.name)
        assert found is not None
        return found

    first = started('mongo.uri = "mongodb://me:hunter2@127.0.0.1:1/"\n')
    assert started('mongo.uri = "mongodb://me:hunter2@127.0.0.1:1/"\n# the same\n') == first
    second = started('reports.time_zone = "Asia/Tokyo"\n')
    assert second != first
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    third = started(f'reports.time_zone = "Asia/Tokyo"\nlocal.live_port = {port}\n')
    assert third != second
    assert live.SERVER.wait(home) == f"http://127.0.0.1:{port}"
