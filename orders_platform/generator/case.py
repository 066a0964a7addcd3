"""One order while its story is told: the events that were written, and the document they must end in."""

from collections.abc import Callable
from typing import NamedTuple

from orders_platform.generator.shop import METHODS, Clock
from orders_platform.streams.roles import ADJUSTMENTS, ORDERS, PAYMENTS

HOUR_MS = 3_600_000


class Expected(NamedTuple):
    """The document of one order once its deadline has passed, in the fields of `orders fold`; times in UTC ms."""

    order_id: str
    status: str
    outcome: str
    reasons: tuple[str, ...]
    currency: str
    due_minor: int | None
    captured_minor: int
    refunded_minor: int
    charged_back_minor: int
    net_minor: int
    deadline_at_ms: int
    cancelled_at_ms: int | None
    settled_at_ms: int | None
    event_count: int

    def json_line(self, clock: Clock) -> str:
        """Return the document as `orders fold` prints it."""
        reasons = ",".join(f'"{reason}"' for reason in self.reasons)
        cancelled = "null" if self.cancelled_at_ms is None else f'"{clock.text(self.cancelled_at_ms)}"'
        settled = "null" if self.settled_at_ms is None else f'"{clock.text(self.settled_at_ms)}"'
        due = "null" if self.due_minor is None else self.due_minor
        return (
            f'{{"order_id":"{self.order_id}","status":"{self.status}","outcome":"{self.outcome}",'
            f'"reasons":[{reasons}],"currency":"{self.currency}","due_minor":{due},'
            f'"captured_minor":{self.captured_minor},"refunded_minor":{self.refunded_minor},'
            f'"charged_back_minor":{self.charged_back_minor},"net_minor":{self.net_minor},'
            f'"deadline_at":"{clock.text(self.deadline_at_ms)}","cancelled_at":{cancelled},'
            f'"settled_at":{settled},"event_count":{self.event_count}}}\n'
        )


class Case:
    """Writes the events of one order. Every call of a writing method is one more distinct event.

    `due_minor` is what the order costs, large beside the tolerance; `messages` holds what was written:
    (occurred at, topic's role, bytes).
    """

    __slots__ = (
        "_clock",
        "_draw",
        "_ids",
        "currency",
        "customer_id",
        "deadline_ms",
        "due_minor",
        "messages",
        "order_id",
        "other_currency",
        "placed_ms",
        "tolerance_minor",
        "window_ms",
    )

    def __init__(
        self,
        order_id: str,
        placed_ms: int,
        due_minor: int,
        currency: str,
        other_currency: str,
        customer_id: str,
        tolerance_minor: int,
        window_ms: int,
        draw: Callable[[], float],
        clock: Clock,
    ) -> None:
        self.order_id = order_id
        self.placed_ms = placed_ms
        self.due_minor = due_minor
        self.currency = currency
        self.other_currency = other_currency
        self.customer_id = customer_id
        self.tolerance_minor = tolerance_minor
        self.window_ms = window_ms
        self.deadline_ms = placed_ms + window_ms
        self.messages: list[tuple[int, str, bytes]] = []
        self._draw = draw
        self._clock = clock
        self._ids = 0

    # When things happen.

    def between(self, least: float, most: float) -> int:
        """Return a time in the payment window: 0.0 is its begin, 1.0 its end."""
        return self.placed_ms + int(self.window_ms * (least + (most - least) * self._draw()))

    def soon(self) -> int:
        """Return when most people pay: in the first tenth of the window, some in its first half."""
        part = 0.02 + 0.48 * self._draw() ** 3
        return self.placed_ms + int(self.window_ms * part)

    def hours(self, least: float, most: float) -> int:
        """Return a length of time between so many hours, in milliseconds, never 0."""
        return 1 + int(HOUR_MS * (least + (most - least) * self._draw()))

    def part(self, whole_minor: int, least: float, most: float) -> int:
        """Return a part of an amount, between these fractions of it."""
        return int(whole_minor * (least + (most - least) * self._draw()))

    def chance(self, probability: float) -> bool:
        """Return whether something happens that does so with a probability."""
        return self._draw() < probability

    # What happens.

    def place(self, at_ms: int | None = None, due_minor: int | None = None) -> None:
        """Write that the order was placed, as it stands or with another time and amount."""
        at = self.placed_ms if at_ms is None else at_ms
        due = self.due_minor if due_minor is None else due_minor
        self._write(
            ORDERS,
            at,
            f'"type":"order_placed"{self._money(due)},"customer_id":"{self.customer_id}"',
        )

    def cancel(self, at_ms: int) -> None:
        """Write that the order was cancelled."""
        self._write(ORDERS, at_ms, '"type":"order_cancelled","reason":"customer_request"')

    def pay(
        self,
        at_ms: int,
        amount_minor: int,
        payment_id: str | None = None,
        *,
        currency: str | None = None,
        event_id: str | None = None,
    ) -> str:
        """Write that a payment was captured; return its id. A given `event_id` is used instead of a new one."""
        payment = payment_id or self._new_id("pay")
        method = METHODS[int(self._draw() * len(METHODS))]
        self._write(
            PAYMENTS,
            at_ms,
            f'"type":"payment_captured"{self._money(amount_minor, currency)},"payment_id":"{payment}",'
            f'"method":"{method}"',
            event_id,
        )
        return payment

    def fail(self, at_ms: int) -> None:
        """Write that a payment failed."""
        self._write(
            PAYMENTS,
            at_ms,
            f'"type":"payment_failed","payment_id":"{self._new_id("pay")}","method":"card",'
            '"reason":"insufficient_funds"',
        )

    def refund(self, at_ms: int, amount_minor: int, payment_id: str | None, refund_id: str | None = None) -> str:
        """Write that a refund was issued, for a payment where it says which; return its id."""
        refund = refund_id or self._new_id("ref")
        self._write(
            ADJUSTMENTS,
            at_ms,
            f'"type":"refund_issued"{self._money(amount_minor)}{_of(payment_id)},"refund_id":"{refund}"',
        )
        return refund

    def dispute(self, at_ms: int, amount_minor: int, payment_id: str | None, chargeback_id: str | None = None) -> str:
        """Write that a charge-back was opened, for a payment where it says which; return its id."""
        chargeback = chargeback_id or self._new_id("cb")
        self._write(
            ADJUSTMENTS,
            at_ms,
            f'"type":"chargeback_opened"{self._money(amount_minor)}{_of(payment_id)},"chargeback_id":"{chargeback}",'
            '"reason":"not_received"',
        )
        return chargeback

    def win(self, at_ms: int, chargeback_id: str) -> None:
        """Write that the merchant won a charge-back."""
        self._write(ADJUSTMENTS, at_ms, f'"type":"chargeback_reversed","chargeback_id":"{chargeback_id}"')

    def new_event_id(self) -> str:
        """Return an event id that is used nowhere else."""
        return self._new_id("evt")

    # What it must come to.

    def expect(
        self,
        status: str,
        outcome: str,
        *reasons: str,
        captured: int = 0,
        refunded: int = 0,
        charged_back: int = 0,
        settled_at_ms: int | None = None,
        cancelled_at_ms: int | None = None,
        orphan_since_ms: int | None = None,
    ) -> Expected:
        """State the document; amounts in minor units. `reasons` come in alphabetical order. Without an order,
        `orphan_since_ms` is the time of the earliest event."""
        return Expected(
            self.order_id,
            status,
            outcome,
            reasons,
            self.currency,
            self.due_minor if orphan_since_ms is None else None,
            captured,
            refunded,
            charged_back,
            captured - refunded - charged_back,
            self.deadline_ms if orphan_since_ms is None else orphan_since_ms + self.window_ms,
            cancelled_at_ms,
            settled_at_ms,
            len(self.messages),
        )

    def _write(self, role: str, at_ms: int, rest: str, event_id: str | None = None) -> None:
        value = (
            f'{{"event_id":"{event_id or self._new_id("evt")}","order_id":"{self.order_id}",'
            f'"occurred_at":"{self._clock.text(at_ms)}",{rest}}}'
        )
        self.messages.append((at_ms, role, value.encode()))

    def _money(self, amount_minor: int, currency: str | None = None) -> str:
        return f',"amount_minor":{amount_minor},"currency":"{currency or self.currency}"'

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self.order_id}-{self._ids}"


def _of(payment_id: str | None) -> str:
    return "" if payment_id is None else f',"payment_id":"{payment_id}"'
