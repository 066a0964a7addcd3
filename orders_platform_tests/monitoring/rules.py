"""The rules of deploy/prometheus, as tests look at them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


def alerts() -> list[dict[str, Any]]:
    """Return every alert."""
    return _rules("alerts.yml")


def recordings() -> list[dict[str, Any]]:
    """Return every recording rule."""
    return _rules("recording.yml")


@cache
def unit_tests() -> list[dict[str, Any]]:
    """Return promtool's tests, each with its series and what it expects."""
    return [test for file in unit_test_files() for test in yaml.safe_load(file.read_text())["tests"]]


def unit_test_files() -> list[Path]:
    """Return the files of promtool's tests."""
    return sorted((FOLDER / "tests").glob("*.yml"))


def _rules(file: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((FOLDER / file).read_text())["groups"] for rule in group["rules"]]
