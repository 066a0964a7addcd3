"""Business days: their edges and lengths, also where the clocks change."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders_platform.errors import UsageError
from orders_platform.reports.days import date_at, day_of
from orders_platform.times import parse_rfc3339
from orders_platform_tests.strategies import patient

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("when", "zone", "start", "hours"),
    [
        ("2026-01-05", "UTC", "2026-01-05T00:00:00Z", 24),
        ("2026-03-29", "Europe/Paris", "2026-03-29T00:00:00+01:00", 23),
        ("2026-10-25", "Europe/Paris", "2026-10-25T00:00:00+02:00", 25),
        ("2026-03-08", "America/New_York", "2026-03-08T00:00:00-05:00", 23),
        ("2026-11-01", "America/New_York", "2026-11-01T00:00:00-04:00", 25),
        ("2026-10-04", "Australia/Lord_Howe", "2026-10-04T00:00:00+10:30", 23.5),
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T01:00:00-02:00", 23),  # midnight did not exist
        ("2018-02-17", "America/Sao_Paulo", "2018-02-17T00:00:00-02:00", 25),  # its last hour came twice
        ("2026-11-01", "America/Havana", "2026-11-01T00:00:00-04:00", 25),  # its first hour comes twice
    ],
)
def test_edges_and_length(when: str, zone: str, start: str, hours: float) -> None:
    day = day_of(date.fromisoformat(when), zone)
    assert (day.start_ms, day.end_ms - day.start_ms) == (parse_rfc3339(start), hours * HOUR_MS)


@patient
@given(
    st.dates(date(1970, 1, 2), date(2100, 1, 1)),
    st.sampled_from(["UTC", "Europe/Paris", "America/Havana", "Asia/Kathmandu", "America/Sao_Paulo", "Asia/Beirut"]),
)
def test_days_follow_each_other_and_hold_their_times(when: date, zone: str) -> None:
    day, following = day_of(when, zone), day_of(when + timedelta(days=1), zone)
    assert day.end_ms == following.start_ms
    assert date_at(day.start_ms, zone) == date_at(day.end_ms - 1, zone) == when
    assert date_at(day.end_ms, zone) == when + timedelta(days=1)


def test_a_date_without_a_statement_is_refused() -> None:
    for when in (date(1969, 12, 31), date(9999, 1, 1)):
        with pytest.raises(UsageError):
            day_of(when, "UTC")
