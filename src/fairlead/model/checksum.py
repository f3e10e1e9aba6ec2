"""The checksum of the Internet (RFC 1071), which IP, UDP, TCP and ICMP have."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """What makes the sum of all words come out right; 0 of what has its checksum in it already."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
