"""What a driver's process is told in its environment, wherever it runs."""

from typing import Any

import msgspec

from orders_platform.errors import SettingsError
from orders_platform.settings import Settings, is_secret, known_keys, variable_of
from orders_platform.store.matcher_records import Offsets

_IN_CLEAR = {
    "kafka.password": "kafka.password_secret or kafka.password_file",
    "mongo.uri": "mongo.uri_secret or mongo.uri_file",
}
_GROUPS = ("kafka", "mongo", "matching", "matcher")
"""What a driver reads; the rest is for others."""
_OURS = ("matcher.backend", "matcher.checkpoint")


def run_variables(epoch: int, attempt: int, start_offsets: Offsets | None) -> dict[str, str]:
    """Return what tells a driver which life it is, and where to begin if its checkpoint is empty."""
    given = {"ORDERS_MATCHER_EPOCH": str(epoch), "ORDERS_MATCHER_RUN": f"{epoch}-{attempt}"}
    if start_offsets is not None:
        given["ORDERS_MATCHER_START_OFFSETS"] = msgspec.json.encode(start_offsets).decode()
    return given


def settings_variables(settings: Settings, checkpoint: str | None, also: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the settings of a driver elsewhere that differ from the defaults. No value of a secret is among them, for
    an engine's API shows what it is told: only the names of secrets and of files. `also` names further groups of
    settings that it reads.

    Raises:
        SettingsError: a secret is set by its value.
    """
    variables: dict[str, str] = {}
    for key in known_keys():
        group, _, name = key.partition(".")
        if group not in (*_GROUPS, *also) or key in _OURS:
            continue
        model = type(settings).model_fields[group].annotation
        value, default = getattr(getattr(settings, group), name), _default(model, name)
        if value is None or value == default:
            continue
        if key in _IN_CLEAR:
            raise SettingsError(
                f"{key} is set by its value, which a driver elsewhere must not be told in the open.",
                f"Set {_IN_CLEAR[key]} instead.",
            )
        variables[variable_of(key)] = _text(key, value)
    if checkpoint is not None:
        variables[variable_of("matcher.checkpoint")] = checkpoint
    return variables


def _default(model: Any, name: str) -> Any:
    return model.model_fields[name].default


def _text(key: str, value: Any) -> str:
    if not isinstance(value, dict):
        return f"{value.total_seconds():g}s" if hasattr(value, "total_seconds") else str(value)
    secret = sorted(name for name in value if is_secret(name) and not name.endswith((".location", "_secret")))
    if secret:
        raise SettingsError(
            f"{key} holds a secret, {secret[0]}, which a driver elsewhere must not be told in the open.",
            "Name a file of it instead, as ssl.key.location does, or set kafka.password_secret.",
        )
    return msgspec.json.encode(value).decode()
