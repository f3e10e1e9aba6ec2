"""What the kernel tells of changes to the host's network, as coarse hints.

A hint says where to look, never what to believe: whoever gets one observes.
Filters in the kernel let through only what can tell of damage, so that our own
changes cost next to nothing here; of a transaction of rules, however long, one
message says that it was and whose. When the kernel had more to say than the
buffer holds (ENOBUFS), the hint is to look at everything.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network

from fairlead.kernel.filter import attach
from fairlead.kernel.generation import NFGENMSG, NFT_MSG_NEWGEN, NFTA_GEN_PROC_NAME
from fairlead.kernel.netlink import (
    BUFFER_BYTES,
    HEADER,
    NETLINK_NETFILTER,
    SOL_NETLINK,
    attributes,
    number,
    string,
)
from fairlead.kernel.rtnetlink import (
    IFA_ADDRESS,
    IFA_LOCAL,
    IFADDR,
    IFF_UP,
    IFINFO,
    IFLA_IFNAME,
    IFLA_MASTER,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_OIF,
    RTA_TABLE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMSG,
    RTN_UNICAST,
)
from fairlead.model.facts import Hint

ROUTE_GROUPS = (1, 5, 7, 9, 11, 24, 25)
"""link, addresses and routes of both families, settings of both (RTNLGRP_* of rtnetlink.h)."""
RULE_GROUPS = (7,)
"""NFNLGRP_NFTABLES."""
NETLINK_ADD_MEMBERSHIP = 1
RTM_NEWNETCONF = 80
NETCONFA_IFINDEX = 1
NETCONF_ALL = -1
ROUTE_TYPES = (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNETCONF)
TYPE_OFFSET = 4
"""Of a message's type in its header."""
MOST_MESSAGES = 256
"""Read in one go, so that the loop has its turn in a storm."""


class Watch:
    """Sockets that listen in the namespace of the thread that makes them; never blocks."""

    def __init__(self) -> None:
        self._route = listen(socket.NETLINK_ROUTE, ROUTE_GROUPS, ROUTE_TYPES)
        try:
            self._rules: socket.socket | None = listen(
                NETLINK_NETFILTER, RULE_GROUPS, (NFT_MSG_NEWGEN,)
            )
        except OSError:
            # A kernel without nftables: the audit is all there is.
            self._rules = None

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What to wait on for reading."""
        return (self._route,) if self._rules is None else (self._route, self._rules)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()

    def read(self) -> list[Hint]:
        """Everything that was said since the last time."""
        found = [hint for data in drain(self._route) for hint in _route_hints(data)]
        if self._rules is not None:
            found += [hint for data in drain(self._rules) for hint in _rule_hints(data)]
        return found


def listen(protocol: int, groups: Sequence[int], types: Sequence[int]) -> socket.socket:
    """A socket that is told of messages of those types to those groups; never blocks."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    sock = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        _only(sock, types)
        sock.bind((0, 0))
        for group in groups:
            sock.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    except BaseException:
        sock.close()
        raise
    return sock


def _only(sock: socket.socket, types: Sequence[int]) -> None:
    """Let the kernel keep all messages but those of some types (classic BPF, filter.h)."""
    load_half, jump_equal, give = 0x28, 0x15, 0x06
    code = [(load_half, 0, 0, TYPE_OFFSET)]
    for left, kind in zip(range(len(types) - 1, -1, -1), types, strict=True):
        # A filter reads big-endian, the header is in the host's order.
        code.append((jump_equal, left + 1, 0, int.from_bytes(struct.pack("=H", kind))))
    code += [(give, 0, 0, 0), (give, 0, 0, 0xFFFFFFFF)]
    attach(sock, code)


def drain(sock: socket.socket, most: int = MOST_MESSAGES) -> Iterator[bytes]:
    """What was said, read by read; nothing (b"") stands for what was lost."""
    for _ in range(most):
        try:
            yield sock.recv(BUFFER_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield b""


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each message in a read."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _rule_hints(data: bytes) -> Iterator[Hint]:
    if not data:
        yield Hint("all")
    for kind, body in messages(data):
        if kind == NFT_MSG_NEWGEN:
            found = attributes(body, NFGENMSG.size)
            yield Hint("rules", string(found, NFTA_GEN_PROC_NAME))


def _route_hints(data: bytes) -> Iterator[Hint]:
    if not data:
        yield Hint("all")
    for kind, body in messages(data):
        yield from route_hint(kind, body)


def route_hint(kind: int, body: bytes) -> Iterator[Hint]:
    """What a message of rtnetlink says, of a link, an address, a route or a setting."""
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        yield _link(kind, body)
    elif kind == RTM_DELADDR:
        row = attributes(body, IFADDR.size)
        raw = row.get(IFA_LOCAL) or row.get(IFA_ADDRESS)
        if raw:
            yield Hint("address", str(ip_address(raw)))
    elif kind in (RTM_NEWROUTE, RTM_DELROUTE):
        yield from _route(kind, body)
    elif kind == RTM_NEWNETCONF:
        index = number(attributes(body, 4), NETCONFA_IFINDEX)
        if index == NETCONF_ALL & 0xFFFFFFFF:
            yield Hint("setting", str(body[0]))


def _link(kind: int, body: bytes) -> Hint:
    _, _, _, flags, _ = IFINFO.unpack_from(body)
    row = attributes(body, IFINFO.size)
    lost = kind == RTM_DELLINK or not flags & IFF_UP
    return Hint("link", string(row, IFLA_IFNAME), lost, loose=not number(row, IFLA_MASTER))


def _route(kind: int, body: bytes) -> Iterator[Hint]:
    family, length, _, _, table, _, _, type_, _ = RTMSG.unpack_from(body)
    row = attributes(body, RTMSG.size)
    main = (number(row, RTA_TABLE) or table) == RT_TABLE_MAIN
    if not main or type_ != RTN_UNICAST:
        return
    zero = b"\0" * (4 if family == socket.AF_INET else 16)
    destination = ip_network((row.get(RTA_DST, zero), length))
    yield Hint("route", str(destination), kind == RTM_DELROUTE, _name(number(row, RTA_OIF)))


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        # It is gone by now.
        return ""
