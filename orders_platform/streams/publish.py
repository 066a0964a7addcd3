"""Sending messages so that each is known to be kept by Kafka, or known to have failed."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from orders_platform.errors import OrdersError
from orders_platform.streams.client import MESSAGE_TIMED_OUT, properties, refusal, translated, unreachable

QUEUE_MESSAGES_MAX = 100_000
QUEUE_KIB_MAX = 128 * 1024
DELIVERY_TIMEOUT_S = 60.0

_POLL_EVERY = 512  # messages between two looks at the delivery reports
_REPORT_LATE_MAX_S = 10.0
"""librdkafka looks only once a second for messages whose delivery timeout is over, later where the machine is busy."""


class Publisher:
    """Sends messages with acks=all and an idempotent producer, so that a retry neither repeats nor reorders them.

    `sent` counts what every in-sync replica has acknowledged, `failed` what was given up; once `flush` is done their
    sum is the number of messages that were accepted by `send`. What failed may still be in the topic where the broker
    took it and the acknowledgement was lost. Use it in a `with` statement: its end flushes.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        client: Mapping[str, str],
        *,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
    ) -> None:
        """Make a producer; it connects by itself.

        Raises:
            SettingsError: `client` holds a property that the Kafka client does not take.
        """
        self.sent = 0
        self.failed = 0
        self._bootstrap_servers = bootstrap_servers
        self._delivery_timeout_s = delivery_timeout_s
        self._unpolled = 0
        self._failure: KafkaError | None = None
        with translated(bootstrap_servers, client):
            self._producer = Producer(
                properties(
                    bootstrap_servers,
                    client,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=20,
                    compression_type="lz4",
                    delivery_timeout_ms=int(delivery_timeout_s * 1000),
                    queue_buffering_max_messages=QUEUE_MESSAGES_MAX,
                    queue_buffering_max_kbytes=QUEUE_KIB_MAX,
                )
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        else:
            self._give_up()

    @property
    def waiting(self) -> int:
        """How many messages are neither acknowledged nor given up."""
        return len(self._producer)

    @property
    def failure(self) -> OrdersError | None:
        """Why the first message failed that did, or None."""
        return None if self._failure is None else refusal(self._bootstrap_servers, {}, self._failure)

    def send(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        """Queue a message, whose value may be none at all; waits while the queue is full.

        Raises:
            ServiceUnavailable: Kafka has taken nothing for the delivery timeout.
        """
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=self._delivered)
                break
            except BufferError:
                self._wait_for_room()
            except KafkaException as error:
                # Refused by the client itself, such as a message over message.max.bytes.
                self._count_failure(error.args[0])
                return
        self._unpolled += 1
        if self._unpolled >= _POLL_EVERY:
            self.poll(0)

    def poll(self, timeout_s: float) -> None:
        """Take in delivery reports for up to `timeout_s`."""
        self._unpolled = 0
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every message is acknowledged or given up: the delivery timeout and some seconds at most.

        Raises:
            ServiceUnavailable: `timeout_s` was over before that; what was still waiting counts as failed.
        """
        longest_s = self._delivery_timeout_s + _REPORT_LATE_MAX_S if timeout_s is None else timeout_s
        deadline = time.monotonic() + longest_s
        while self._producer.flush(max(0.0, min(0.5, deadline - time.monotonic()))):  # short, for Ctrl-C
            if time.monotonic() >= deadline:
                self._give_up()
                raise unreachable(self._bootstrap_servers)

    def _wait_for_room(self) -> None:
        deadline = time.monotonic() + self._delivery_timeout_s
        full = len(self._producer)
        while len(self._producer) >= full:
            self.poll(0.1)
            # A queue that empties because its messages time out makes no room for more of them.
            timed_out = self._failure is not None and self._failure.code() == MESSAGE_TIMED_OUT
            if timed_out or time.monotonic() >= deadline:
                raise unreachable(self._bootstrap_servers)

    def _give_up(self) -> None:
        self._producer.purge()
        self._producer.flush(5.0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.sent += 1
        else:
            self._count_failure(error)

    def _count_failure(self, error: KafkaError) -> None:
        self.failed += 1
        if self._failure is None:
            self._failure = error
