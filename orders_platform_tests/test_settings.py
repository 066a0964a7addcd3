"""Settings: which place wins, what is refused and with which words, and what is never shown."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orders_platform.errors import SettingsError
from orders_platform.matching import Rules
from orders_platform.settings import Settings, is_secret, known_keys, layers, origins, variable_of
from orders_platform.surroundings import RESERVED, duration, duration_text, nothing_is_set

SECRET = "hunter2"


def load(root: Path, toml: str = "", overrides: dict[str, Any] | None = None, /, **environ: str) -> Settings:
    if toml:
        (root / "orders.toml").write_text(toml)
    return Settings.load(overrides, environ, root)


def test_without_anything_set_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.home == tmp_path / ".orders"
    assert settings.kafka.topics == ("orders", "payments", "adjustments")
    assert settings.mongo.given_uri() is None
    assert nothing_is_set({}, tmp_path)
    assert nothing_is_set(dict.fromkeys(RESERVED - {"ORDERS_CONFIG"}, "x"), tmp_path)
    assert not nothing_is_set({"ORDERS_MATCHING__TOLERANCE_MINOR": "0"}, tmp_path)


def test_the_rules_of_the_settings_are_the_rules_without_settings(tmp_path: Path) -> None:
    # `orders fold` relies on it where nothing is set.
    assert load(tmp_path).matching.rules() == Rules()


def test_options_beat_variables_beat_the_file(tmp_path: Path) -> None:
    toml = '[matching]\ntolerance_minor = 1\npayment_window = "1h"\n[matcher]\nbuckets = 5\n'
    overrides = {"matching": {"tolerance_minor": 3}}
    environ = {"ORDERS_MATCHING__TOLERANCE_MINOR": "2", "ORDERS_MATCHING__PAYMENT_WINDOW": "2h"}
    settings = load(tmp_path, toml, overrides, **environ)
    assert settings.matching.tolerance_minor == 3
    assert settings.matching.payment_window == timedelta(hours=2)
    assert settings.matcher.buckets == 5
    found = origins(layers(overrides, environ, tmp_path))
    assert found["matching.tolerance_minor"] == "option"
    assert found["matching.payment_window"] == "environment"
    assert found["matcher.buckets"] == "orders.toml"
    assert "matcher.master" not in found


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.toml"
    elsewhere.write_text('[reports]\ntime_zone = "Europe/Paris"\n')
    assert load(tmp_path, ORDERS_CONFIG=str(elsewhere)).reports.time_zone == "Europe/Paris"
    assert not nothing_is_set({"ORDERS_CONFIG": str(elsewhere)}, tmp_path)


def test_the_home_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    assert load(tmp_path, ORDERS_HOME="/somewhere").home == Path("/somewhere")
    assert load(tmp_path, ORDERS_HOME="~/x").home == Path.home() / "x"
    assert load(tmp_path, ORDERS_HOME="").home == tmp_path / ".orders"


@pytest.mark.parametrize(
    ("toml", "environ", "what", "fix"),
    [
        ("[matching]\ntolerence_minor = 1\n", {}, "matching.tolerence_minor", "matching.tolerance_minor"),
        ("[matchin]\ntolerance_minor = 1\n", {}, "matchin", "matching"),
        (
            "zzzzzz = 1\n",
            {},
            "zzzzzz",
            "alerts, dataproc, kafka, kubernetes, live, local, matcher, matching, mongo, reports",
        ),
        (
            "[mongo]\nzzzzzzzzz = 1\n",
            {},
            "mongo.zzzzzzzzz",
            "mongo.uri, mongo.uri_file, mongo.uri_secret, mongo.database",
        ),
        ("[matching\n", {}, "can't be read", "TOML"),
        ("matching = 1\n", {}, "it is a table", "matching in orders.toml"),
        ('home = "/x"\n', {}, "home", "ORDERS_HOME"),
        ("[matcher]\nbuckets = 0\n", {}, "greater than or equal to 1", "matcher.buckets in orders.toml"),
        ("", {"ORDERS_MATCHER__BUCKET": "2"}, "ORDERS_MATCHER__BUCKET ", "ORDERS_MATCHER__BUCKETS"),
        ("", {"ORDERS_MATCHER_BUCKETS": "2"}, "ORDERS_MATCHER_BUCKETS ", "ORDERS_MATCHER__BUCKETS"),
        ("", {"ORDERS_HOM": "/x"}, "ORDERS_HOM ", "ORDERS_HOME"),
        ("", {"ORDERS_MATCHER__BUCKETS": "two"}, "valid integer", "ORDERS_MATCHER__BUCKETS"),
        ("", {"ORDERS_MATCHING__TOLERANCE_MINOR": "-1"}, "greater than", "ORDERS_MATCHING__TOLERANCE_MINOR"),
        ("", {"ORDERS_MATCHING__PAYMENT_WINDOW": "soon"}, "30m", "ORDERS_MATCHING__PAYMENT_WINDOW"),
        ("", {"ORDERS_REPORTS__TIME_ZONE": "Mars/Base"}, "no such time zone", "ORDERS_REPORTS__TIME_ZONE"),
        ("", {"ORDERS_KAFKA__CLIENT": "security"}, "not JSON", "security.protocol"),
        ("", {"ORDERS_CONFIG": "/nowhere/o.toml"}, "/nowhere/o.toml can't be read", "ORDERS_CONFIG"),
    ],
)
def test_what_is_wrong_is_named_and_what_to_do_too(
    tmp_path: Path, toml: str, environ: dict[str, str], what: str, fix: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, toml, **environ)
    assert what in refused.value.what
    assert fix in refused.value.fix


def test_every_key_has_a_variable_that_sets_it(tmp_path: Path) -> None:
    given = {"kafka.client": "{}", "reports.time_zone": "UTC", "matching.payment_window": "5m"}
    given |= {"matcher.backend": "dataproc", "dataproc.bucket": "gs://a-bucket"}
    given |= dict.fromkeys(("dataproc.name", "dataproc.cluster"), "a-name")
    secrets = ("kafka.password_secret", "mongo.uri_secret", "alerts.webhook_url_secret")
    given |= dict.fromkeys(secrets, "projects/p/secrets/s/versions/1")
    given |= {"matcher.starting_offsets": "latest", "alerts.format": "json", "alerts.statement_deadline": "1h"}
    given |= {"live.host": "0.0.0.0", "live.charts_url": "https://charts.example/d"}
    for key in known_keys():
        if key != "home":
            environ = {variable_of(key): given.get(key, "1")}
            assert origins(layers(None, environ, tmp_path))[key] == "environment"
            assert isinstance(load(tmp_path, **environ), Settings)


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(ValidationError):
        settings.matcher.buckets = 3


def test_secrets_are_in_no_text(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        ORDERS_MONGO__URI=f"mongodb://u:{SECRET}@h/",
        ORDERS_KAFKA__PASSWORD=SECRET,
        ORDERS_ALERTS__WEBHOOK_URL=f"https://h/{SECRET}",
        ORDERS_KAFKA__CLIENT=f'{{"sasl.password": "{SECRET}", "ssl.key.pem": "{SECRET}"}}',
    )
    assert SECRET not in f"{settings!r} {settings}"
    assert settings.mongo.given_uri() == f"mongodb://u:{SECRET}@h/"
    assert settings.kafka.client_properties()["sasl.password"] == SECRET


def test_a_wrong_value_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, f'[kafka.client]\n"sasl.password" = ["{SECRET}"]\n')
    assert SECRET not in str(refused.value)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "uri").write_text("mongodb://h/\n")
    settings = load(tmp_path, ORDERS_MONGO__URI_FILE=str(tmp_path / "uri"))
    assert settings.mongo.given_uri() == "mongodb://h/"
    (tmp_path / "hook").write_text("https://h/secret\n")
    assert (
        load(tmp_path, ORDERS_ALERTS__WEBHOOK_URL_FILE=str(tmp_path / "hook")).alerts.given_url() == "https://h/secret"
    )
    missing = load(tmp_path, ORDERS_KAFKA__PASSWORD_FILE=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"kafka\.password_file"):
        missing.kafka.client_properties()


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("sasl.password", True),
        ("ssl.key.password", True),
        ("ssl.key.pem", True),
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("security.protocol", False),
        ("ssl.ca.location", False),
        ("sasl.username", False),
    ],
)
def test_which_properties_are_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == secret


def test_the_fingerprint_sees_what_a_matcher_runs_with_and_no_more(tmp_path: Path) -> None:
    def fingerprint(**environ: str) -> str:
        return load(tmp_path, **environ).fingerprint()

    same = fingerprint()
    assert fingerprint(ORDERS_REPORTS__TIME_ZONE="Asia/Tokyo", ORDERS_HOME="/x") == same
    others = {
        fingerprint(ORDERS_MATCHING__TOLERANCE_MINOR="1"),
        fingerprint(ORDERS_MATCHING__PAYMENT_WINDOW="31m"),
        fingerprint(ORDERS_MATCHER__HOT_ORDERS_MAX="7"),
        fingerprint(ORDERS_KAFKA__BOOTSTRAP_SERVERS="other:9092"),
        fingerprint(ORDERS_KAFKA__CLIENT='{"security.protocol": "SSL"}'),
        fingerprint(ORDERS_MONGO__DATABASE="other"),
        fingerprint(ORDERS_MONGO__URI="mongodb://other/"),
    }
    assert len(others) == 7
    assert same not in others


def test_the_digest_sees_every_setting_and_no_secret(tmp_path: Path) -> None:
    def digest(**environ: str) -> str:
        return load(tmp_path, **environ).digest()

    plain = digest()
    assert digest(ORDERS_HOME="/x") == plain
    changed = [
        digest(ORDERS_REPORTS__TIME_ZONE="Asia/Tokyo"),
        digest(ORDERS_LOCAL__LIVE_PORT="9099"),
        digest(ORDERS_LIVE__CHARTS_URL="https://charts.example/x"),
        digest(ORDERS_MONGO__URI="mongodb://h/"),
        digest(ORDERS_MONGO__URI="mongodb://other/"),
        digest(ORDERS_KAFKA__CLIENT='{"security.protocol": "SSL"}'),
    ]
    assert len({plain, *changed}) == len(changed) + 1
    first, second = (
        digest(
            ORDERS_MONGO__URI=f"mongodb://u:{word}@h/?authMechanismProperties=AWS_SESSION_TOKEN:{word}",
            ORDERS_KAFKA__PASSWORD=word,
            ORDERS_KAFKA__CLIENT=f'{{"ssl.key.password": "{word}"}}',
            ORDERS_ALERTS__WEBHOOK_URL=f"https://h/{word}",
        )
        for word in ("one", "two")
    )
    assert first == second


def test_the_fingerprint_does_not_depend_on_secrets(tmp_path: Path) -> None:
    first, second = (
        load(tmp_path, ORDERS_MONGO__URI=f"mongodb://u:{word}@h/", ORDERS_KAFKA__PASSWORD=word).fingerprint()
        for word in ("one", "two")
    )
    assert first == second


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("500ms", 500), ("90s", 90_000), ("30m", 1_800_000), ("2h", 7_200_000), ("1d", 86_400_000)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert duration(text) == timedelta(milliseconds=milliseconds)
    assert duration(duration_text(duration(text))) == duration(text)


def test_durations_add_up_and_are_said_in_the_largest_units() -> None:
    assert duration("1h30m") == timedelta(minutes=90)
    assert duration_text(timedelta(minutes=90)) == "1h30m"
    assert duration_text(timedelta()) == "0s"


@pytest.mark.parametrize("text", ["", "30", "-1m", "1.5h", "m", "1 m", "1w", "36526d", "9" * 30 + "s", "٣m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)
