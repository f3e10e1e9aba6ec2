"""The name server of one sandbox, on sockets that were born inside it.

Rule: a local answer never waits for anything. It is a lookup in a table of
ready replies, keyed by all of the query but its id; the table is thrown away
when the view changes, and before a burst if one of its zones has.

UDP goes in bursts past asyncio, whose datagram transport costs several times as
much per packet as everything else here together.
"""

from __future__ import annotations

import asyncio
from itertools import cycle
from typing import TYPE_CHECKING

from fairlead.dataplane.burst import Ready
from fairlead.dataplane.forward import Forwards
from fairlead.dns import message
from fairlead.dns.answer import answer
from fairlead.dns.message import Malformed

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fairlead.dataplane.burst import Address, Burst
    from fairlead.dataplane.forward import Outstanding
    from fairlead.dns.answer import View
    from fairlead.dns.message import IP
    from fairlead.dns.zone import Zones

MOST_ORDERS = 16
CACHE_BYTES = 256 << 10
ENTRY_BYTES = 300
READY_BYTES = 200
MOST_STREAMS = 256
IDLE_SECONDS = 10.0


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
        self._ready: dict[bytes, cycle[Ready]] = {}
        self._ready_bytes = 0
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
        self._view = view
        self._forget()

    def _forget(self) -> None:
        self._ready.clear()
        self._ready_bytes = 0

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
        self._burst.serve(self._udp, self._ready, self._prepare)

    def _send(self, reply: bytes, client: Address) -> None:
        try:
            self._udp.sendto(reply, client)
        except OSError:
            # A full buffer, a firewall inside, a client that is gone: to a client of UDP
            # it is a lost packet, and it asks again.
            return

    def _prepare(self, wire: bytes, client: Address) -> None:
        """Answer a query that has not been asked before."""
        try:
            query = message.parse(wire)
        except Malformed as error:
            if error.reply is not None:
                self._send(error.reply, client)
            return
        sizes: list[int] = []
        limit = query.udp_bytes
        first = answer(
            self._view, self._zones, query, lambda found: sizes.append(len(found)), limit
        )
        if first is None:

            def reply(found: bytes) -> None:
                if self._udp.fileno() >= 0:
                    self._send(message.cut(found, query, limit), client)

            self._forwards.start(self._view, query, wire, reply, stream=False)
            return
        replies = [Ready(first)]
        if sizes:
            size = sizes[0]
            starts = range(0, size, -(-size // MOST_ORDERS))
            turned = (
                answer(self._view, self._zones, query, _turn(start), limit) for start in starts
            )
            replies = [Ready(reply) for reply in turned if reply is not None]
        self._keep(wire[2:], replies, query.id)
        self._send(first, client)

    def _keep(self, key: bytes, replies: list[Ready], start: int) -> None:
        """Have these replies ready, to be given in turn from a place the client's id draws."""
        self._ready_bytes += (
            ENTRY_BYTES + len(key) + sum(READY_BYTES + reply.length for reply in replies)
        )
        if self._ready_bytes > CACHE_BYTES:
            self._forget()
        start %= len(replies)
        self._ready[key] = cycle(replies[start:] + replies[:start])

    def ask(self, wire: bytes, reply: Callable[[bytes], None]) -> bool:
        """Answer one query of a stream, now or later; False if it deserves no reply."""
        try:
            query = message.parse(wire)
        except Malformed as error:
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
            self._forwards.start(self._view, query, wire, reply, stream=True)
        return True


def _turn(start: int) -> Callable[[list[IP]], None]:
    """Something that turns a list so that it begins at `start`."""

    def turn(found: list[IP]) -> None:
        found[:] = found[start:] + found[:start]

    return turn


class Stream(asyncio.Protocol):
    """A client by TCP: any number of queries, each answered when its answer is there.

    It may keep silent for ten seconds; a query that trickles in, or a reply that
    it does not fetch, counts as silence.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray()
        self._alive = 0.0
        self._awaited = 0
        self._full = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client if there is room."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._resolver.streams) >= MOST_STREAMS:
            transport.abort()
            return
        self._resolver.streams.add(self)
        self._alive = asyncio.get_running_loop().time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._transport = None
        self._resolver.streams.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer every query that is complete."""
        self._buffer += data
        self._work()

    def eof_received(self) -> bool:
        """Let the replies out that are still to come."""
        self._ended = True
        return bool(self._awaited or self._full)

    def pause_writing(self) -> None:
        """Read no more queries while the client fetches no replies."""
        self._full = True
        if self._transport is not None and not self._ended:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        if self._transport is not None and not self._ended:
            self._transport.resume_reading()
        self._work()

    def abort(self) -> None:
        """Drop the client at once."""
        if self._transport is not None:
            self._transport.abort()

    def _work(self) -> None:
        # Counts as awaited itself, or the first reply could close what has more to ask.
        self._awaited += 1
        while not self._full and self._transport is not None:
            wire = self._query()
            if wire is None:
                break
            self._awaited += 1
            if not self._resolver.ask(wire, self._reply):
                self.abort()
                break
        self._awaited -= 1
        self._finish()

    def _query(self) -> bytes | None:
        """Take the next query that is complete."""
        end = 2 + int.from_bytes(self._buffer[:2])
        if len(self._buffer) < max(end, 3):
            return None
        wire = bytes(self._buffer[2:end])
        del self._buffer[:end]
        return wire

    def _reply(self, found: bytes) -> None:
        self._awaited -= 1
        if self._transport is not None:
            self._alive = asyncio.get_running_loop().time()
            self._transport.write(len(found).to_bytes(2) + found)
            self._finish()

    def _finish(self) -> None:
        if self._ended and not self._awaited and not self._full and self._transport is not None:
            self._transport.close()

    def _watch(self) -> None:
        """End the client ten seconds after its last sign of life."""
        loop = asyncio.get_running_loop()
        silent_at = self._alive + IDLE_SECONDS
        if silent_at <= loop.time():
            self.abort()
        else:
            self._timer = loop.call_at(silent_at, self._watch)
