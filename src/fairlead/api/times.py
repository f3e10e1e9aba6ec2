"""Times as Docker writes and reads them. The clock is always an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fairlead.model.errors import Invalid

ZERO = "0001-01-01T00:00:00Z"
SECOND = 1_000_000_000

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?"
)
_UNIX = re.compile(r"(-?[0-9]+)(?:\.([0-9]{1,9}))?")


def rfc3339(nanoseconds: int | None) -> str:
    """Nanoseconds since the epoch as Go's RFC3339Nano; None or 0 is Go's zero time."""
    if not nanoseconds:
        return ZERO
    seconds, rest = divmod(nanoseconds, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


def rfc3339_fixed(nanoseconds: int) -> str:
    """As the timestamps of log lines: always nine digits."""
    seconds, rest = divmod(nanoseconds, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}Z"


def to_nanoseconds(moment: datetime) -> int:
    """A datetime in nanoseconds since the epoch, without a detour over floats."""
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * SECOND + delta.microseconds * 1000


def duration(text: str) -> int | None:
    """Go's duration (``1h30m``, ``10s``) in nanoseconds; None when it is not one."""
    sign = -1 if text.startswith("-") else 1
    rest = text.lstrip("+-")
    if not rest:
        return None
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            return None
        number, _, digits = part[1].partition(".")
        unit = _UNITS[part[2]]
        total += int(number or 0) * unit
        if digits:
            total += int(digits) * unit // 10 ** len(digits)
        at = part.end()
    return sign * total


def moment(text: str, now: int) -> int:
    """A point in time as users give it, in nanoseconds since the epoch.

    Seconds since the epoch (with a fraction), a date, a date with a time, or
    a duration that is counted back from `now`.
    """
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        fraction = int((unix[2] or "").ljust(9, "0"))
        return int(unix[1]) * SECOND + fraction
    ago = duration(text)
    if ago is not None:
        return now - ago
    date = _DATE.fullmatch(text)
    if date is None:
        raise Invalid(f'failed to parse value as time or duration: "{text}"')
    zone = "+00:00" if date[4] in (None, "Z") else date[4]
    try:
        parsed = datetime.fromisoformat(f"{date[1]}T{date[2] or '00:00:00'}{zone}")
        return to_nanoseconds(parsed) + int((date[3] or "").ljust(9, "0"))
    except (ValueError, OverflowError):
        raise Invalid(f'failed to parse value as time or duration: "{text}"') from None


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}s"


def human(seconds: float) -> str:
    """A length of time as ``docker ps`` words it."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return _plural(whole, "second")
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return _plural(minutes, "minute")
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return _plural(hours, "hour")
    if hours < 24 * 7 * 2:
        return _plural(hours // 24, "day")
    if hours < 24 * 30 * 2:
        return _plural(hours // 24 // 7, "week")
    if hours < 24 * 365 * 2:
        return _plural(hours // 24 // 30, "month")
    return _plural(int(seconds / 3600) // 24 // 365, "year")
