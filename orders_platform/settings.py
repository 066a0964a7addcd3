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
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from orders_platform.errors import SettingsError
from orders_platform.matching import Rules
from orders_platform.secrets import NAME, secret
from orders_platform.surroundings import (
    PREFIX,
    RESERVED,
    duration,
    home_of,
    setting_variables,
    settings_file,
)

Duration = Annotated[timedelta, BeforeValidator(lambda given: duration(given) if isinstance(given, str) else given)]

SecretName = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
"""Of a version in Google's Secret Manager, such as projects/shop/secrets/mongo-uri/versions/3."""

_SECRET_NAMES = re.compile(r"password|secret|\bkey$|\.pem$|oauthbearer\.config|jaas")
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class KafkaSettings(_Group):
    """Where the events are. Without `bootstrap_servers` it is the broker of this home."""

    bootstrap_servers: str | None = None
    orders_topic: str = "orders"
    payments_topic: str = "payments"
    adjustments_topic: str = "adjustments"
    partitions: int = Field(default=2, ge=1)
    client: dict[str, str] = Field(default={}, repr=False)  # may hold secrets
    password: SecretStr | None = None
    password_file: Path | None = None
    password_secret: SecretName | None = None

    @property
    def topics(self) -> tuple[str, str, str]:
        """The three topics that are read."""
        return self.orders_topic, self.payments_topic, self.adjustments_topic

    def client_properties(self) -> dict[str, str]:
        """Return librdkafka's properties, the password among them: not for logs."""
        secret = _secret(self.password, self.password_file, "kafka.password_file", self.password_secret)
        return self.client | ({} if secret is None else {"sasl.password": secret})


class MongoSettings(_Group):
    """Where the documents are. Without a URI it is the mongod of this home."""

    uri: SecretStr | None = None
    uri_file: Path | None = None
    uri_secret: SecretName | None = None
    database: str = "orders_platform"

    def is_given(self) -> bool:
        """Return whether any setting names a MongoDB, without reading a secret."""
        return any(each is not None for each in (self.uri, self.uri_file, self.uri_secret))

    def given_uri(self) -> str | None:
        """Return the URI that was set, directly or in a file: not for logs."""
        return _secret(self.uri, self.uri_file, "mongo.uri_file", self.uri_secret)


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
    """The business day, and from how many stored orders on Spark counts where all of them must be gone through."""

    time_zone: str = "UTC"
    spark_above_orders: int = Field(default=5_000_000, ge=0)

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
    starting_offsets: Literal["earliest", "latest"] = "earliest"
    checkpoint: str | None = None
    master: str = "local[2,4]"
    backend: Literal["local", "dataproc", "kubernetes"] = "local"


class AlertsSettings(_Group):
    """Who is told what goes wrong. `statement_deadline` counts from the end of the business day."""

    webhook_url: SecretStr | None = None
    webhook_url_file: Path | None = None
    webhook_url_secret: SecretName | None = None
    format: Literal["slack", "json"] = "slack"
    statement_deadline: Duration = Field(default=timedelta(hours=6), le=timedelta(days=7))

    def given_url(self) -> str | None:
        """Return the webhook's address that was set, directly or in a file: not for logs."""
        return _secret(self.webhook_url, self.webhook_url_file, "alerts.webhook_url_file", self.webhook_url_secret)


class DataprocSettings(_Group):
    """The Google Cloud project and region whose Dataproc is used; without them none is.

    `name` tells platforms apart that share a project; `bucket` holds code, checkpoint and staging.
    """

    project: str | None = None
    region: str | None = None
    name: str = Field(default="orders", pattern="^[a-z][a-z0-9-]{0,18}[a-z0-9]$")
    executors: int = Field(default=2, ge=1, le=1000)
    cluster: str = Field(default="orders-matcher", pattern="^[a-z][a-z0-9-]{0,49}[a-z0-9]$")
    subnetwork: str = Field(default="default", pattern="^[A-Za-z0-9/_.-]+$")
    bucket: str | None = Field(default=None, pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,220}(/[A-Za-z0-9._-]+)*$")


class KubernetesSettings(_Group):
    """The matcher's Deployment. Without `context` the cluster is the one around this pod, else kubectl's."""

    namespace: str = "orders"
    deployment: str = "orders-matcher"
    context: str | None = None


class LiveSettings(_Group):
    """The live page.

    `host` is what it listens on: this machine alone, or every address of a container, where others get `/metrics` and
    nothing else. `charts_url` is the address of a dashboard of MongoDB Atlas Charts, to be embedded.
    """

    host: Literal["127.0.0.1", "0.0.0.0"] = "127.0.0.1"  # noqa: S104 - chosen by who knows the network around it
    charts_url: str | None = Field(default=None, pattern=r"^https://[A-Za-z0-9.-]+/[^\s;,'\"]*$")


class LocalSettings(_Group):
    """Ports of the local platform; without them free ones are chosen and kept."""

    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    mongo_port: int | None = Field(default=None, ge=1, le=65535)
    dagster_port: int | None = Field(default=None, ge=1, le=65535)
    live_port: int | None = Field(default=None, ge=1, le=65535)
    prometheus_port: int | None = Field(default=None, ge=1, le=65535)


class Settings(_Group):
    """All settings of one process."""

    home: Path
    kafka: KafkaSettings = KafkaSettings()
    mongo: MongoSettings = MongoSettings()
    matching: MatchingSettings = MatchingSettings()
    reports: ReportsSettings = ReportsSettings()
    matcher: MatcherSettings = MatcherSettings()
    alerts: AlertsSettings = AlertsSettings()
    dataproc: DataprocSettings = DataprocSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    live: LiveSettings = LiveSettings()
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
        return build(layers(overrides, environ, root))

    def checkpoint(self) -> str | None:
        """Return where the matcher's first checkpoint is; None: in the home."""
        if self.matcher.checkpoint is None and self.matcher.backend == "dataproc" and self.dataproc.bucket:
            return f"{self.dataproc.bucket}/checkpoint"
        return self.matcher.checkpoint

    def fingerprint(self) -> str:
        """Return a short hash of what a running matcher must be restarted for, secrets left out."""
        client = {name: value for name, value in self.kafka.client.items() if not is_secret(name)}
        relevant = {
            "kafka": self.kafka.model_dump(mode="json", exclude={"password", "password_file", "client"}) | client,
            "mongo": [self.mongo.uri_secret or _without_credentials(self.mongo.given_uri()), self.mongo.database],
            "matching": self.matching.model_dump(mode="json"),
            "matcher": self.matcher.model_dump(mode="json"),
        }
        return _hash(relevant)

    def digest(self) -> str:
        """Return a short hash of all settings but the home. No secret is in it, so that it may be shown: another
        password alone gives no other digest."""
        given = self.model_dump(mode="json", exclude={"home"})  # what is a secret is dumped as stars
        given["kafka"]["client"] = {name: text for name, text in self.kafka.client.items() if not is_secret(name)}
        if self.mongo.uri is not None:
            given["mongo"]["uri"] = (_without_credentials(self.mongo.uri.get_secret_value()) or "").partition("?")[0]
        return _hash(given)


def is_secret(name: str) -> bool:
    """Tell whether a property of this name holds something that must not be shown."""
    return _SECRET_NAMES.search(name.lower()) is not None


def origins(given: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Return by dotted name which place sets a key, for the keys that any place sets."""
    found: dict[str, str] = {}
    for origin, values in given:
        found.update(dict.fromkeys(_dotted(values), origin))
    return found


def layers(
    overrides: Mapping[str, Any] | None, environ: Mapping[str, str] | None, root: Path | None
) -> list[tuple[str, dict[str, Any]]]:
    """Return where settings come from and what each place says, the weakest first.

    Raises:
        SettingsError: a file can't be read, or an environment variable is unknown.
    """
    env = os.environ if environ is None else environ
    file = settings_file(env, root)
    given = [("default", {"home": str(home_of({}, root))})]
    if file is not None:
        given.append((file.name, _read_file(file)))
    if env.get("ORDERS_HOME"):
        given.append(("environment", {"home": str(home_of(env, root))}))
    return [*given, ("environment", _read_environment(env)), ("option", dict(overrides or {}))]


def known_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every setting's dotted name."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def variable_of(key: str) -> str:
    """Return the environment variable that sets a key."""
    return PREFIX + key.upper().replace(".", "__")


def build(given: list[tuple[str, dict[str, Any]]]) -> Settings:
    """Return the settings that `layers` found.

    Raises:
        SettingsError: a key is unknown or a value is not what its key takes.
    """
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
        origin = next((found for part, found in origins(given).items() if part == key or key.startswith(part)), "")
        place = variable_of(key) if origin == "environment" else f"{key} in {origin}" if origin else key
        raise SettingsError(
            f"The setting {key} has a value that it can't have: {_reworded(first)}.", f"Correct {place}."
        ) from None


def _reworded(error: Mapping[str, Any]) -> str:
    if error["type"] in ("model_type", "dict_type"):
        return "it is a table of settings"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and prefix + name != "kafka.client":
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _read_file(file: Path) -> dict[str, Any]:
    try:
        read = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"The settings file {file} can't be read: {why}.", "Correct the file, which is TOML, or ORDERS_CONFIG."
        ) from None
    if "home" in read:
        raise SettingsError(f"The settings file {file} says where the home is.", "Set ORDERS_HOME instead.")
    return read


def _read_environment(env: Mapping[str, str]) -> dict[str, Any]:
    known = set(known_keys())
    values: dict[str, Any] = {}
    for name, text in setting_variables(env).items():
        key = name.removeprefix(PREFIX).lower().replace("__", ".")
        if key not in known:
            raise _unknown_variable(name)
        *groups, last = key.split(".")
        here = values
        for group in groups:
            here = here.setdefault(group, {})
        here[last] = _mapping(key, text) if key == "kafka.client" else text
    return values


def _hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _without_credentials(uri: str | None) -> str | None:
    return None if uri is None else _CREDENTIALS.sub("", uri)


def _mapping(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(f"The setting {key} is not JSON.", 'Write it as {"security.protocol": "SSL"}.') from None


def _unknown(key: str) -> SettingsError:
    known = list(known_keys())
    groups = sorted({each.partition(".")[0] for each in known} - {"home"})
    near = difflib.get_close_matches(key, known + groups, n=1)
    group = key.partition(".")[0]
    choices = [each for each in known if each.startswith(f"{group}.")] or groups
    fix = f"Did you mean {near[0]}?" if near else f"Remove it, or choose from {', '.join(choices)}."
    return SettingsError(f"There is no setting {key}.", fix)


def _unknown_variable(name: str) -> SettingsError:
    known = sorted(RESERVED) + [variable_of(key) for key in known_keys()]
    near = difflib.get_close_matches(name, known, n=1)
    fix = f"Did you mean {near[0]}?" if near else "Unset it; `orders config` shows all settings then."
    return SettingsError(f"The environment variable {name} is no setting.", fix)


def _secret(value: SecretStr | None, file: Path | None, key: str, name: str | None) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None if name is None else secret(name)
    try:
        return file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"The file of {key} can't be read: {error.strerror}.", "Correct its path or mode."
        ) from None
