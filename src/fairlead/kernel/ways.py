"""Where routes lead, and who listens: asked in the namespace that the thread is in."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from fairlead.kernel.netlink import Socket, attribute, attributes, number, u32
from fairlead.kernel.rtnetlink import (
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_VIA,
    RTM_GETROUTE,
    RTMSG,
    RTN_UNICAST,
    address_family,
)
from fairlead.model.packet import Listener, Way
from fairlead.model.state import IPAddress

RTA_SRC, RTA_IIF = 2, 3
RTN_LOCAL = 2
REFUSED = {
    errno.ENETUNREACH: "there is no route",
    errno.EHOSTUNREACH: "there is no route, or nothing is forwarded",
    errno.EXDEV: "answers to it would leave by another interface (net.ipv4.conf.*.rp_filter)",
    errno.EINVAL: "a blackhole route takes it, or an address of it makes no sense there",
    errno.EACCES: "a route forbids it",
}
LISTENS = {"tcp": "0A", "udp": "07"}
"""The state of a socket that waits for anybody (net/tcp_states.h)."""


def way(
    destination: IPAddress, source: IPAddress | None = None, came_by: str = "", own: bool = False
) -> Way:
    """Where a packet goes that somebody here sends, or that `came_by` a link from a source.

    `own`: the source is an address of this namespace, that somebody chose.
    """
    length = destination.max_prefixlen
    body = RTMSG.pack(address_family(destination.version), length, 0, 0, 0, 0, 0, 0, 0)
    body += attribute(RTA_DST, destination.packed)
    if source is not None and (came_by or own):
        body = body[:2] + bytes([length]) + body[3:] + attribute(RTA_SRC, source.packed)
    try:
        if came_by:
            body += u32(RTA_IIF, socket.if_nametoindex(came_by))
        with Socket() as netlink:
            answer = netlink.ask(RTM_GETROUTE, body)
    except OSError as error:
        code = error.errno or errno.EIO
        return Way(refusal=REFUSED.get(code, os.strerror(code).lower()))
    return _way(answer)


def _way(answer: bytes) -> Way:
    kind, row = RTMSG.unpack_from(answer)[7], attributes(answer, RTMSG.size)
    if kind not in (RTN_UNICAST, RTN_LOCAL):
        return Way(refusal="a route forbids it")
    raw = row.get(RTA_GATEWAY) or row.get(RTA_VIA, b"")[2:]
    mine = row.get(RTA_PREFSRC)
    index = number(row, RTA_OIF)
    return Way(
        socket.if_indextoname(index) if index else "",
        ip_address(raw) if raw else None,
        ip_address(mine) if mine else None,
        kind == RTN_LOCAL,
    )


def listeners(protocol: str) -> list[Listener]:
    """Who waits for anybody here, of both families."""
    found: list[Listener] = []
    for name in (protocol, f"{protocol}6"):
        path = Path("/proc/thread-self/net", name)
        # A kernel without IPv6 has no such file.
        if path.exists():
            found += parse(path.read_text(), LISTENS[protocol])
    return found


def parse(text: str, state: str) -> Iterator[Listener]:
    """The sockets of that state in /proc/net/tcp or one like it (proc(5))."""
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and words[3] == state:
            address, _, port = words[1].partition(":")
            yield Listener(_address(address), int(port, 16))


def _address(digits: str) -> IPAddress:
    """An address as four bytes in the host's order, once or four times."""
    halves = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    raw = b"".join(word.to_bytes(4, sys.byteorder) for word in halves)
    return IPv4Address(raw) if len(raw) == struct.calcsize("=I") else IPv6Address(raw)
