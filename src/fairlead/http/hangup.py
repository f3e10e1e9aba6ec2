"""Learns that a peer is gone without reading from its socket.

Rule: end of input is not absence. A peer that ended its sending side may wait
for hours for what we say (`docker attach` without stdin does), and asyncio
stops looking at such a socket. The kernel still knows: `EPOLLHUP` is reported
for a unix socket when the other end is closed, for TCP when the connection
was reset. An epoll instance of our own asks for nothing else, and is itself
readable when it has something to say, so the loop can wait for it.

A TCP peer that closes is not told apart from one that ended its side until it
refuses a byte; keep-alive probes, switched on here, bring that about.
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# A dead TCP peer is noticed this long after the last byte, plus the probes.
QUIET_SECONDS = 30
PROBE_SECONDS = 10
PROBES = 3


class Hangups:
    """Calls back, once for each socket, when its peer is gone."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._told: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, sock: socket.socket, tell: Callable[[], None]) -> None:
        """Call `tell` when the peer of this socket hangs up."""
        keep_alive(sock)
        self._told[sock.fileno()] = tell
        self._epoll.register(sock.fileno(), 0)  # EPOLLHUP and EPOLLERR need no asking

    def lost(self, fd: int) -> None:
        """Tell now, if it was not told before; the socket is about to close."""
        if (tell := self._told.pop(fd, None)) is not None:
            self._epoll.unregister(fd)
            tell()

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        for fd, _ in self._epoll.poll(0):
            self.lost(fd)


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel find out when a peer on the network is dead."""
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, QUIET_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
