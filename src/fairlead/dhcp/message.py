"""DHCP messages on the wire (RFC 2131, 2132, 3396).

Rule: any bytes may arrive here. Whatever they are, the outcome is a `Message` or a
`Malformed`, never another exception.

::

    op htype hlen hops        4 x 8 bit      op: 1 asks, 2 answers
    xid                       32 bit         chosen by who asks, echoed
    secs flags                2 x 16 bit     flags: 0x8000 "answer by broadcast"
    ciaddr yiaddr siaddr giaddr              the client's, "yours", next server's, relay's
    chaddr                    16 byte        the client's MAC, padded
    sname file                64, 128 byte   nothing that we need, or more options (52)
    63 82 53 63               the cookie
    options                   code length value …; 0 pads, 255 ends

An option may come in several pieces, which make one value. All must fit where they are.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv4Address

HEADER = struct.Struct("!4BI2H4s4s4s4s16s64s128s4s")
COOKIE = bytes.fromhex("63825363")
ETHERNET = 1
MAC_BYTES = 6
ASKS, ANSWERS = 1, 2
BROADCAST = 0x8000
LEAST_BYTES = 300
"""Relays and servers of old drop what is shorter (RFC 1542)."""
MOST_BYTES = 4096
NOBODY = IPv4Address(0)

PAD, END = 0, 255
MASK, ROUTER, NAME_SERVERS, HOST_NAME = 1, 3, 6, 12
REQUESTED, LEASE_SECONDS, OVERLOAD, KIND, SERVER = 50, 51, 52, 53, 54
WANTED, COMPLAINT, RENEW_SECONDS, REBIND_SECONDS, CLIENT_ID = 55, 56, 58, 59, 61
IN_FILE, IN_SNAME = 1, 2


class Malformed(Exception):
    """The bytes are no DHCP message, or none that anybody should act upon."""


class Kind(IntEnum):
    """What a message is for."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `options` are all but its kind."""

    kind: Kind
    xid: int
    mac: bytes
    answers: bool = False
    secs: int = 0
    broadcast: bool = False
    client: IPv4Address = NOBODY
    """The address that the client has (ciaddr)."""
    yours: IPv4Address = NOBODY
    """The address that it is to have (yiaddr)."""
    options: Mapping[int, bytes] = field(default_factory=dict)

    def addresses(self, code: int) -> tuple[IPv4Address, ...]:
        """The addresses in an option; none if it is not there. Raises Malformed."""
        raw = self.options.get(code, b"")
        if len(raw) % 4:
            raise Malformed(f"option {code} of {len(raw)} bytes holds no addresses")
        return tuple(IPv4Address(raw[i : i + 4]) for i in range(0, len(raw), 4))

    def address(self, code: int) -> IPv4Address | None:
        """The one address in an option. Raises Malformed."""
        found = self.addresses(code)
        if len(found) > 1:
            raise Malformed(f"option {code} holds {len(found)} addresses")
        return found[0] if found else None

    def number(self, code: int) -> int | None:
        """The 32 bit in an option. Raises Malformed."""
        raw = self.options.get(code)
        if raw is None:
            return None
        if len(raw) != 4:
            raise Malformed(f"option {code} of {len(raw)} bytes holds no number")
        return int.from_bytes(raw)


def parse(wire: bytes) -> Message:
    """Read one message. Raises Malformed."""
    if not HEADER.size <= len(wire) <= MOST_BYTES:
        raise Malformed(f"{len(wire)} bytes")
    head = HEADER.unpack_from(wire)
    op, hardware, length, _, xid, secs, flags = head[:7]
    client, yours, _, _, chaddr, sname, file, cookie = head[7:]
    if op not in (ASKS, ANSWERS) or cookie != COOKIE:
        raise Malformed("no DHCP")
    if (hardware, length) != (ETHERNET, MAC_BYTES):
        raise Malformed(f"hardware of kind {hardware} with addresses of {length} bytes")
    options = _options(wire[HEADER.size :], file, sname)
    raw = options.pop(KIND, b"")
    try:
        (number,) = raw
        kind = Kind(number)
    except ValueError:
        raise Malformed(f"no kind of message: {raw[:8].hex()}") from None
    return Message(
        kind,
        xid,
        chaddr[:MAC_BYTES],
        op == ANSWERS,
        secs,
        bool(flags & BROADCAST),
        IPv4Address(client),
        IPv4Address(yours),
        {code: bytes(value) for code, value in options.items()},
    )


def _options(main: bytes, file: bytes, sname: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    _gather(main, found)
    overload = found.pop(OVERLOAD, b"\0")
    if len(overload) != 1 or overload[0] > (IN_FILE | IN_SNAME):
        raise Malformed("option 52 says nothing")
    for flag, more in ((IN_FILE, file), (IN_SNAME, sname)):
        if overload[0] & flag:
            _gather(more, found)
    if OVERLOAD in found:
        raise Malformed("option 52 where it has no meaning")
    return found


def _gather(area: bytes, found: dict[int, bytes]) -> None:
    offset = 0
    while offset < len(area) and area[offset] != END:
        code = area[offset]
        offset += 1
        if code == PAD:
            continue
        if offset >= len(area) or (end := offset + 1 + area[offset]) > len(area):
            raise Malformed(f"option {code} runs out of the message")
        found[code] = found.get(code, b"") + area[offset + 1 : end]
        offset = end


def build(message: Message) -> bytes:
    """A message as bytes."""
    head = HEADER.pack(
        ANSWERS if message.answers else ASKS,
        ETHERNET,
        MAC_BYTES,
        0,
        message.xid,
        message.secs,
        BROADCAST if message.broadcast else 0,
        message.client.packed,
        message.yours.packed,
        bytes(4),
        bytes(4),
        message.mac,
        b"",
        b"",
        COOKIE,
    )
    said = bytearray((KIND, 1, message.kind))
    for code, value in message.options.items():
        for start in range(0, max(len(value), 1), 255):
            piece = value[start : start + 255]
            said += bytes((code, len(piece))) + piece
    said.append(END)
    return (head + said).ljust(LEAST_BYTES, b"\0")
