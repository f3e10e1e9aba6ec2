"""An upstream's reply as it is kept, and given again while it lives (RFC 2308, 8767).

Rule: pure; time is an argument, in seconds of any clock that does not jump. What
is kept is the message itself, with the places of what changes from one time to
the next: each TTL counts down, addresses of one name take turns, and the id and
the spelling of the name are the client's.

==============================  ================================================
reply                           kept for
==============================  ================================================
records of the type asked for   the least TTL in it, a day at most
no such name, no such record    the SOA's TTL or minimum, the least, 15 minutes
                                at most; without a SOA not at all
anything else, or cut (TC)      not at all
==============================  ================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fairlead.dns import message
from fairlead.dns.message import FIXED, HEADER

if TYPE_CHECKING:
    from fairlead.dns.message import Query

LONGEST_SECONDS = 86400
LONGEST_NEGATIVE_SECONDS = 900
STALE_TTL_SECONDS = 30
# What a kept reply costs besides its bytes, roughly.
OVERHEAD_BYTES = 700

KNOWING = (message.NOERROR, message.NXDOMAIN)
ADDRESS_BYTES = {message.A: 4, message.AAAA: 16}

_TTL = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Kept:
    """A reply with the places of its TTLs, and of addresses that may take turns."""

    wire: bytes
    ttls: tuple[tuple[int, int], ...]
    turning: tuple[int, ...]
    size: int
    since: float
    until: float

    @property
    def cost_bytes(self) -> int:
        """What it costs to keep."""
        return OVERHEAD_BYTES + len(self.wire) + 100 * len(self.ttls)

    def reply(self, query: Query, now: float, turn: int = 0) -> bytes:
        """What a client hears now; once it has expired, with the short TTL of stale answers."""
        wire = bytearray(self.wire)
        age = int(now - self.since)
        stale = now >= self.until
        for at, ttl in self.ttls:
            _TTL.pack_into(wire, at, STALE_TTL_SECONDS if stale else max(ttl - age, 0))
        places = self.turning
        if turn and places:
            for number, at in enumerate(places):
                taken = places[(number + turn) % len(places)]
                wire[at : at + self.size] = self.wire[taken : taken + self.size]
        wire[:2] = query.id.to_bytes(2)
        wire[HEADER.size : HEADER.size + len(query.question)] = query.question
        # Nobody with authority says it any more.
        wire[2] &= ~(message.AA >> 8)
        return bytes(wire)


def keep(wire: bytes, query: Query, now: float) -> Kept | None:
    """An upstream's reply to be given again, or None if it must not be."""
    rcode = message.rcode_of(wire)
    if rcode not in KNOWING or message.truncated(wire) or wire[4:6] != b"\0\1":
        return None
    try:
        found = _read(wire, query)
    except (IndexError, ValueError, struct.error):
        # It may make sense to who asked; what we cannot read we do not repeat.
        return None
    if found is None:
        return None
    life = found.life if found.positive and not rcode else min(found.life, found.nothing)
    if life <= 0:
        return None
    # A TTL beyond the life that we give it would outlive it at the client.
    ttls = tuple((at, min(ttl, life)) for at, ttl in found.ttls)
    size = 4 if query.type == message.A else 16
    turning = tuple(found.turning) if len(found.turning) > 1 else ()
    return Kept(wire, ttls, turning, size, now, now + life)


class _Found(NamedTuple):
    """What a reply says of itself; `nothing` is how long nothing is there (RFC 2308)."""

    life: int
    nothing: int
    positive: bool
    ttls: list[tuple[int, int]]
    turning: list[int]


def _read(wire: bytes, query: Query) -> _Found | None:
    """Walk the records. None as soon as one may not be kept; struct.error if it is malformed."""
    _, _, _, answers, *others = HEADER.unpack_from(wire)
    offset = HEADER.size + len(query.question)
    life, nothing, positive = LONGEST_SECONDS, 0, False
    ttls: list[tuple[int, int]] = []
    turning: list[int] = []
    owner = b""
    for number in range(answers + sum(others)):
        start, offset = offset, _after_name(wire, offset)
        type_, _, ttl, length = FIXED.unpack_from(wire, offset)
        data = offset + FIXED.size
        if type_ != message.OPT:
            # One with the top bit set counts as none (RFC 2181).
            if not ttl or ttl & 0x80000000:
                return None
            ttls.append((offset + 4, ttl))
            life = min(life, ttl)
            if number < answers:
                if query.type in (type_, message.ANY):
                    positive = True
                if type_ == query.type and length == ADDRESS_BYTES.get(type_):
                    # Addresses take turns if all are of one name.
                    turning = turning if not turning or wire[start:offset] == owner else [-1]
                    owner = wire[start:offset]
                    turning.append(data)
            elif type_ == message.SOA and length >= 22:
                # The minimum is the last of five numbers at its end.
                (minimum,) = _TTL.unpack_from(wire, data + length - 4)
                nothing = min(ttl, minimum, LONGEST_NEGATIVE_SECONDS)
        offset = data + length
    if offset > len(wire):
        raise ValueError("a record longer than the message")
    return _Found(life, nothing, positive, ttls, [] if turning[:1] == [-1] else turning)


def _after_name(wire: bytes, offset: int) -> int:
    """Where the message goes on behind a name."""
    while (length := wire[offset]) < 0x40:
        offset += length + 1
        if not length:
            return offset
    if length < 0xC0:
        raise ValueError("a label of an unknown kind")
    return offset + 2
