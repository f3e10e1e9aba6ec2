"""DNS messages on the wire (RFC 1035, 6891): queries in, answers out.

Rule: any bytes may arrive here. Whatever they are, the outcome is a `Query`,
or a `Malformed` that knows the reply it deserves (none at all where a reply
could start a loop), never another exception.

::

    header   id flags qdcount ancount nscount arcount     6 x 16 bit
    question name type class                              exactly one
    records  name type class ttl length data              counted in the header

A name is a row of labels, each led by its length; 0 ends it, and two top bits
set make a pointer to an earlier place. A pointer must lead to before the place
where the current run of labels began, so every chain of pointers is finite.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

IP = IPv4Address | IPv6Address

A, NS, SOA, PTR, MX, AAAA, OPT, DS, DNSKEY, ANY = 1, 2, 6, 12, 15, 28, 41, 43, 48, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800
# Of the TTL field of an OPT: "DNSSEC answers, please".
DO = 0x8000

HEADER = struct.Struct("!6H")
FIXED = struct.Struct("!HHIH")
# An OPT record without options.
OPT_BYTES = 1 + FIXED.size
PLAIN_UDP_BYTES = 512
# What we ask upstreams for: such a packet is never split on its way.
WHOLE_UDP_BYTES = 1232
# What fits into one datagram over IPv4; an EDNS client may claim more.
LARGEST_UDP_BYTES = 65507
LARGEST_BYTES = 65535
# Every answer is about the name in the question, which always starts here.
OWNER = b"\xc0\x0c"
# EDNS options between a client and whom it asks, and nobody behind: keepalive, cookie, padding.
OURS_ALONE = frozenset((10, 11, 12))
# A length byte is at most 63, so in a name on the wire only letters are letters.
CASE_BITS = bytes(0x20 if 65 <= byte & 0xDF <= 90 and byte < 128 else 0 for byte in range(256))


class Query(NamedTuple):
    """One well-formed question as it was asked.

    `plain` says that it holds nothing but a question and what `edns`, `udp_bytes`
    and `dnssec` tell, so that one who asks the same may have the same answer.
    """

    id: int
    flags: int
    labels: tuple[bytes, ...]
    type: int
    class_: int
    question: bytes
    edns: bool = False
    udp_bytes: int = PLAIN_UDP_BYTES
    dnssec: bool = False
    plain: bool = True

    @property
    def name(self) -> str:
        """The name in lower case, a dot or backslash within a label escaped."""
        return text(self.labels)


@dataclass(frozen=True, slots=True)
class Record:
    """One answer to the question's name."""

    type: int
    data: bytes
    ttl_seconds: int


class Malformed(Exception):
    """The bytes are no query we serve; `reply` is what to say, if anything."""

    def __init__(self, why: str, reply: bytes | None = None) -> None:
        super().__init__(why)
        self.reply = reply


class _Bad(Exception):
    """A name or record runs out of the message or in circles."""


def parse(wire: bytes) -> Query:
    """Read one query."""
    if len(wire) < HEADER.size:
        raise Malformed("shorter than a header")
    id_, flags, questions, *counts = HEADER.unpack_from(wire)
    if flags & QR:
        raise Malformed("a response, not a query")
    if flags & OPCODE:
        raise Malformed("an operation other than QUERY", _refusal(id_, flags, NOTIMP))
    try:
        if questions != 1:
            raise _Bad(f"{questions} questions")
        labels, end = _asked_name(wire)
        type_, class_ = _KIND.unpack_from(wire, end)
        opt = _opt(wire, end + 4, counts) if any(counts) else None
    except (_Bad, struct.error) as error:
        raise Malformed(str(error), _refusal(id_, flags, FORMERR)) from error
    question = wire[HEADER.size : end + 4]
    if opt is None:
        plain = len(wire) == end + 4 and not any(counts)
        return Query(
            id_, flags, labels, type_, class_, question, False, PLAIN_UDP_BYTES, False, plain
        )
    size = min(max(opt.size, PLAIN_UDP_BYTES), LARGEST_UDP_BYTES)
    dnssec = bool(opt.ttl & DO)
    plain = counts == [0, 0, 1] and opt.end == len(wire) and opt.plain
    query = Query(id_, flags, labels, type_, class_, question, True, size, dnssec, plain)
    if opt.ttl >> 16 & 0xFF:
        raise Malformed("an unknown EDNS version", build(query, BADVERS))
    return query


_KIND = struct.Struct("!HH")


def _asked_name(wire: bytes) -> tuple[tuple[bytes, ...], int]:
    """The labels of the name that is asked for: there is nothing before it to point to."""
    labels: list[bytes] = []
    offset = HEADER.size
    try:
        while length := wire[offset]:
            if length >= 0x40:
                raise _Bad("a pointer, or a label of an unknown kind, in a question")
            start, offset = offset + 1, offset + 1 + length
            labels.append(wire[start:offset])
    except IndexError:
        raise _Bad("a name runs out of the message") from None
    offset += 1
    if offset - HEADER.size > 255:
        raise _Bad("a name too long")
    return tuple(labels), offset


class _Opt(NamedTuple):
    """An OPT record: its class is a size, its TTL more flags; `end` is where it ends."""

    size: int
    ttl: int
    plain: bool
    end: int


def _opt(wire: bytes, offset: int, counts: list[int]) -> _Opt | None:
    """Walk the remaining records and return the one OPT."""
    found: _Opt | None = None
    for section, count in enumerate(counts):
        for _ in range(count):
            _, offset = read_name(wire, offset)
            type_, class_, ttl, length = FIXED.unpack_from(wire, offset)
            start = offset + FIXED.size
            offset = start + length
            if offset > len(wire):
                raise _Bad("a record longer than the message")
            if type_ == OPT:
                if found is not None or section != 2:
                    raise _Bad("a misplaced or second OPT")
                found = _Opt(class_, ttl, not length or _ours(wire[start:offset]), offset)
    return found


def _ours(options: bytes) -> bool:
    """Whether EDNS options are all of those that go no further than to us."""
    offset = 0
    while offset < len(options):
        code, length = struct.unpack_from("!HH", options, offset)
        if code not in OURS_ALONE:
            return False
        offset += 4 + length
    return True


def _refusal(id_: int, flags: int, rcode: int) -> bytes:
    return HEADER.pack(id_, QR | flags & (OPCODE | RD) | rcode, 0, 0, 0, 0)


def read_name(wire: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of the name at `offset`, and where the message goes on."""
    labels: list[bytes] = []
    size, start, after = 1, offset, -1
    while True:
        if offset >= len(wire):
            raise _Bad("a name runs out of the message")
        length = wire[offset]
        if length >= 0xC0:
            if offset + 1 >= len(wire):
                raise _Bad("a pointer runs out of the message")
            after = offset + 2 if after < 0 else after
            target = (length & 0x3F) << 8 | wire[offset + 1]
            if not HEADER.size <= target < start:
                raise _Bad("a pointer that does not lead back")
            offset = start = target
            continue
        if length >= 0x40:
            raise _Bad("a label of an unknown kind")
        offset += 1
        if not length:
            return tuple(labels), offset if after < 0 else after
        size += length + 1
        if size > 255 or offset + length > len(wire):
            raise _Bad("a name too long")
        labels.append(wire[offset : offset + length])
        offset += length


def text(labels: Sequence[bytes]) -> str:
    """Labels as a dotted name in lower case.

    Of all letters, not only the ASCII ones of RFC 4343: who made an alias `Äpfel` means
    `äpfel` as well. Registered names are folded by the same function.
    """
    joined = b".".join(labels)
    if b"\\" in joined or joined.count(b".") >= max(len(labels), 1):
        escaped = (label.replace(b"\\", b"\\\\").replace(b".", b"\\.") for label in labels)
        joined = b".".join(escaped)
    return joined.decode("utf-8", "surrogateescape").lower()


def name(dotted: str) -> bytes:
    """A dotted name on the wire; ValueError if DNS cannot hold it."""
    wire = bytearray()
    for label in dotted.rstrip(".").encode("utf-8", "surrogateescape").split(b"."):
        if not 0 < len(label) < 64:
            raise ValueError(f"{dotted!r} has an empty label or one over 63 bytes")
        wire.append(len(label))
        wire += label
    wire.append(0)
    if len(wire) > 255:
        raise ValueError(f"{dotted!r} is over 255 bytes")
    return bytes(wire)


def address(ip: IP, ttl_seconds: int) -> Record:
    """An A or AAAA record."""
    return Record(A if ip.version == 4 else AAAA, ip.packed, ttl_seconds)


def build(
    query: Query, rcode: int = NOERROR, records: Sequence[Record] = (), limit: int = LARGEST_BYTES
) -> bytes:
    """The reply to a query; what exceeds `limit` bytes is left out and TC set."""
    opt = b"\x00" + FIXED.pack(OPT, LARGEST_UDP_BYTES, rcode >> 4 << 24, 0) if query.edns else b""
    room = limit - HEADER.size - len(query.question) - len(opt)
    answers: list[bytes] = []
    for record in records:
        head = FIXED.pack(record.type, IN, record.ttl_seconds, len(record.data))
        answer = OWNER + head + record.data
        room -= len(answer)
        if room < 0:
            break
        answers.append(answer)
    # Docker claims recursion only where it answers; stubs warn, and go on, without it.
    flags = QR | query.flags & (RD | CD) | rcode & 15 | (RA if rcode == NOERROR else 0)
    if len(answers) < len(records):
        flags |= TC
    header = HEADER.pack(query.id, flags, 1, len(answers), 0, 1 if opt else 0)
    return b"".join((header, query.question, *answers, opt))


def ask(id_: int, dotted: str, type_: int, *, udp_bytes: int = 0) -> bytes:
    """A query for a name, with EDNS if a size is given."""
    opt = b"\x00" + FIXED.pack(OPT, udp_bytes, 0, 0) if udp_bytes else b""
    header = HEADER.pack(id_, RD, 1, 0, 0, 1 if opt else 0)
    return header + name(dotted) + struct.pack("!HH", type_, IN) + opt


def forwarded(query: Query, wire: bytes) -> tuple[bytes, bytes]:
    """What goes upstream before the question (but for the id) and behind it.

    A plain question is put in our own words, so that equal ones look equal; all
    else goes as it came.
    """
    if not query.plain:
        return wire[2 : HEADER.size], wire[HEADER.size + len(query.question) :]
    head = _AHEAD.pack(query.flags & (RD | CD | AD), 1, 0, 0, 1 if query.edns else 0)
    if not query.edns:
        return head, b""
    return head, b"\x00" + FIXED.pack(OPT, WHOLE_UDP_BYTES, DO if query.dnssec else 0, 0)


_AHEAD = struct.Struct("!5H")


def mixed(question: bytes, noise: bytes) -> bytes:
    """A question with its letters in a case that the end of `noise` decides.

    A forger has to guess that as well. It only turns letters over, so it is at
    random whatever case they were in.
    """
    # The last bytes are no letters: a type that looks like one has its bit taken out.
    turn = int.from_bytes(question.translate(CASE_BITS)) & int.from_bytes(noise) & ~0xFFFFFFFF
    return (int.from_bytes(question) ^ turn).to_bytes(len(question))


def rcode_of(wire: bytes) -> int:
    """The (short) response code of a message that has a header."""
    return wire[3] & 15


def truncated(wire: bytes) -> bool:
    """Whether TC is set on a message that has a header."""
    return bool(wire[2] & TC >> 8)


def negative(wire: bytes) -> bool:
    """Whether a reply says that there is no such name or record."""
    return rcode_of(wire) == NXDOMAIN or (not rcode_of(wire) and wire[6:8] == b"\0\0")


def matches(wire: bytes, question: bytes) -> bool | None:
    """Whether a message replies to a question: None if only the case of letters differs."""
    end = HEADER.size + len(question)
    if len(wire) < HEADER.size or wire[2] & (QR | OPCODE) >> 8 != QR >> 8:
        return False
    if wire[4:6] == b"\0\0":
        # Some servers refuse with nothing but a header.
        return rcode_of(wire) not in (NOERROR, NXDOMAIN)
    echoed = wire[HEADER.size : end]
    if wire[4:6] != b"\0\1" or echoed[-4:] != question[-4:]:
        return False
    if echoed == question:
        return True
    return None if echoed.lower() == question.lower() else False


def answered(wire: bytes, query: Query) -> bytes:
    """An upstream's reply as this client's own: under its id, with its spelling of the name."""
    if wire[4:6] != b"\0\1":
        return build(query, rcode_of(wire))
    end = HEADER.size + len(query.question)
    return query.id.to_bytes(2) + wire[2 : HEADER.size] + query.question + wire[end:]


def cut(wire: bytes, query: Query, limit: int) -> bytes:
    """A response that fits: itself, or only its question with TC set."""
    if len(wire) <= limit:
        return wire
    id_, flags = struct.unpack_from("!HH", wire)
    opt = b"\x00" + FIXED.pack(OPT, LARGEST_UDP_BYTES, 0, 0) if query.edns else b""
    return HEADER.pack(id_, flags | TC, 1, 0, 0, 1 if opt else 0) + query.question + opt
