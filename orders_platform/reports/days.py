"""Business days: from midnight to midnight in a time zone, so 23, 24 or 25 hours long."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from orders_platform.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST, _LAST = date(1970, 1, 1), date(9998, 12, 31)


class Day(msgspec.Struct, frozen=True):
    """A business day and its edges (UTC milliseconds): what occurred on it lies in [start_ms, end_ms)."""

    date: date
    time_zone: str
    start_ms: int
    end_ms: int


def day_of(when: date, time_zone: str) -> Day:
    """Return a date's business day. Where midnight does not exist it begins at the change of the clocks; where it
    comes twice, with the first.

    Raises:
        UsageError: the date lies outside the years 1970 to 9998.
    """
    if not _FIRST <= when <= _LAST:
        raise UsageError(f"{when} has no statement.", "Name a date from 1970 to 9998.")
    zone = ZoneInfo(time_zone)
    return Day(when, time_zone, _midnight_ms(when, zone), _midnight_ms(when + timedelta(days=1), zone))


def date_at(time_ms: int, time_zone: str) -> date:
    """Return the business day on which a time lies."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).astimezone(ZoneInfo(time_zone)).date()


def _midnight_ms(when: date, zone: ZoneInfo) -> int:
    return (datetime(when.year, when.month, when.day, tzinfo=zone) - _EPOCH) // _MILLISECOND
