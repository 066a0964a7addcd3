"""The files of deploy/: templates of requests, read strictly into the API's own messages."""

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from orders_platform.errors import SettingsError
from orders_platform.surroundings import ROOT

_Message = TypeVar("_Message")


def filled(name: str, values: Mapping[str, str]) -> Any:
    """Return a YAML file of deploy/ with its `${...}` filled in.

    Raises:
        SettingsError: it names a value that is not given, or is no YAML.
    """
    import yaml

    path = ROOT / "deploy" / name
    try:
        return yaml.safe_load(string.Template(path.read_text()).substitute(values))
    except (OSError, KeyError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"deploy/{name} can't be read: {error}.", "Restore or correct the file.") from None


def message(kind: type[_Message], given: Mapping[str, Any], place: str | Path) -> _Message:
    """Return a message of Google's API with these fields.

    Raises:
        SettingsError: it has no such field, or a value is of another type.
    """
    from google.protobuf.json_format import ParseDict, ParseError

    made: Any = kind()
    try:
        ParseDict(dict(given), kind.pb(made))  # type: ignore[attr-defined]
    except ParseError as error:
        raise SettingsError(
            f"{place} is no {kind.__name__} of Dataproc: {error}.", "Use the API's own field names."
        ) from None
    return made
