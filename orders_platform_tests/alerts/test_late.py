"""Which days are due, also where a day has 23 or 25 hours."""

import pytest

from orders_platform.alerts.late import due
from orders_platform.times import parse_rfc3339

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("now", "since", "zone", "hours", "days"),
    [
        ("2026-01-06T05:59:59Z", "2026-01-02T12:00:00Z", "UTC", 6, ["2026-01-02", "2026-01-03", "2026-01-04"]),
        ("2026-01-06T06:00:00Z", "2026-01-04T12:00:00Z", "UTC", 6, ["2026-01-04", "2026-01-05"]),
        ("2026-01-06T06:00:00Z", "2026-01-06T00:00:00Z", "UTC", 6, []),
        ("2026-01-06T06:00:00Z", "2026-01-05T23:59:59Z", "UTC", 6, ["2026-01-05"]),
        ("2026-01-06T06:00:00Z", "2026-01-05T12:00:00Z", "America/New_York", 6, []),
        ("2026-01-06T11:00:00Z", "2026-01-05T12:00:00Z", "America/New_York", 6, ["2026-01-05"]),
        # 25 October has 25 hours in Paris: it ends at 23:00 UTC; the day before at 22:00.
        ("2026-10-26T00:59:59Z", "2026-10-25T00:00:00Z", "Europe/Paris", 2, []),
        ("2026-10-26T01:00:00Z", "2026-10-25T00:00:00Z", "Europe/Paris", 2, ["2026-10-25"]),
        ("2026-10-25T00:00:00Z", "2026-10-24T00:00:00Z", "Europe/Paris", 2, ["2026-10-24"]),
        ("2026-01-06T00:00:00Z", "2026-01-05T12:00:00Z", "UTC", 0, ["2026-01-05"]),
        ("2026-01-20T00:00:00Z", "2026-01-10T12:00:00Z", "UTC", 168, ["2026-01-10", "2026-01-11", "2026-01-12"]),
    ],
)  # fmt: skip
def test_days_due(now: str, since: str, zone: str, hours: int, days: list[str]) -> None:
    assert due(parse_rfc3339(now), parse_rfc3339(since), zone, hours * HOUR_MS) == days


def test_what_was_due_long_ago_is_left() -> None:
    assert len(due(parse_rfc3339("2026-06-01T06:00:00Z"), 0, "UTC", 6 * HOUR_MS)) == 7
