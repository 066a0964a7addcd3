"""What a generated stream is made of. Shares are percentages."""

import hashlib
import json
from collections.abc import Mapping

import msgspec

from orders_platform.errors import UsageError
from orders_platform.generator.archetypes import ARCHETYPES, PAID
from orders_platform.matching import Rules
from orders_platform.times import MAX_MS

DAY_MS = 86_400_000
# The last event of an order comes at most this long after the order, its payment window left out.
TAIL_MS = 14 * DAY_MS
# No event is dated earlier before its order than this.
LEAD_MS = 600_000

_WINDOW_MS_MIN = 1000
_ROUNDING = 0.01  # per cent


class GeneratorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One stream; the same options give the same bytes.

    Attributes:
        orders: how many; ids have eight digits, so that the truth of up to 99,999,999 is sorted as it is made.
        start_ms: when the first day begins (UTC milliseconds).
        days: over how many days the orders are spread.
        shares: percentage of orders by archetype, for those that differ from the defaults.
        duplicates: percentage of messages that are delivered again, the same content.
        poison: percentage of messages that have a message beside them which must be rejected.
        out_of_order: percentage of messages that arrive up to two hours after what happened.
        late: percentage of messages that arrive up to two days after what happened.
        rules: the settings of matching under which the expected documents hold.
    """

    start_ms: int
    orders: int = 1000
    seed: int = 0
    days: int = 7
    shares: Mapping[str, float] = {}
    duplicates: float = 5.0
    poison: float = 1.0
    out_of_order: float = 10.0
    late: float = 1.0
    rules: Rules = Rules()

    def check_times(self) -> None:
        """Check that every time of the stream can be written.

        Raises:
            UsageError: the payment window is too short, or an event would lie outside the years 1970 to 9999.
        """
        if self.rules.payment_window_ms < _WINDOW_MS_MIN:
            raise UsageError(
                "The payment window is shorter than a second, too short to place payments within it.",
                "Set matching.payment_window to 1s or more.",
            )
        last_ms = self.start_ms + self.days * DAY_MS + TAIL_MS + self.rules.payment_window_ms
        if self.start_ms < LEAD_MS or last_ms > MAX_MS:
            raise UsageError(
                "Some events would lie outside the years 1970 to 9999.", "Choose another start, or fewer days."
            )

    def weights(self) -> dict[str, float]:
        """Return the percentage of every archetype, 100 in all.

        Those of `shares` are as given. Of what they leave the others take their defaults and plainly paid orders the
        rest; where that is too little for the defaults, or plainly paid orders have a share of their own, the others
        fill it in proportion.

        Raises:
            UsageError: the shares can't add up to 100 %, or a story needs a tolerance and there is none.
        """
        given = {name: share for name, share in self.shares.items() if share > 0}
        others: dict[str, float] = {}
        for name, archetype in ARCHETYPES.items():
            possible = self.rules.tolerance_minor > 0 or not archetype.needs_tolerance
            if name in given and not possible:
                raise UsageError(
                    f"Without a tolerance there are no orders of the kind {name}.",
                    "Set matching.tolerance_minor, or leave its share out.",
                )
            if name not in self.shares and possible:
                others[name] = archetype.share
        left = 100.0 - sum(given.values())
        if PAID in others:
            others[PAID] = max(0.0, left - sum(others.values()))
        default = sum(others.values())
        if left < -_ROUNDING or (default == 0 and left > _ROUNDING):
            raise UsageError(f"The shares of orders add up to {100.0 - left:g} %.", "Let them add up to 100 %.")
        weights = given | {name: share * left / default for name, share in others.items() if default and left > 0}
        return {name: weights[name] for name in ARCHETYPES if weights.get(name, 0) > 0}

    def tag(self) -> str:
        """Return a short name that differs between any two streams, so that they never share an order's id."""
        given = json.dumps(msgspec.to_builtins(self), sort_keys=True)
        return hashlib.sha256(given.encode()).hexdigest()[:8]


def start_in_the_past(now_ms: int, days: int, rules: Rules) -> int:
    """Return the latest midnight (UTC) from which a stream of `days` lies so far back that no deadline is open."""
    latest_ms = now_ms - days * DAY_MS - TAIL_MS - rules.payment_window_ms
    return max(0, latest_ms // DAY_MS * DAY_MS)
