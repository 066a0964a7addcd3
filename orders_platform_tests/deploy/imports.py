"""What the engine's code imports, read from its source: at the top of a module, and inside functions."""

import ast
from importlib.util import find_spec
from pathlib import Path

OURS = ("orders_platform", "spark")


def third_party(start: list[str], root: Path) -> dict[str, str]:
    """Return the foreign modules that `start` and all of ours under it import, each with one importer."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        file = _file(name, root)
        if name in seen or file is None:
            continue
        seen.add(name)
        for imported in _imports(file):
            if imported.partition(".")[0] in OURS:
                waiting += [imported, imported.rpartition(".")[0]]
            else:
                found.setdefault(imported, name)
    return found


def _file(name: str, root: Path) -> Path | None:
    place = root.joinpath(*name.split("."))
    return next((file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()), None)


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.partition(".")[0] in OURS or _is_module(name)}


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False
