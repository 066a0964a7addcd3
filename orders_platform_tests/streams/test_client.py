"""Failures of the Kafka client as sentences: no secret in them, in time, and of the right kind. No broker is needed."""

import time
from collections.abc import Callable

import pytest

from orders_platform.errors import ServiceUnavailable, SettingsError
from orders_platform.streams import offsets, read, topics
from orders_platform.streams.publish import Publisher

NOWHERE = "127.0.0.1:1"
SECRET = "hunter2-of-the-cluster"


def publish(bootstrap_servers: str, client: dict[str, str]) -> None:
    with Publisher(bootstrap_servers, client, delivery_timeout_s=1.0) as publisher:
        publisher.send("orders", None, b"{}")
        publisher.flush()
        raise publisher.failure or AssertionError("it was sent")


CALLS: dict[str, Callable[[str, dict[str, str]], object]] = {
    "ensure_topics": lambda at, client: topics.ensure_topics(at, client, ["orders"], 2, timeout_s=1.0),
    "require_topic": lambda at, client: topics.require_topic(at, client, "orders", timeout_s=1.0),
    "end_offsets": lambda at, client: offsets.end_offsets(at, client, ["orders"], timeout_s=1.0),
    "begin_offsets": lambda at, client: offsets.begin_offsets(at, client, ["orders"], timeout_s=1.0),
    "offsets_for_time": lambda at, client: offsets.offsets_for_time(at, client, ["orders"], 0, timeout_s=1.0),
    "read_range": lambda at, client: list(read.read_range(at, client, {"o": {0: 0}}, {"o": {0: 1}}, timeout_s=1.0)),
    "publish": publish,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_broker_that_is_not_there_is_told_in_time(call: Callable[[str, dict[str, str]], object]) -> None:
    started_s = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=f"Kafka at {NOWHERE} does not answer") as caught:
        call(NOWHERE, {})
    assert "orders up" in caught.value.fix
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    ("client", "named"),
    [
        ({"security.protocol": SECRET}, "security.protocol"),
        ({"sasl.secret": SECRET}, "sasl.secret"),
        ({"enable.ssl.certificate.verification": SECRET}, "enable.ssl.certificate.verification"),
        ({"debug": SECRET}, "debug"),
        ({"ssl.key.location": f"/{SECRET}", "security.protocol": "SSL"}, "ssl.key.location"),
    ],
)
def test_a_wrong_property_is_named_without_its_value(
    call: Callable[[str, dict[str, str]], object], client: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        call(NOWHERE, client)
    assert f"property {named} " in caught.value.what
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_the_password_is_in_no_error_and_no_output(capfd: pytest.CaptureFixture[str]) -> None:
    client = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "PLAIN",
        "sasl.username": "shop",
        "sasl.password": SECRET,
    }
    with pytest.raises(ServiceUnavailable) as caught:
        offsets.end_offsets(NOWHERE, client, ["orders"], timeout_s=1.0)
    said = capfd.readouterr()
    assert SECRET not in str(caught.value) + said.out + said.err
    assert said.err == ""


def test_a_publisher_that_nobody_answers_gives_up_and_counts_everything() -> None:
    publisher = Publisher(NOWHERE, {}, delivery_timeout_s=1.0)
    with publisher:
        for _ in range(1000):
            publisher.send("orders", b"key", b"{}")
        publisher.flush()
    assert (publisher.sent, publisher.failed, publisher.waiting) == (0, 1000, 0)
    assert isinstance(publisher.failure, ServiceUnavailable)


def test_a_full_queue_that_nobody_empties_ends_the_sending() -> None:
    accepted = 0
    publisher = Publisher(NOWHERE, {"queue.buffering.max.messages": "500"}, delivery_timeout_s=1.0)
    with pytest.raises(ServiceUnavailable), publisher:
        for _ in range(2000):
            publisher.send("orders", None, b"{}")
            accepted += 1
    assert (publisher.sent, publisher.failed) == (0, accepted)
    assert publisher.waiting == 0


def test_leaving_with_an_error_waits_for_nobody() -> None:
    started_s = time.monotonic()
    publisher = Publisher(NOWHERE, {})
    with pytest.raises(KeyboardInterrupt), publisher:
        publisher.send("orders", None, b"{}")
        raise KeyboardInterrupt
    assert time.monotonic() - started_s < 30
    assert (publisher.sent, publisher.failed) == (0, 1)
