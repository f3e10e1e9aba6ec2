"""Forget connections: delete conntrack entries that mention an address.

An entry made before a port was published, or for a container that is gone,
would keep sending packets the old way (linux/nfnetlink_conntrack.h).
"""

from __future__ import annotations

import socket
import struct

from fairlead.kernel.netlink import (
    NESTED,
    NETLINK_NETFILTER,
    Message,
    Socket,
    attribute,
    attributes,
)
from fairlead.model.state import IPAddress

CTNETLINK = 1 << 8
CT_NEW, CT_GET, CT_DELETE = 0, 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_TUPLE_IP = 1, 2, 1
NFGENMSG = struct.Struct("=BBH")


def forget(address: IPAddress) -> None:
    """Delete every entry of which a source or destination, either way, is this address."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    header = NFGENMSG.pack(family, 0, 0)
    with Socket(NETLINK_NETFILTER) as netlink:
        doomed = []
        for kind, data in netlink.dump(CTNETLINK | CT_GET, header):
            row = attributes(data, NFGENMSG.size)
            if kind == CTNETLINK | CT_NEW and _mentions(row, address.packed):
                original = attribute(CTA_TUPLE_ORIG | NESTED, row[CTA_TUPLE_ORIG])
                doomed.append(Message(CTNETLINK | CT_DELETE, 0, header + original))
        netlink.batch(doomed)


def _mentions(row: dict[int, bytes], raw: bytes) -> bool:
    for tuple_ in (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY):
        sides = attributes(attributes(row.get(tuple_, b"")).get(CTA_TUPLE_IP, b""))
        if raw in sides.values():
            return True
    return False
