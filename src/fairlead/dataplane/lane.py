"""The sockets that questions go out by, and find their replies on.

Rule: a reply counts only if it comes from the address asked, to the port it was
asked from, with the id and the question asked (RFC 5452). All of what a forger
has to guess is random: a lane is a socket, so a port, of its own; it is
connected, so that the kernel drops strangers' packets and tells of ICMP errors;
and the letters of the name go out in upper or lower case by lot. A reply in
which only the case is wrong is no reply, but a reason to ask by TCP.

A question gets a new lane until a server has `MOST_LANES`, then one of those by
lot. So where little is asked every question has its own port, and where much is
asked a port is used for some tens of questions. A lane takes no more of them
when it has had its share, is a second old, or hears what it did not ask for. It
is closed when nobody waits for a reply any more, or soon after: that a server
replies late, to somebody who has his answer from another, is worth knowing.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
from ipaddress import IPv6Address
from time import monotonic
from typing import TYPE_CHECKING

from fairlead.dataplane.netns import open_socket
from fairlead.dataplane.noise import Noise
from fairlead.dataplane.upstream import Asker, Server
from fairlead.dns import message

if TYPE_CHECKING:
    from fairlead.dataplane.burst import Inbox
    from fairlead.dns.answer import Upstream

SIOCGIFINDEX = 0x8933
MOST_LANES = 8
MOST_QUESTIONS = 64
MOST_STRAYS = 8
LANE_SECONDS = 1.0
LATE_SECONDS = 3.0


class Lane:
    """One socket to one server, and who waits for which id there."""

    __slots__ = (
        "_lanes", "_late", "_left", "_retired", "_server", "_sock", "_strays", "_waiting", "born",
    )  # fmt: skip

    def __init__(self, lanes: Lanes, server: Server, sock: socket.socket) -> None:
        self._lanes = lanes
        self._server = server
        self._sock = sock
        self._waiting: dict[int, Asker] = {}
        self._late: dict[int, Asker] = {}
        self._left = MOST_QUESTIONS
        self._strays = 0
        self._retired = False
        self.born = monotonic()
        asyncio.get_running_loop().add_reader(sock, self._read)

    def ask(self, asker: Asker, head: bytes, question: bytes, tail: bytes, *, mix: bool) -> None:
        """Send a question under an id of its own. OSError if the server is not there.

        Without `mix` it keeps its spelling: one that is signed is spelt as it was signed.
        """
        take, waiting = self._lanes.noise.take, self._waiting
        noise = take(2 + len(question))
        while (id_ := noise[0] << 8 | noise[1]) in waiting or id_ in self._late:
            noise = take(2 + len(question))
        asker.id = id_
        if mix and self._server.mixes:
            question = message.mixed(question, noise)
        asker.sent = question
        waiting[id_] = asker
        self._left -= 1
        if not self._left:
            self.retire()
        try:
            self._sock.send(noise[:2] + head + question + tail)
        except BlockingIOError:
            # The way is full: a lost packet, and there is another try.
            return
        except OSError:
            del waiting[id_]
            self._break()
            raise

    def ask_again(self, asker: Asker, head: bytes, tail: bytes) -> None:
        """Send a question that is out once more: it may have been lost."""
        try:
            self._sock.send(asker.id.to_bytes(2) + head + asker.sent + tail)
        except BlockingIOError:
            return
        except OSError:
            self._break()

    def forget(self, asker: Asker, *, late: bool) -> None:
        """Nobody needs this reply any more; `late`: but it still tells of the server."""
        if self._waiting.pop(asker.id, None) is not None and late:
            self._late[asker.id] = asker
        self._close_if_done()

    def retire(self) -> None:
        """Take no more questions."""
        if not self._retired:
            self._retired = True
            self._lanes.remove(self._server, self)
            self._close_if_done()

    def _close_if_done(self) -> None:
        if not self._retired or self._waiting:
            return
        if self._late:
            self._lanes.linger(self)
        else:
            self.close()

    def close(self) -> None:
        """Let the socket go, whoever waits."""
        self._lanes.lingering.discard(self)
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()

    def _read(self) -> None:
        try:
            found = self._lanes.inbox.receive(self._sock.fileno())
        except OSError:
            self._break()
            return
        waiting = self._waiting
        for wire in found:
            id_ = int.from_bytes(wire[:2])
            asker = waiting.get(id_) or self._late.get(id_)
            fits = False if asker is None else message.matches(wire, asker.sent)
            if asker is None or fits is False:
                self._strays += 1
                if self._strays == MOST_STRAYS:
                    self.retire()
                continue
            if waiting.pop(id_, None) is None:
                self._late.pop(id_, None)
            asker.heard(wire, exact=fits is True)
        self._close_if_done()

    def _break(self) -> None:
        """The server is not there: nobody gets a reply here."""
        waiting, self._waiting = self._waiting, {}
        self._late.clear()
        self._server.gone()
        self.retire()
        self.close()
        for asker in waiting.values():
            asker.failed()


class Lanes:
    """The lanes out of one namespace, and what is known there of each server."""

    def __init__(self, namespace: int | None, inbox: Inbox, noise: Noise) -> None:
        self.inbox = inbox
        self.noise = noise
        self.lingering: set[Lane] = set()
        self._namespace = namespace
        self._servers: dict[Upstream, Server] = {}
        self._lanes: dict[Server, list[Lane]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    def server(self, upstream: Upstream) -> Server:
        """An upstream as it is seen from here."""
        found = self._servers.get(upstream)
        if found is None:
            found = self._servers[upstream] = Server(upstream, self)
        return found

    def lane(self, server: Server) -> Lane:
        """A lane to a server; OSError if there is no way there."""
        lanes = self._lanes.get(server)
        if lanes is not None and len(lanes) >= MOST_LANES:
            return lanes[self.noise.take(1)[0] % MOST_LANES]
        sock = self.open(server.upstream, socket.SOCK_DGRAM)
        try:
            sock.connect(address(server.upstream, sock))
        except BaseException:
            sock.close()
            raise
        lane = Lane(self, server, sock)
        self._lanes.setdefault(server, []).append(lane)
        self._sweep_later()
        return lane

    def open(self, upstream: Upstream, kind: int) -> socket.socket:
        """A socket that can reach that server."""
        family = socket.AF_INET if upstream.address.version == 4 else socket.AF_INET6
        return open_socket(self._namespace, family, kind)

    def remove(self, server: Server, lane: Lane) -> None:
        """Give a lane no more questions."""
        lanes = self._lanes.get(server, [])
        if lane in lanes:
            lanes.remove(lane)
        if not lanes:
            self._lanes.pop(server, None)

    def linger(self, lane: Lane) -> None:
        """Keep a lane for what may come late."""
        self.lingering.add(lane)
        self._sweep_later()

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(LANE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = monotonic()
        for lane in [lane for lanes in self._lanes.values() for lane in lanes]:
            if lane.born <= now - LANE_SECONDS:
                lane.retire()
        for lane in [lane for lane in self.lingering if lane.born <= now - LATE_SECONDS]:
            lane.close()
        if self._lanes or self.lingering:
            self._sweep_later()

    def close(self) -> None:
        """Close them all, whoever waits."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for lane in [lane for lanes in self._lanes.values() for lane in lanes]:
            lane.close()
        for lane in list(self.lingering):
            lane.close()
        self._lanes.clear()


def address(upstream: Upstream, sock: socket.socket) -> tuple[str, int] | tuple[str, int, int, int]:
    """Where a socket finds a server, without a lookup; the zone is one of its own namespace."""
    ip = upstream.address
    if not isinstance(ip, IPv6Address) or ip.scope_id is None:
        return str(ip), upstream.port
    zone = ip.scope_id
    if zone.isdigit():
        index = int(zone)
    else:
        asked = struct.pack("16si20x", zone.encode(), 0)
        (index,) = struct.unpack_from("i", fcntl.ioctl(sock, SIOCGIFINDEX, asked), 16)
    return str(ip).partition("%")[0], upstream.port, 0, index
