"""Time as integer UTC milliseconds inside, RFC 3339 at the edges."""

import re
from datetime import UTC, datetime, timedelta

MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)  # formats without the offset that isoformat would add
_DAY_MS = 86_400_000


def parse_rfc3339(text: str) -> int:
    """Return `text`, an RFC 3339 date-time with `Z` or an offset, as UTC milliseconds; finer digits are cut off.

    A leap second (`:60`) names no epoch millisecond and is refused.

    Raises:
        ValueError: `text` has another form, names a time that does not exist, or lies outside 1970 to 9999 UTC.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 date-time with an offset or Z")
    year, month, day, hour, minute, second, fraction, sign, offset_h, offset_min = found.groups()
    since = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC) - _EPOCH
    time_ms = since.days * _DAY_MS + since.seconds * 1000
    if fraction:
        time_ms += int(fraction[:3].ljust(3, "0"))
    if sign:
        offset_ms = (int(offset_h) * 60 + int(offset_min)) * 60_000
        time_ms += offset_ms if sign == "-" else -offset_ms
    if not 0 <= time_ms <= MAX_MS:
        raise ValueError("outside the years 1970 to 9999")
    return time_ms


def format_ms(time_ms: int) -> str:
    """Return UTC milliseconds as RFC 3339 with milliseconds, `2026-01-05T10:00:00.000Z`.

    A deadline may pass the end of 9999 by the payment window; years of five digits take ISO 8601's plus sign.
    """
    if time_ms <= MAX_MS:
        return (_NAIVE_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds") + "Z"
    # 400 Gregorian years repeat exactly: format the same instant four centuries before.
    cycle_ms = 146_097 * _DAY_MS
    cycles = (time_ms - MAX_MS + cycle_ms - 1) // cycle_ms
    early = format_ms(time_ms - cycles * cycle_ms)
    return f"+{int(early[:4]) + 400 * cycles}{early[4:]}"
