"""What the host routes besides us, read anew only when somebody else changed it.

A host with a thousand networks has thousands of rows of which none says anything
here. So the kernel tells of every change, and what it tells of links and routes of
ours is passed over: only the rest, or a lost message, makes us look again.
"""

from __future__ import annotations

import socket

from fairlead.kernel import rtrows
from fairlead.kernel.netlink import Socket, attributes, number, string
from fairlead.kernel.port import Surroundings
from fairlead.kernel.rtnetlink import (
    IFINFO,
    IFLA_IFALIAS,
    PROTOCOL,
    RT_TABLE_LOCAL,
    RTA_OIF,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMSG,
)
from fairlead.kernel.watch import drain, listen, messages
from fairlead.model.marks import Marks
from fairlead.model.state import IPAddress

GROUPS = (1, 7, 11)
"""link and routes of both families (RTNLGRP_* of rtnetlink.h)."""
MOST_READ = 4096
"""Messages; with more of them it is cheaper to look."""


def address_on(interface: str) -> IPAddress | None:
    """The address of an interface of this namespace by which others reach it, if it has one."""
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        return None
    with Socket() as netlink:
        found = rtrows.every_address(netlink, index)
    return next((a for a in sorted(found, key=lambda a: a.version) if not a.is_link_local), None)


def mtu_of(address: IPAddress) -> int:
    """The MTU of the interface of this namespace that has an address; 0 if none has it."""
    with Socket() as netlink:
        for row in rtrows.links(netlink):
            if address in rtrows.every_address(netlink, row.index):
                return row.mtu
    return 0


def has_address(address: IPAddress) -> bool:
    """Whether any interface of this namespace has an address."""
    with Socket() as netlink:
        return any(
            address in rtrows.every_address(netlink, index) for index, _ in socket.if_nameindex()
        )


class Outside:
    """The namespace that the thread is in when this is made."""

    def __init__(self, netlink: Socket, marks: Marks) -> None:
        self._netlink = netlink
        self._marks = marks
        self._socket = listen(
            socket.NETLINK_ROUTE, GROUPS, (RTM_NEWLINK, RTM_DELLINK, RTM_NEWROUTE, RTM_DELROUTE)
        )
        self._ours: set[int] = set()
        self._through: frozenset[int] = frozenset()
        self._known: Surroundings | None = None

    def close(self) -> None:
        self._socket.close()

    def now(self) -> Surroundings:
        """What is routed, with the least MTU of the default ways out."""
        left = MOST_READ
        for data in drain(self._socket, MOST_READ):
            left -= 1
            if not self._passed_over(data):
                self._known = None
        if self._known is None or not left:
            self._known = self._look()
        return self._known

    def _look(self) -> Surroundings:
        rows = rtrows.links(self._netlink)
        self._ours = {row.index for row in rows if row.alias.startswith(self._marks.alias)}
        sizes = {row.index: row.mtu for row in rows if row.index not in self._ours}
        routed, defaults, self._through = rtrows.reached(self._netlink, self._ours)
        return Surroundings(routed, min((sizes[i] for i in defaults if i in sizes), default=0))

    def _passed_over(self, data: bytes) -> bool:
        """Whether all that was said is about us, or says nothing of routes."""
        return bool(data) and all(
            self._link(kind, body) if kind in (RTM_NEWLINK, RTM_DELLINK) else self._route(body)
            for kind, body in messages(data)
        )

    def _link(self, kind: int, body: bytes) -> bool:
        index = IFINFO.unpack_from(body)[2]
        mine = string(attributes(body, IFINFO.size), IFLA_IFALIAS).startswith(self._marks.alias)
        if kind == RTM_NEWLINK and mine:
            self._ours.add(index)
            return True
        # Of a stranger's link only one matters that routes lead through: when it goes down
        # the kernel drops those without a word. A number that was ours may be another's now.
        was = index in self._ours
        self._ours.discard(index)
        return index not in self._through and (kind == RTM_DELLINK or not was)

    def _route(self, body: bytes) -> bool:
        _, _, _, _, table, protocol, _, _, _ = RTMSG.unpack_from(body)
        if protocol == PROTOCOL or table == RT_TABLE_LOCAL:
            return True
        return number(attributes(body, RTMSG.size), RTA_OIF) in self._ours
