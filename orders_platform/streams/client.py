"""What every Kafka client of this package shares: its properties, its silence, and how its failures are told."""

# ruff: noqa: SLF001 - the codes of librdkafka's own errors begin with an underscore
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from orders_platform.errors import ServiceUnavailable, SettingsError

APPLICATION = "orders-platform"  # what our connections call themselves

END_OF_PARTITION = KafkaError._PARTITION_EOF
MESSAGE_TIMED_OUT = KafkaError._MSG_TIMED_OUT

_UNREACHABLE = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    MESSAGE_TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
}
_NOT_ALLOWED = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}


def properties(bootstrap_servers: str, client: Mapping[str, str], **own: Any) -> dict[str, Any]:
    """Return librdkafka's configuration: ours, then what `client` sets; the servers are always those given.

    librdkafka's own log goes to the logger `orders_platform.kafka`, which is silent unless somebody listens: what
    matters comes as an error.
    """
    logger = logging.getLogger("orders_platform.kafka")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    ours = {name.replace("_", "."): value for name, value in own.items()}
    return {
        "client.id": APPLICATION,
        "logger": logger,
        **ours,
        **client,
        "bootstrap.servers": bootstrap_servers,
    }


@contextmanager
def admin(bootstrap_servers: str, client: Mapping[str, str]) -> Iterator[AdminClient]:
    """Give an admin client; what it raises inside comes out as an `OrdersError`.

    Raises:
        ServiceUnavailable: the broker can't be reached, or refuses.
        SettingsError: librdkafka does not know a property of `client`, or not its value.
    """
    with translated(bootstrap_servers, client):
        yield AdminClient(properties(bootstrap_servers, client))


@contextmanager
def translated(bootstrap_servers: str, client: Mapping[str, str]) -> Iterator[None]:
    """Turn what the Kafka client raises into an `OrdersError` that tells no property's value."""
    try:
        yield
    except KafkaException as error:
        raise refusal(bootstrap_servers, client, error.args[0]) from None


def refusal(bootstrap_servers: str, client: Mapping[str, str], error: KafkaError) -> ServiceUnavailable | SettingsError:
    """Return a Kafka client's error as ours."""
    code = error.code()
    if code == KafkaError._INVALID_ARG:
        # The text may quote the value: only the property's name is taken from it.
        named = [name for name in client if name in error.str()]
        its = f"the property {max(named, key=len)}" if named else "a property"
        return SettingsError(
            f"Kafka's client does not take {its} of the setting kafka.client.",
            "Correct its name and value: they are those of librdkafka's CONFIGURATION.md.",
        )
    if code in _NOT_ALLOWED:
        return ServiceUnavailable(
            f"Kafka at {bootstrap_servers} refused this client ({error.name()}).",
            "Correct kafka.client and the password, or have the right granted.",
        )
    if code in _UNREACHABLE:
        return unreachable(bootstrap_servers)
    return ServiceUnavailable(
        f"Kafka at {bootstrap_servers} answered with {error.name()}: {error.str().rstrip('.')}.",
        "Look at the broker's log; trying again is safe.",
    )


def unreachable(bootstrap_servers: str) -> ServiceUnavailable:
    """Return the error for a broker that does not answer."""
    return ServiceUnavailable(
        f"Kafka at {bootstrap_servers} does not answer.",
        "Start it with `orders up`, or correct kafka.bootstrap_servers and kafka.client.",
    )
