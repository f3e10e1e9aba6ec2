"""A sandbox's client by TCP.

Rule: whatever it does, nobody else waits for it, and it cannot stay for nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_STREAMS = 256
IDLE_SECONDS = 10.0


class Answerer(Protocol):
    """Who answers the client's queries."""

    streams: set[Stream]

    def ask(self, wire: bytes, reply: Callable[[bytes], None]) -> bool:
        """Answer one query, now or later; False if it deserves no reply."""


class Stream(asyncio.Protocol):
    """A client by TCP: any number of queries, each answered when its answer is there.

    It may keep silent for ten seconds; a query that trickles in, or a reply that
    it does not fetch, counts as silence.
    """

    def __init__(self, resolver: Answerer) -> None:
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
