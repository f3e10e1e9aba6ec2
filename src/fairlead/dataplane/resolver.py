"""The name server of one sandbox, on sockets that were born inside it.

Rule: an answer that is known never waits for anything. It is a lookup in a table
of ready replies, keyed by all of the query but its id; the table is thrown away
when the view changes, and before a burst if one of its zones has. Answers from
upstream stay in it for a second, after which their TTLs are lower.

UDP goes in bursts past asyncio, whose datagram transport costs several times as
much per packet as everything else here together.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from time import monotonic
from typing import TYPE_CHECKING

from fairlead.dataplane.burst import Ready, send_to
from fairlead.dataplane.forward import Forwards
from fairlead.dataplane.stats import COUNTS
from fairlead.dataplane.stream import MOST_STREAMS, Stream
from fairlead.dns import message
from fairlead.dns.answer import answer
from fairlead.dns.message import Malformed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fairlead.dataplane.burst import Burst
    from fairlead.dataplane.forward import Outstanding
    from fairlead.dns.answer import View
    from fairlead.dns.kept import Kept
    from fairlead.dns.message import IP, Query
    from fairlead.dns.zone import Zones

MOST_ORDERS = 16
CACHE_BYTES = 256 << 10
ENTRY_BYTES = 300
READY_BYTES = 200
FRESH_SECONDS = 1.0


class Resolver:
    """Answers what one sandbox asks; owns its sockets and its namespace descriptor."""

    def __init__(
        self,
        view: View,
        zones: Zones,
        udp: socket.socket,
        tcp: socket.socket,
        namespace: int,
        outstanding: Outstanding,
        burst: Burst,
    ) -> None:
        self._view = view
        self._zones = zones
        self._epoch = -1
        self._udp = udp
        self._tcp = tcp
        self._burst = burst
        self._forwards = Forwards(outstanding, namespace)
        self._forwards.show(view)
        self._ready: dict[bytes, cycle[Ready]] = {}
        self._ready_bytes = 0
        # Those of the ready replies whose TTLs count down, and until when they are right.
        self._passing: dict[bytes, int] = {}
        self._passing_until = 0.0
        self._server: asyncio.Server | None = None
        self.streams: set[Stream] = set()

    async def start(self) -> None:
        """Begin to serve."""
        loop = asyncio.get_running_loop()
        self._udp.setblocking(False)
        self._server = await loop.create_server(
            lambda: Stream(self), sock=self._tcp, backlog=MOST_STREAMS
        )
        loop.add_reader(self._udp, self._datagrams)

    def show(self, view: View) -> None:
        """Answer from another view from now on."""
        if view != self._view:
            self._view = view
            self._forwards.show(view)
            self._forget()

    def _forget(self) -> None:
        self._ready.clear()
        self._ready_bytes = 0
        self._passing.clear()

    def _forget_passing(self) -> None:
        for key, cost in self._passing.items():
            if self._ready.pop(key, None) is not None:
                self._ready_bytes -= cost
        self._passing.clear()

    async def close(self) -> None:
        """Stop serving and hold nothing of the sandbox any more."""
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()
        if self._server is None:
            self._tcp.close()
        else:
            self._server.close()
        for stream in list(self.streams):
            stream.abort()
        await self._forwards.close()

    def _datagrams(self) -> None:
        """Answer a burst; what is left after it waits for the loop's next turn."""
        epoch = self._zones.epoch(self._view.zones)
        if epoch != self._epoch:
            # Names came or went on one of its networks: what is ready may be wrong.
            self._forget()
            self._epoch = epoch
        if self._passing and monotonic() >= self._passing_until:
            self._forget_passing()
        self._burst.serve(self._udp, self._ready, self._prepare)

    def _prepare(self, wire: bytes, client: bytes) -> None:
        """Answer a query that has not been asked before."""
        descriptor = self._udp.fileno()
        try:
            query = message.parse(wire)
        except Malformed as error:
            COUNTS.malformed += 1
            if error.reply is not None:
                send_to(descriptor, error.reply, client)
            return
        sizes: list[int] = []
        limit = query.udp_bytes
        first = answer(
            self._view, self._zones, query, lambda found: sizes.append(len(found)), limit
        )
        if first is None:
            self._pass_on(query, wire, client)
            return
        COUNTS.local += 1
        replies = [Ready(first)]
        if sizes:
            turned = (
                answer(self._view, self._zones, query, _turn(start), limit)
                for start in _starts(sizes[0])
            )
            replies = [Ready(reply) for reply in turned if reply is not None]
        if len(wire) <= _longest(query):
            self._keep(wire[2:], replies, query.id)
        send_to(descriptor, first, client)

    def _pass_on(self, query: Query, wire: bytes, client: bytes) -> None:
        """Answer from what upstream said before, or have it asked."""
        limit = query.udp_bytes
        now = monotonic()
        key = self._forwards.key(query)
        kept = self._forwards.known(key, now)
        if kept is not None:
            COUNTS.cached += 1
            first = message.cut(kept.reply(query, now, query.id), query, limit)
            send_to(self._udp.fileno(), first, client)
            if kept.until >= now + FRESH_SECONDS and len(wire) <= _longest(query):
                self._keep_passing(kept, query, wire[2:], now)
            return

        def reply(found: bytes) -> None:
            if len(found) > limit:
                found = message.cut(found, query, limit)
            # Closed, it is one that nothing can be sent by.
            send_to(self._udp.fileno(), found, client)

        self._forwards.start(key, query, wire, reply, now, stream=False)

    def _keep_passing(self, kept: Kept, query: Query, key: bytes, now: float) -> None:
        """Have replies from upstream ready, while their TTLs are what they are now."""
        turned = (kept.reply(query, now, start) for start in _starts(len(kept.turning) or 1))
        replies = [Ready(message.cut(reply, query, query.udp_bytes)) for reply in turned]
        if not self._passing:
            self._passing_until = now + FRESH_SECONDS
        cost = self._keep(key, replies, query.id)
        self._passing[key] = cost

    def _keep(self, key: bytes, replies: list[Ready], start: int) -> int:
        """Have these replies ready, to be given in turn from a place the client's id draws."""
        cost = ENTRY_BYTES + len(key) + sum(READY_BYTES + reply.length for reply in replies)
        if self._ready_bytes + cost > CACHE_BYTES:
            self._forget()
        self._ready_bytes += cost
        start %= len(replies)
        self._ready[key] = cycle(replies[start:] + replies[:start])
        return cost

    def ask(self, wire: bytes, reply: Callable[[bytes], None]) -> bool:
        """Answer one query of a stream, now or later; False if it deserves no reply."""
        try:
            query = message.parse(wire)
        except Malformed as error:
            COUNTS.malformed += 1
            if error.reply is None:
                return False
            reply(error.reply)
            return True
        found = answer(
            self._view, self._zones, query, lambda found: _turn(query.id % len(found))(found)
        )
        if found is not None:
            reply(found)
        else:
            key, now = self._forwards.key(query), monotonic()
            kept = self._forwards.known(key, now)
            if kept is not None:
                reply(kept.reply(query, now, query.id))
            else:
                self._forwards.start(key, query, wire, reply, now, stream=True)
        return True


def _longest(query: Query) -> int:
    """How long it is without options, of which cookies are never the same twice."""
    return message.HEADER.size + len(query.question) + message.OPT_BYTES


def _starts(size: int) -> range:
    """Where to begin so that each of `size` comes first at times."""
    return range(0, size, -(-size // MOST_ORDERS))


def _turn(start: int) -> Callable[[list[IP]], None]:
    """Something that turns a list so that it begins at `start`."""

    def turn(found: list[IP]) -> None:
        found[:] = found[start:] + found[:start]

    return turn
