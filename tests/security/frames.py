"""Ethernet frames made and read by hand, so that a test can send what no decent stack would."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

IP = IPv4Address | IPv6Address

BROADCAST = b"\xff" * 6
ETH_IP, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO = {4: 8, 6: 128}
ALL_NODES = IPv6Address("ff02::1")


def ethernet(to: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    """A frame."""
    return to + source + struct.pack("!H", kind) + payload


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: IP, to: IP, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    """An IP packet of either family."""
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
        return head + source.packed + to.packed + payload
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0x1234, 0, hops, protocol, 0)
    head += source.packed + to.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _summed(source: IP, to: IP, protocol: int, raw: bytes, place: int) -> bytes:
    """Fills in the checksum that covers a pseudo header."""
    pseudo = source.packed + to.packed
    if source.version == 4:
        pseudo += struct.pack("!BBH", 0, protocol, len(raw))
    else:
        pseudo += struct.pack("!II", len(raw), protocol)
    return raw[:place] + struct.pack("!H", checksum(pseudo + raw) or 0xFFFF) + raw[place + 2 :]


def tcp(source: IP, to: IP, ports: tuple[int, int], flags: int = SYN) -> bytes:
    """A TCP segment without payload, in its packet."""
    raw = struct.pack("!HHIIBBHHH", *ports, 1000, 0, 5 << 4, flags, 65535, 0, 0)
    return packet(source, to, TCP, _summed(source, to, TCP, raw, 16))


def udp(source: IP, to: IP, ports: tuple[int, int], payload: bytes = b"?") -> bytes:
    """A datagram in its packet."""
    raw = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    return packet(source, to, UDP, _summed(source, to, UDP, raw, 6))


def icmp6(source: IP, to: IP, raw: bytes, hops: int = 255) -> bytes:
    """An ICMPv6 message, its checksum filled in, in its packet."""
    return packet(source, to, ICMP6, _summed(source, to, ICMP6, raw, 2), hops)


def ping(source: IP, to: IP, mark: int = 7) -> bytes:
    """An echo request in its packet."""
    raw = struct.pack("!BBHHH", ECHO[source.version], 0, 0, mark, 1) + b"fairlead"
    if source.version == 6:
        return icmp6(source, to, raw, 64)
    raw = raw[:2] + struct.pack("!H", checksum(raw)) + raw[4:]
    return packet(source, to, ICMP, raw)


def unreachable(source: IP, to: IP, about: bytes) -> bytes:
    """The news that a packet could not be delivered, in its packet."""
    if source.version == 6:
        return icmp6(source, to, b"\x01\x04\0\0\0\0\0\0" + about)
    raw = b"\x03\x03\0\0\0\0\0\0" + about
    raw = raw[:2] + struct.pack("!H", checksum(raw)) + raw[4:]
    return packet(source, to, ICMP, raw)


def arp(operation: int, sender: tuple[bytes, IP], target: tuple[bytes, IP]) -> bytes:
    """An ARP message: 1 asks, 2 answers."""
    head = struct.pack("!HHBBH", 1, ETH_IP, 6, 4, operation)
    return head + sender[0] + sender[1].packed + target[0] + target[1].packed


def neighbour_advertisement(target: IP, to: IP, mac: bytes) -> bytes:
    """An unasked-for, overriding claim to an IPv6 address (RFC 4861)."""
    raw = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target.packed
    return icmp6(target, to, raw + b"\x02\x01" + mac)


def router_advertisement(router: IP, mac: bytes, prefix: IPv6Address) -> bytes:
    """I am the default router, here is a prefix to make addresses of, and a name server."""
    raw = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0xC0, 1800, 0, 0)
    raw += b"\x01\x01" + mac
    raw += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3600, 3600, 0) + prefix.packed
    return icmp6(router, ALL_NODES, raw)


def multicast_mac(group: IP) -> bytes:
    """The Ethernet address of an IPv6 group."""
    return b"\x33\x33" + group.packed[-4:]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a captured frame says. `ports` are zero where there are none."""

    source_mac: bytes
    target_mac: bytes
    kind: int
    source: IP | None = None
    target: IP | None = None
    protocol: int = 0
    ports: tuple[int, int] = (0, 0)
    flags: int = 0
    payload: bytes = b""


def read(frame: bytes) -> Seen:
    """Reads a frame as far as it is IP or ARP."""
    to, source, kind = frame[:6], frame[6:12], struct.unpack_from("!H", frame, 12)[0]
    body = frame[14:]
    if kind == ETH_IP and len(body) >= 20:
        size = (body[0] & 15) * 4
        ends, protocol = (body[12:16], body[16:20]), body[9]
        rest = body[size : struct.unpack_from("!H", body, 2)[0]]
    elif kind == ETH_IP6 and len(body) >= 40:
        ends, protocol, rest = (body[8:24], body[24:40]), body[6], body[40:]
    else:
        return Seen(source, to, kind, payload=body)
    ports, flags = (0, 0), 0
    if protocol in (TCP, UDP) and len(rest) >= 8:
        ports = struct.unpack_from("!HH", rest)
        if protocol == TCP and len(rest) >= 14:
            flags = rest[13]
            rest = rest[(rest[12] >> 4) * 4 :]
        else:
            rest = rest[8:]
    found = (ip_address(ends[0]), ip_address(ends[1]))
    return Seen(source, to, kind, *found, protocol, ports, flags, rest)
