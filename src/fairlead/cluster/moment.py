"""Points in time as Go writes them: RFC 3339, to the nanosecond, without trailing zeros."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from fairlead.model.errors import Invalid

SECOND = 1_000_000_000

_FORM = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


def moment(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as text, in UTC."""
    seconds, rest = divmod(nanoseconds, SECOND)
    text = (datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)).strftime(
        "%Y-%m-%dT%H:%M:%S"
    )
    digits = f"{rest:09}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def nanoseconds(text: str) -> int:
    """Text as nanoseconds since the epoch. Raises Invalid."""
    found = _FORM.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        point = datetime.fromisoformat(found[1]).replace(tzinfo=_zone(found[3], found[4], found[5]))
        since = point - datetime.fromtimestamp(0, UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid("created is not a point in time") from error
    seconds = since.days * 86400 + since.seconds
    return seconds * SECOND + int((found[2] or "").ljust(9, "0"))


def _zone(sign: str | None, hours: str | None, minutes: str | None) -> timezone:
    if sign is None or hours is None or minutes is None:
        return UTC
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(offset if sign == "+" else -offset)
