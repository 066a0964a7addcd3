"""One frozen settings object, read once at a process's edge.

Strongest first: command-line options, `ORDERS_*` environment variables (nested with `__`), `orders.toml`, defaults.
"""

import difflib
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from orders_platform.errors import SettingsError
from orders_platform.matching import Rules

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "ORDERS_"
# Not settings: where things are, and what a supervisor hands to a driver.
RESERVED = {"ORDERS_HOME", "ORDERS_CACHE", "ORDERS_DEBUG", "ORDERS_CONFIG", "ORDERS_IVY_SETTINGS", "ORDERS_PROCESS"}
RESERVED_PREFIX = "ORDERS_MATCHER_"

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]+)(ms|s|m|h|d)")


def duration(text: str) -> timedelta:
    """Return a duration such as `30m`, `90s`, `500ms`, `2h` or `1d`.

    Raises:
        ValueError: `text` has another form.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("a duration is a whole number and a unit: 500ms, 90s, 30m, 2h, 1d")
    return timedelta(milliseconds=int(found[1]) * _UNITS_MS[found[2]])


Duration = Annotated[timedelta, BeforeValidator(lambda given: duration(given) if isinstance(given, str) else given)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KafkaSettings(_Group):
    """Where the events are. Without `bootstrap_servers` it is the broker of this home."""

    bootstrap_servers: str | None = None
    orders_topic: str = "orders"
    payments_topic: str = "payments"
    adjustments_topic: str = "adjustments"
    partitions: int = Field(default=2, ge=1)
    client: dict[str, str] = {}
    password: SecretStr | None = None
    password_file: Path | None = None

    @property
    def topics(self) -> tuple[str, str, str]:
        """The three topics that are read."""
        return self.orders_topic, self.payments_topic, self.adjustments_topic

    def client_properties(self) -> dict[str, str]:
        """Return librdkafka's properties, the password among them: not for logs."""
        secret = _secret(self.password, self.password_file, "kafka.password_file")
        return self.client | ({} if secret is None else {"sasl.password": secret})


class MongoSettings(_Group):
    """Where the documents are. Without a URI it is the mongod of this home."""

    uri: SecretStr | None = None
    uri_file: Path | None = None
    database: str = "orders_platform"

    def given_uri(self) -> str | None:
        """Return the URI that was set, directly or in a file: not for logs."""
        return _secret(self.uri, self.uri_file, "mongo.uri_file")


class MatchingSettings(_Group):
    """The settings of the matching rules."""

    tolerance_minor: int = Field(default=0, ge=0)
    payment_window: Duration = timedelta(minutes=30)

    @property
    def payment_window_ms(self) -> int:
        """The payment window in milliseconds."""
        return self.payment_window // timedelta(milliseconds=1)

    def rules(self) -> Rules:
        """Return what the core takes."""
        return Rules(self.tolerance_minor, self.payment_window_ms)


class ReportsSettings(_Group):
    """The business day."""

    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("no such time zone; names are those of the IANA database, such as Europe/Paris") from None
        return value


class MatcherSettings(_Group):
    """How the matcher runs. `buckets` is fixed for a checkpoint's life; `hot_*` bound what a bucket keeps in state."""

    buckets: int = Field(default=2, ge=1, le=1024)
    trigger_interval_ms: int = Field(default=500, ge=0)
    max_events_per_batch: int = Field(default=100_000, ge=1)
    hot_orders_max: int = Field(default=20_000, ge=0)
    hot_bytes_max: int = Field(default=8 << 20, ge=0)
    driver_memory: str = "1g"
    starting_offsets: str = "earliest"
    checkpoint: str | None = None
    master: str = "local[2,4]"


class LocalSettings(_Group):
    """Ports of the local platform; without them free ones are chosen and kept."""

    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    mongo_port: int | None = Field(default=None, ge=1, le=65535)


class Settings(_Group):
    """All settings of one process."""

    home: Path
    kafka: KafkaSettings = KafkaSettings()
    mongo: MongoSettings = MongoSettings()
    matching: MatchingSettings = MatchingSettings()
    reports: ReportsSettings = ReportsSettings()
    matcher: MatcherSettings = MatcherSettings()
    local: LocalSettings = LocalSettings()

    @classmethod
    def load(
        cls,
        overrides: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        root: Path | None = None,
    ) -> "Settings":
        """Return the settings of this process. `overrides` is nested like the settings themselves.

        Raises:
            SettingsError: a key is unknown or a value is not what its key takes.
        """
        return _build(layers(overrides, environ, root))

    def fingerprint(self) -> str:
        """Return a short hash of what a running matcher must be restarted for, secrets left out."""
        relevant = {
            "kafka": self.kafka.model_dump(mode="json", exclude={"password", "password_file", "client"}),
            "database": self.mongo.database,
            "matching": self.matching.model_dump(mode="json"),
            "matcher": self.matcher.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def layers(
    overrides: Mapping[str, Any] | None, environ: Mapping[str, str] | None, root: Path | None
) -> list[tuple[str, dict[str, Any]]]:
    """Return where settings come from and what each place says, the weakest first.

    Raises:
        SettingsError: a file can't be read, or an environment variable is unknown.
    """
    env = os.environ if environ is None else environ
    base = root or ROOT
    file = Path(env.get("ORDERS_CONFIG") or base / "orders.toml")
    return [
        ("default", {"home": str(home_of(env, base))}),
        (file.name, _read_file(file, required="ORDERS_CONFIG" in env)),
        ("environment", _read_environment(env)),
        ("option", dict(overrides or {})),
    ]


def home_of(environ: Mapping[str, str], root: Path | None = None) -> Path:
    """Return where all state of this platform lives: `ORDERS_HOME`, else `.orders` beside the launcher."""
    given = environ.get("ORDERS_HOME")
    return Path(given).expanduser().absolute() if given else (root or ROOT) / ".orders"


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every setting's dotted name."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _build(given: list[tuple[str, dict[str, Any]]]) -> Settings:
    merged: dict[str, Any] = {}
    for _, values in given:
        _merge(merged, values)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise _unknown(key) from None
        raise SettingsError(
            f"The setting {key} has a value that it can't have: {first['msg']}.",
            "Run `orders config` to see where each value comes from.",
        ) from None


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _read_file(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        if required:
            raise SettingsError(f"There is no file {file}.", "Correct ORDERS_CONFIG.") from None
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} can't be read: {error}.", "Correct the file: it is TOML.") from None


def _read_environment(env: Mapping[str, str]) -> dict[str, Any]:
    known = set(known_keys())
    values: dict[str, Any] = {}
    for name, text in env.items():
        if (
            not name.startswith(PREFIX)
            or name in RESERVED
            or (name.startswith(RESERVED_PREFIX) and not name.startswith(f"{RESERVED_PREFIX}_"))
        ):
            continue
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if key not in known:
            raise _unknown(key)
        *groups, last = key.split(".")
        here = values
        for group in groups:
            here = here.setdefault(group, {})
        here[last] = _mapping(key, text) if key == "kafka.client" else text
    return values


def _mapping(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"The setting {key} is not JSON.", 'Write it as {"security.protocol": "SSL"}.') from None


def _unknown(key: str) -> SettingsError:
    near = difflib.get_close_matches(key, list(known_keys()), n=1)
    fix = f"Did you mean {near[0]}?" if near else "Run `orders config` for all settings."
    return SettingsError(f"There is no setting {key}.", fix)


def _secret(value: SecretStr | None, file: Path | None, key: str) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"The file of {key} can't be read: {error.strerror}.", "Correct its path or mode."
        ) from None
