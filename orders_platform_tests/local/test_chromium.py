"""Chromium is found under the names that it has, or missed in one sentence."""

from pathlib import Path

import pytest

from orders_platform.errors import MissingDependency
from orders_platform.local import chromium


def test_the_machine_has_one() -> None:
    assert chromium.find_chromium().is_absolute()


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_any_of_its_names_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    program = tmp_path / name
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.ensure_chromium() == program


def test_without_it_there_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without apt-get, too
    with pytest.raises(MissingDependency, match=r"No Chromium was found.*Debian and Ubuntu: chromium"):
        chromium.ensure_chromium()
