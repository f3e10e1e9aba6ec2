"""What the kernel tells of the namespaces of networks that span hosts, as coarse hints.

A socket in each of them, made with the namespace and closed before it is let go: an open
socket keeps a namespace alive, and with it the numbers of its tunnels. Whoever unpins one
by hand leaves it to us: `forsake` clears it before another takes its place.

The kernel thread opens and closes, the loop reads; one lock is between them.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from fairlead.kernel import rtnetlink, rtrows
from fairlead.kernel.netlink import Socket, attributes
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.rtnetlink import (
    NDA_DST,
    NDA_LLADDR,
    NDMSG,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_NEWLINK,
)
from fairlead.kernel.watch import drain, listen, messages, route_hint
from fairlead.model.facts import Hint

GROUPS = (1, 3, 5, 9)
"""link, neighbours (entries of a bridge among them), addresses of both families."""
TYPES = (RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR, RTM_DELNEIGH)
SIOCGSKNS = 0x894C
"""A descriptor of the namespace that a socket is in (linux/sockios.h)."""


class Ears:
    """Sockets in namespaces, all behind one descriptor, which can be waited on for reading."""

    def __init__(self, namespaces: Namespaces, alias: str) -> None:
        self._namespaces = namespaces
        self._alias = alias
        self._ready = select.epoll()
        self._heard: dict[str, socket.socket] = {}
        self._lock = threading.Lock()

    def fileno(self) -> int:
        return self._ready.fileno()

    @property
    def sockets(self) -> tuple[Ears, ...]:
        """What to wait on for reading."""
        return (self,)

    def listen(self, name: str) -> None:
        """Hear from now on what is told of a namespace."""
        with self._namespaces.entered(name):
            sock = listen(socket.NETLINK_ROUTE, GROUPS, TYPES)
        with self._lock:
            if self._ready.closed:
                sock.close()
                return
            self._heard[name] = sock
            self._ready.register(sock, select.EPOLLIN)

    def forsake(self, name: str) -> None:
        """Hear no more of a namespace, of which nothing stays if somebody has unpinned it."""
        if (heard := self._heard.get(name)) is None:
            return
        place = fcntl.ioctl(heard, SIOCGSKNS)
        try:
            if name not in self._namespaces.names():
                # It lives because we listen; another is to have its names and its number.
                with self._namespaces.entered_at(place), Socket() as netlink:
                    rows = rtrows.links(netlink)
                    mine = [row.name for row in rows if row.alias == self._alias]
                    netlink.batch([rtnetlink.delete_link(name) for name in mine])
        finally:
            os.close(place)
            with self._lock:
                self._heard.pop(name, None)
                heard.close()

    def close(self) -> None:
        """Hear nothing any more."""
        with self._lock:
            for sock in self._heard.values():
                sock.close()
            self._heard.clear()
            self._ready.close()

    def read(self) -> list[Hint]:
        """Everything that was said since the last time."""
        with self._lock:
            ready = {fd for fd, _ in self._ready.poll(0)} if not self._ready.closed else set()
            said = [
                (name, data)
                for name, sock in self._heard.items()
                if sock.fileno() in ready
                for data in drain(sock)
            ]
        return [replace(hint, space=name) for name, data in said for hint in _hints(data)]


def _hints(data: bytes) -> Iterator[Hint]:
    if not data:
        yield Hint("all")
    for kind, body in messages(data):
        if kind != RTM_DELNEIGH:
            yield from route_hint(kind, body)
            continue
        row = attributes(body, NDMSG.size)
        if NDMSG.unpack_from(body)[0] == socket.AF_BRIDGE:
            yield Hint("neighbour", row.get(NDA_LLADDR, b"").hex(":"))
        elif NDA_DST in row:
            yield Hint("neighbour", str(ip_address(row[NDA_DST])))
