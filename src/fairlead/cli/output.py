"""What the commands print: tables, durations and sizes, as Docker shows them. Pure.

Columns follow Go's tabwriter as Docker sets it up: every cell but a row's last is
padded to the widest of its column plus three, and to ten at least.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_WIDTH = 10
PADDING = 3
SHORT_ID = 12

MINUTE, HOUR, DAY = 60, 3600, 86400


def table(rows: Sequence[Sequence[str]], min_width: int = MIN_WIDTH) -> str:
    """Rows as aligned columns, each line ended."""
    widths: list[int] = []
    for row in rows:
        for index, cell in enumerate(row[:-1]):
            if index == len(widths):
                widths.append(min_width)
            widths[index] = max(widths[index], len(cell) + PADDING)
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        lines.append("".join([*cells, *row[-1:]]) + "\n")
    return "".join(lines)


def short_id(identity: str) -> str:
    """The first twelve digits of an id, without its algorithm."""
    return identity.removeprefix("sha256:")[:SHORT_ID]


def shortened(text: str, width: int) -> str:
    """A text cut to a width, its last place then an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def quoted(text: str) -> str:
    """A text in double quotes, as Go quotes it."""
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable():
            out.append(char)
        elif ord(char) < 0x80:
            out.append(f"\\x{ord(char):02x}")
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return '"' + "".join(out) + '"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def lasted(seconds: float) -> str:
    """A duration in words, to the nearest unit a person would use."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < MINUTE:
        return f"{whole} seconds"
    if whole < 2 * MINUTE:
        return "About a minute"
    if whole < HOUR:
        return f"{whole // MINUTE} minutes"
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{int(seconds / HOUR) // 24 // 365} years"


def decimal_size(size: float, digits: int = 3) -> str:
    """Bytes in thousands: 4.26MB."""
    return _scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"), digits)


def binary_size(size: float) -> str:
    """Bytes in 1024s: 1.944GiB."""
    return _scaled(
        size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"), digits=4
    )


def _scaled(size: float, base: int, units: Sequence[str], digits: int) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    return f"{size:.{digits}g}{units[index]}"


def moment(seconds: float) -> str:
    """A time of the epoch in Go's default form, in local time."""
    local = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def utc(seconds: float) -> str:
    """A time of the epoch as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(stamp: str) -> float:
    """An RFC 3339 time with up to nine decimals, in seconds; 0 for an empty one."""
    if not stamp:
        return 0.0
    head, _, tail = stamp.partition(".")
    if not tail:
        return datetime.fromisoformat(head.replace("Z", "+00:00")).timestamp()
    digits = len(tail) - len(tail.lstrip("0123456789"))
    zone = tail[digits:].replace("Z", "+00:00")
    return datetime.fromisoformat(head + zone).timestamp() + float(f"0.{tail[:digits]}")
