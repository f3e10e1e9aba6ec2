"""Forget connections: delete conntrack entries of an address or a port.

An entry made before a port was published, or for a container that is gone,
would keep sending packets the old way (linux/nfnetlink_conntrack.h).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Mapping

from fairlead.kernel.netlink import (
    NESTED,
    Message,
    Socket,
    attribute,
    attributes,
)
from fairlead.model.step import ForgetFlows

CTNETLINK = 1 << 8
CT_NEW, CT_GET, CT_DELETE = 0, 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2, 1, 2
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3
NFGENMSG = struct.Struct("=BBH")


def forget(netlink: Socket, effects: Collection[ForgetFlows]) -> None:
    """Delete the entries that one of the effects means, in either direction.

    The socket is one to keep: closing it makes the kernel wait for 15 ms.
    """
    addresses = {effect.address.packed for effect in effects if effect.address is not None}
    ports = {effect.udp_port.to_bytes(2) for effect in effects if effect.udp_port}
    doomed = []
    for kind, data in netlink.dump(CTNETLINK | CT_GET, NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)):
        row = attributes(data, NFGENMSG.size)
        if kind == CTNETLINK | CT_NEW and _meant(row, addresses, ports):
            original = attribute(CTA_TUPLE_ORIG | NESTED, row[CTA_TUPLE_ORIG])
            body = data[: NFGENMSG.size] + original
            doomed.append(Message(CTNETLINK | CT_DELETE, 0, body))
    netlink.batch(doomed)


def _meant(row: Mapping[int, bytes], addresses: set[bytes], ports: set[bytes]) -> bool:
    for side in (CTA_TUPLE_ORIG, CTA_TUPLE_REPLY):
        found = attributes(attributes(row.get(side, b"")).get(CTA_TUPLE_IP, b""))
        if not addresses.isdisjoint(found.values()):
            return True
    original = attributes(attributes(row.get(CTA_TUPLE_ORIG, b"")).get(CTA_TUPLE_PROTO, b""))
    udp = original.get(CTA_PROTO_NUM, b"")[:1] == bytes([socket.IPPROTO_UDP])
    return udp and original.get(CTA_PROTO_DST_PORT, b"")[:2] in ports
