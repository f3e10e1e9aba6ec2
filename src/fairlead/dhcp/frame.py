"""DHCP in Ethernet frames: whoever has no interface yet has to write its own packets.

The checksum of UDP is written and not read: a server on this host leaves it to the network
card, and between namespaces there is none. What a message says is checked instead.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from fairlead.dhcp.message import Malformed
from fairlead.model.checksum import checksum

EVERYBODY = b"\xff" * 6
IPV4 = 0x0800
UDP = 17
CLIENT_PORT, SERVER_PORT = 68, 67
ETHERNET = struct.Struct("!6s6sH")
IP = struct.Struct("!BBHHHBBH4s4s")
DATAGRAM = struct.Struct("!4H")
FRAGMENT = 0x3FFF
"""More fragments, or an offset."""
TTL = 64


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came for a client's port, and from which MAC and address."""

    mac: bytes
    address: IPv4Address
    payload: bytes


def wrap(
    payload: bytes,
    source: tuple[bytes, IPv4Address],
    target: tuple[bytes, IPv4Address],
) -> bytes:
    """A frame from a client to a server; each is a MAC and an address."""
    (from_mac, from_ip), (to_mac, to_ip) = source, target
    length = DATAGRAM.size + len(payload)
    said = DATAGRAM.pack(CLIENT_PORT, SERVER_PORT, length, 0) + payload
    pseudo = from_ip.packed + to_ip.packed + struct.pack("!HH", UDP, length)
    # A sum of 0 would say that there is none.
    check = checksum(pseudo + said) or 0xFFFF
    said = said[:6] + check.to_bytes(2) + payload
    words = (0x45, 0, IP.size + length, 0, 0, TTL, UDP)
    head = IP.pack(*words, 0, from_ip.packed, to_ip.packed)
    head = IP.pack(*words, checksum(head), from_ip.packed, to_ip.packed)
    return ETHERNET.pack(to_mac, from_mac, IPV4) + head + said


def unwrap(frame: bytes) -> Arrival:
    """What is for a client in a frame. Raises Malformed."""
    try:
        _, mac, kind = ETHERNET.unpack_from(frame)
        fields = IP.unpack_from(frame, ETHERNET.size)
    except struct.error:
        raise Malformed("shorter than a packet") from None
    first, _, total, _, fragment, _, protocol, _, source, _ = fields
    start = ETHERNET.size + 4 * (first & 15)
    end = ETHERNET.size + total
    head = frame[ETHERNET.size : start]
    if (kind, first >> 4, protocol) != (IPV4, 4, UDP) or fragment & FRAGMENT:
        raise Malformed("no datagram of IPv4")
    if len(head) < IP.size or start + DATAGRAM.size > end or end > len(frame) or checksum(head):
        raise Malformed("a broken packet")
    _, port, length, _ = DATAGRAM.unpack_from(frame, start)
    if port != CLIENT_PORT or not DATAGRAM.size <= length <= end - start:
        raise Malformed("no datagram for a client")
    payload = frame[start + DATAGRAM.size : start + length]
    return Arrival(mac, IPv4Address(source), payload)
