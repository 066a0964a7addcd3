"""Which days' statements should be there by now."""

from datetime import timedelta

from orders_platform.reports.days import date_at, day_of

_DAYS_BACK = 7
"""Later than this a late statement is told no more, if nobody was there to tell it in all that time."""
_DAY_MS = 86_400_000


def due(now_ms: int, since_ms: int, time_zone: str, deadline_ms: int) -> list[str]:
    """Return the days, the oldest first, that ended after `since_ms` and at least `deadline_ms` ago."""
    today = date_at(now_ms, time_zone)
    days = [
        day_of(today - timedelta(days=back), time_zone) for back in range(_DAYS_BACK + deadline_ms // _DAY_MS, 0, -1)
    ]
    return [day.date.isoformat() for day in days if since_ms < day.end_ms <= now_ms - deadline_ms]
