"""Kafka as Spark reads it: raw values with their coordinates, spread over buckets by order."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name that every PySpark reader expects

from orders_platform.errors import SettingsError

# librdkafka's names of what people configure, and the Java client's.
_JAVA_NAMES = {
    "ssl.ca.location": "ssl.truststore.location",
    "ssl.certificate.location": "ssl.keystore.location",
    "sasl.mechanisms": "sasl.mechanism",
}
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def read_messages(
    spark: SparkSession,
    bootstrap_servers: str,
    client: Mapping[str, str],
    topics: Sequence[str],
    starting_offsets: str,
    events_per_batch_max: int,
) -> DataFrame:
    """Return the topics' messages as a stream: key, value, topic, partition, offset, timestamp.

    Messages of aborted transactions are left out. Lost messages stop the stream with an error instead of being
    skipped (`failOnDataLoss`).
    """
    reader = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap_servers)
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", ",".join(topics))
        .option("startingOffsets", starting_offsets)
        .option("maxOffsetsPerTrigger", events_per_batch_max)
    )
    for name, value in java_properties(client).items():
        reader = reader.option(f"kafka.{name}", value)
    return reader.load()


def java_properties(client: Mapping[str, str]) -> dict[str, str]:
    """Return librdkafka's client properties under the names, and in the forms, of Kafka's Java client.

    Raises:
        SettingsError: a user name and a password are given for a mechanism that takes none.
    """
    given = dict(client)
    username, password = given.pop("sasl.username", None), given.pop("sasl.password", None)
    properties = {_JAVA_NAMES.get(name, name): value for name, value in given.items()}
    for store in ("truststore", "keystore"):
        if f"ssl.{store}.location" in properties:
            properties[f"ssl.{store}.type"] = "PEM"
    if username is not None and password is not None:
        mechanism = properties.get("sasl.mechanism", "PLAIN")
        if mechanism not in _LOGIN_MODULES:
            raise SettingsError(
                f"kafka.client asks for SASL {mechanism} with a user name and a password.",
                f"Use one of {', '.join(_LOGIN_MODULES)}, or another way to authenticate.",
            )
        module = _LOGIN_MODULES[mechanism]
        properties["sasl.jaas.config"] = f"{module} required username={_quoted(username)} password={_quoted(password)};"
    return properties


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def by_bucket(messages: DataFrame, ids: Sequence[int]) -> DataFrame:
    """Return the messages with the bucket of their order.

    The key is the order's id where producers set it; without a key the id is read from the value. A wrong key only
    costs speed: an order in two buckets is merged by both, as by two matchers.
    """
    order: Column = F.coalesce(
        F.col("key").cast("string"), F.get_json_object(F.col("value").cast("string"), "$.order_id"), F.lit("")
    )
    position = F.pmod(F.xxhash64(order), F.lit(len(ids))).cast("int")
    return messages.select(
        F.element_at(F.array(*map(F.lit, ids)), position + 1).alias("bucket"),
        "value",
        "topic",
        "partition",
        "offset",
        F.unix_millis("timestamp").alias("time_ms"),
    )
