"""The sockets that questions go out by, and find their replies on.

Rule: a reply counts only if it comes from the address asked, to the port it was
asked from, with the id and the question asked (RFC 5452). All of what a forger
has to guess is random: a lane is a socket, so a port, of its own; it is
connected, so that the kernel drops strangers' packets and tells of ICMP errors.

A question gets a new lane until a server has `MOST_LANES`, then one of those by
lot. So where little is asked every question has its own port, and where much is
asked a port is used for some tens of questions. A lane takes no more of them
when it has had its share, is a second old, or hears what it did not ask for;
it is closed when none of its questions is out any more.
"""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Protocol

from fairlead.dataplane.netns import open_socket
from fairlead.dns import message

if TYPE_CHECKING:
    from fairlead.dns.answer import Upstream
    from fairlead.dns.message import Query

MOST_LANES = 8
MOST_QUESTIONS = 64
MOST_STRAYS = 8
LANE_SECONDS = 1.0
BURST = 64


class Asker(Protocol):
    """Who asked on a lane, and is told how it went."""

    query: Query

    def heard(self, found: bytes) -> None:
        """This is the reply."""

    def failed(self) -> None:
        """There will be no reply."""


class Lane:
    """One socket to one server, and who waits for which id there."""

    __slots__ = ("_lanes", "_left", "_retired", "_sock", "_strays", "_upstream", "_waiting", "born")

    def __init__(self, lanes: Lanes, upstream: Upstream, sock: socket.socket) -> None:
        self._lanes = lanes
        self._upstream = upstream
        self._sock = sock
        self._waiting: dict[int, Asker] = {}
        self._left = MOST_QUESTIONS
        self._strays = 0
        self._retired = False
        loop = asyncio.get_running_loop()
        self.born = loop.time()
        loop.add_reader(sock, self._read)

    def ask(self, wire: bytes, asker: Asker) -> int:
        """Send a question; returns the id it went under. OSError if the server is not there."""
        id_ = int.from_bytes(os.urandom(2))
        while id_ in self._waiting:
            id_ = int.from_bytes(os.urandom(2))
        self._waiting[id_] = asker
        self._left -= 1
        if not self._left:
            self.retire()
        try:
            self._send(message.with_id(wire, id_))
        except OSError:
            del self._waiting[id_]
            self._break()
            raise
        return id_

    def ask_again(self, wire: bytes, id_: int) -> None:
        """Send a question that is out once more: it may have been lost."""
        try:
            self._send(message.with_id(wire, id_))
        except OSError:
            self._break()

    def forget(self, id_: int) -> None:
        """Nobody waits for this id any more."""
        self._waiting.pop(id_, None)
        self._close_if_done()

    def retire(self) -> None:
        """Take no more questions."""
        if not self._retired:
            self._retired = True
            self._lanes.remove(self._upstream, self)
            self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._waiting:
            self.close()

    def close(self) -> None:
        """Let the socket go, whoever waits."""
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()

    def _send(self, wire: bytes) -> None:
        try:
            self._sock.send(wire)
        except BlockingIOError:
            # The way is full: a lost packet, and there is another try.
            return

    def _read(self) -> None:
        for _ in range(BURST):
            try:
                found = self._sock.recv(message.LARGEST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._break()
                return
            id_ = int.from_bytes(found[:2])
            asker = self._waiting.get(id_)
            if asker is not None and message.matches(found, asker.query, id_):
                del self._waiting[id_]
                asker.heard(found)
                self._close_if_done()
            else:
                self._strays += 1
                if self._strays == MOST_STRAYS:
                    self.retire()
            if self._sock.fileno() < 0:
                return

    def _break(self) -> None:
        """The server is not there: nobody gets a reply here."""
        waiting, self._waiting = self._waiting, {}
        self.retire()
        self.close()
        for asker in waiting.values():
            asker.failed()


class Lanes:
    """The lanes out of one namespace, to any server."""

    def __init__(self, namespace: int | None) -> None:
        self._namespace = namespace
        self._lanes: dict[Upstream, list[Lane]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def lane(self, upstream: Upstream) -> Lane:
        """A lane to a server; OSError if there is no way there."""
        lanes = self._lanes.get(upstream)
        if lanes is not None and len(lanes) >= MOST_LANES:
            return lanes[os.urandom(1)[0] % MOST_LANES]
        sock = self.open(upstream, socket.SOCK_DGRAM)
        try:
            sock.connect(address(upstream))
        except BaseException:
            sock.close()
            raise
        lane = Lane(self, upstream, sock)
        self._lanes.setdefault(upstream, []).append(lane)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(LANE_SECONDS, self._sweep)
        return lane

    def open(self, upstream: Upstream, kind: int) -> socket.socket:
        """A socket that can reach that server."""
        family = socket.AF_INET if upstream.address.version == 4 else socket.AF_INET6
        return open_socket(self._namespace, family, kind)

    def remove(self, upstream: Upstream, lane: Lane) -> None:
        """Give a lane no more questions."""
        lanes = self._lanes[upstream]
        lanes.remove(lane)
        if not lanes:
            del self._lanes[upstream]

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time() - LANE_SECONDS
        for lane in [lane for lanes in self._lanes.values() for lane in lanes]:
            if lane.born <= before:
                lane.retire()
        self._sweeper = loop.call_later(LANE_SECONDS, self._sweep) if self._lanes else None

    def close(self) -> None:
        """Take no more questions; a lane with questions out goes when they are forgotten."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for lane in [lane for lanes in self._lanes.values() for lane in lanes]:
            lane.retire()


def address(upstream: Upstream) -> tuple[str, int] | tuple[str, int, int, int]:
    """A socket address that needs no lookup, zone index included."""
    ip = upstream.address
    if not isinstance(ip, IPv6Address) or ip.scope_id is None:
        return str(ip), upstream.port
    zone = ip.scope_id
    index = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    return str(ip).partition("%")[0], upstream.port, 0, index
