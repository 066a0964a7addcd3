"""Statements of any size, with figures drawn from a seed: what pages are tried on."""

from datetime import date, timedelta
from random import Random

from orders_platform.matching.status import BREAK_REASONS, BREAK_STATUSES
from orders_platform.reports.breaks import Break
from orders_platform.reports.bridge import LINES, Bridge
from orders_platform.reports.revisions import Changes, LateEvent
from orders_platform.reports.statement import BREAKS, CLEAN, INCOMPLETE, BreakLists, Coverage, Statement

DAY = date(2026, 1, 5)
CODES = [
    *("EUR", "USD", "GBP", "JPY", "PLN", "KWD", "CHF", "SEK", "NOK", "DKK", "CZK", "HUF"),
    *("RON", "BGN", "TRY", "AUD", "CAD", "NZD", "SGD", "BRL", "MXN", "ZAR", "INR", "KRW"),
    *(f"X{first}{second}" for first in "ABCDEF" for second in "ABCDEF"),
]
KINDS = sorted(BREAK_STATUSES | BREAK_REASONS)
STATUSES = sorted(
    BREAK_STATUSES
    | {"matched", "awaiting_payment", "awaiting_order", "partially_paid", "refunded", "partially_refunded", "cancelled"}
)
LETTERS = [
    *("bad_amount", "bad_currency", "bad_id", "bad_text", "bad_time", "missing_field", "not_json", "too_large"),
    *(f"reason_{number}" for number in range(30)),
]


def statement(
    currencies: int = 2,
    breaks: int = 9,
    kinds: int = 5,
    letters: int = 2,
    residuals: int = 0,
    suspects: int = 0,
    seed: int = 1,
) -> Statement:
    """Return a statement with so many of each; without currencies it is of a day on which nothing had ever happened."""
    random = Random(seed)
    codes = CODES[:currencies]
    bridges = {code: bridge(random, 10 ** (9 - place // 8)) for place, code in enumerate(codes)}
    for code in codes[:residuals]:
        bridges[code].closing_minor += 1_234
        bridges[code].residual_minor = 1_234
    listed = [one_break(random, number, codes, KINDS[:kinds]) for number in range(breaks)]
    new = [each for each in listed if each.age_days == 0]
    persisting = [each for each in listed if each.age_days]
    counts = {status: random.randrange(1, 20_000) for status in STATUSES} if currencies else {}
    return Statement(
        date=DAY.isoformat(),
        time_zone="Europe/Paris",
        provisional=False,
        verdict=INCOMPLETE if residuals or suspects else BREAKS if breaks else CLEAN,
        settings={"tolerance_minor": 0, "payment_window_ms": 1_800_000},
        currencies=dict(sorted(bridges.items())),
        orders_by_status={"opening": counts, "closing": {name: count + 7 for name, count in counts.items()}},
        match_rate=0.874321 if currencies else None,
        match_rate_by_amount={code: round(random.random(), 6) for code in sorted(codes)} or None,
        payment_delay_s={"p50": 71.5, "p95": 5_400.0} if currencies else {"p50": None, "p95": None},
        breaks=BreakLists(new, persisting, [one_break(random, 10**6 + at, codes, KINDS) for at in range(breaks // 9)]),
        dead_letters={reason: random.randrange(1, 40) for reason in LETTERS[:letters]},
        coverage=Coverage(
            {topic: {"0": 123_456, "1": 123_789} for topic in ("orders", "payments", "adjustments")} if codes else {},
            24_000 if codes else 0,
            "9f" * 32,
            {},
            [f"ord-suspect-{number}" for number in range(suspects)],
        ),
    )


def changes(figures: int = 40, late: int = 20) -> Changes:
    """Return what a revision changed, at length."""
    moved = {f"currencies.EUR.figure_{number}": (number, number + 1) for number in range(figures)}
    events = [LateEvent(f"evt-{at}", f"ord-{at}", "payment_captured", "2026-01-05T10:00:00Z") for at in range(late)]
    return Changes(moved, ["ord-1:unpaid"], [], [f"ord-{at}:overpaid" for at in range(30)], events, late)


def rates(days: int = 13) -> list[tuple[str, float | None]]:
    """Return match rates of the days before, one of them without any."""
    dates = [DAY - timedelta(back) for back in range(days, 0, -1)]
    return [(each.isoformat(), None if place == 4 else 0.81 + place * 0.006) for place, each in enumerate(dates)]


def bridge(random: Random, most_minor: int) -> Bridge:
    lines = {line: random.randrange(most_minor // (4 if sign < 0 else 3)) for line, sign in LINES}
    made = Bridge(opening_minor=random.randrange(-most_minor // 9, most_minor // 2), **lines)
    made.corrections_minor -= most_minor // 8
    made.closing_minor = made.opening_minor + made.moved_minor()
    return made


def one_break(random: Random, number: int, codes: list[str], kinds: list[str]) -> Break:
    kind, code, days = random.choice(kinds), random.choice(codes), random.choice((0, 0, 0, 1, 3, 8, 20, 45))
    order_id = f"ord-56faae8d-{number:08d}"
    foreign = {"USD": 1_250} if kind == "currency_mismatch" else {}
    amount_minor = 0 if kind.startswith("conflicting") else random.randrange(100, 500_000)
    return Break(f"{order_id}:{kind}", kind, order_id, code, amount_minor, DAY - timedelta(days), days, foreign)
