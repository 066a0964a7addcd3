"""Kafka's client properties under Java's names."""

import pytest

from orders_platform.errors import SettingsError
from spark.source import java_properties

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"security.protocol": "SSL"}, {"security.protocol": "SSL"}),
        (
            {"ssl.ca.location": "/ca.pem"},
            {"ssl.truststore.location": "/ca.pem", "ssl.truststore.type": "PEM"},
        ),
        (
            {"sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": 'a"b', "sasl.password": "c\\d"},
            {
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
                'username="a\\"b" password="c\\\\d";',
            },
        ),
    ],
)
def test_properties_take_the_names_of_the_java_client(given: dict[str, str], expected: dict[str, str]) -> None:
    assert java_properties(given) == expected


def test_a_password_for_a_mechanism_that_takes_none_is_a_wrong_setting() -> None:
    given = {"sasl.mechanisms": "GSSAPI", "sasl.username": "a", "sasl.password": "secret"}
    with pytest.raises(SettingsError, match="SASL GSSAPI") as raised:
        java_properties(given)
    assert "secret" not in str(raised.value)
