"""Announcing who has an address now, to those who remember somebody else.

For IPv4 a gratuitous ARP reply (RFC 5944, 4.6), for IPv6 an unsolicited neighbour
advertisement that overrides (RFC 4861, 7.2.6). Both go out of a bridge to all of its
ports: who has an entry for the address changes it, who has none makes none.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from itertools import groupby

from fairlead.kernel.netns import Namespaces
from fairlead.model.step import Announce

EVERYBODY = b"\xff" * 6
ALL_NODES = socket.inet_pton(socket.AF_INET6, "ff02::1")
ALL_NODES_MAC = bytes.fromhex("333300000001")
ARP_TYPE, IPV6_TYPE = 0x0806, 0x86DD
ARP_REPLY = 2
ADVERTISEMENT, OVERRIDE, TARGET_LINK = 136, 0x20000000, 2
ICMPV6 = 58
GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENETDOWN})
"""The namespace is gone, or the link, or it is down."""


def announce(namespaces: Namespaces, effects: Iterable[Announce]) -> None:
    """Say it once. Whoever's bridge is gone by now has nobody to be told. Raises OSError."""
    ordered = sorted(effects, key=lambda e: (e.namespace, e.link, str(e.address)))
    for (namespace, link), group in groupby(ordered, key=lambda e: (e.namespace, e.link)):
        try:
            with namespaces.entered(namespace):
                kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
                with socket.socket(socket.AF_PACKET, kind) as sock:
                    sock.bind((link, 0))
                    for effect in group:
                        sock.send(frame(effect))
        except OSError as error:
            if error.errno not in GONE:
                raise


def frame(effect: Announce) -> bytes:
    """The Ethernet frame that says where an address is."""
    mac = bytes.fromhex(effect.mac.replace(":", ""))
    raw = effect.address.packed
    if effect.address.version == 4:
        # The new MAC twice: Linux takes only that for gratuitous, and does not wait a second.
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, ARP_REPLY) + mac + raw + mac + raw
        return EVERYBODY + mac + struct.pack("!H", ARP_TYPE) + arp
    said = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, OVERRIDE) + raw
    said += struct.pack("!BB", TARGET_LINK, 1) + mac
    pseudo = raw + ALL_NODES + struct.pack("!IxxxB", len(said), ICMPV6)
    said = said[:2] + struct.pack("!H", _checksum(pseudo + said)) + said[4:]
    head = struct.pack("!IHBB", 0x60000000, len(said), ICMPV6, 255) + raw + ALL_NODES
    return ALL_NODES_MAC + mac + struct.pack("!H", IPV6_TYPE) + head + said


def _checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071); the data is of even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total
