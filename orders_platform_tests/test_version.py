"""The version that tells a supervisor whether a running matcher is an older one."""

import re
import shutil
from pathlib import Path

import pytest

from orders_platform import __version__, version
from orders_platform.version import _digest


def test_it_names_the_version_and_the_content() -> None:
    assert re.fullmatch(re.escape(__version__) + r"\+[0-9a-f]{12}", version.code_version())


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ("orders_platform/events.py", True),
        ("orders_platform/matching/status.py", True),
        ("orders_platform/store/merge.py", True),
        ("orders_platform/matcher/bucket.py", True),
        ("spark/source.py", True),
        ("orders_platform/cli/main.py", False),
        ("orders_platform/generator/shop.py", False),
    ],
)
def test_it_changes_with_what_a_matcher_runs(tmp_path: Path, changed: str, seen: bool) -> None:
    root = Path(version.__file__).resolve().parents[1]
    for part in ("orders_platform", "spark"):
        shutil.copytree(root / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    before = _digest(tmp_path / "orders_platform", tmp_path / "spark")
    assert version.code_version().endswith(before)
    file = tmp_path / changed
    file.write_text(file.read_text() + "# more\n")
    assert (_digest(tmp_path / "orders_platform", tmp_path / "spark") != before) == seen
