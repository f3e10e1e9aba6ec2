"""A question that somebody else must answer: whom it was put to, and what to do when.

Rule: everybody who waits for it gets exactly one reply: the first good one of any
server, or what was known before if that cannot be had in time, or SERVFAIL when
four seconds are over or nobody is left.

===========================  ==================================================
what happens                 what is done
===========================  ==================================================
asked                        of the first server; of suspects that may be back,
                             too; of all, where all are suspects
it takes longer than usual   the next server is asked as well
SERVFAIL, REFUSED, ICMP      the next server, at once
no such name, while a        that one is waited for a little: it may know names
server named before is out   that others deny
cut short (TC)               asked by TCP; the cut answer if that does not work
in the wrong case            asked by TCP
a second without a reply     asked again: it may have been lost; not in a flood, of which
                             silence says nothing of the server, either
0.4 s, and all fails         what was known before (RFC 8767)
===========================  ==================================================
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fairlead.dataplane.attempt import Attempt, Datagram, Stream
from fairlead.dataplane.stats import COUNTS
from fairlead.dns import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.dataplane.upstream import Server, Source
    from fairlead.dataplane.wheel import Wheel
    from fairlead.dns.kept import Kept
    from fairlead.dns.message import Query

TOTAL_SECONDS = 4.0
STALE_SECONDS = 0.4
DENIED_SECONDS = 0.3
CUT_SECONDS = 0.5

UNWILLING = (message.SERVFAIL, message.REFUSED)

Key = tuple[int, bytes, int, bool, bool]
"""What is asked of whom: two questions with one key have one answer."""


class Client(Protocol):
    """Where questions come from."""

    @property
    def floods(self) -> bool:
        """Whether it has so many questions out that each is asked once."""

    def tell(self, reply: Callable[[bytes], None], found: bytes) -> None:
        """One of its questions has its reply."""


Waiter = tuple[Client, "Query", "Callable[[bytes], None]"]
"""Somebody who waits: whose client he is, how he asked, and how to tell him."""


class Desk(Protocol):
    """Where questions are taken in, and who hears how they went."""

    wheel: Wheel

    def ended(self, question: Question, found: bytes | None) -> None:
        """A question is over; without an answer if it failed."""


class Question:
    """One question under way; without a `key` it is like no other."""

    __slots__ = (
        "_at", "_awaited", "_ends_at", "_gave", "_held", "_left", "_next_at", "_out", "_waiters",
        "began", "desk", "head", "key", "owner", "query", "source", "stale", "stream",
        "tail",
    )  # fmt: skip

    def __init__(
        self,
        desk: Desk,
        source: Source,
        query: Query,
        wire: bytes,
        key: Key | None,
        owner: str,
        *,
        stream: bool,
        stale: Kept | None,
    ) -> None:
        self.desk = desk
        self.source = source
        self.query = query
        self.key = key
        self.owner = owner
        self.stream = stream
        self.stale = stale
        self.head, self.tail = message.forwarded(query, wire)
        self._gave = False
        self._waiters: list[Waiter] = []
        self._out: list[Attempt] = []
        self._left: list[Server] = []
        # An answer to be given when it ends, unless one of the awaited has a better one.
        self._held: bytes | None = None
        self._awaited: list[Attempt] | None = None
        self.began = 0.0
        self._ends_at = self._next_at = self._at = inf

    def join(self, waiter: Waiter, now: float) -> None:
        """Let somebody wait for the answer as well."""
        self._waiters.append(waiter)
        if self._gave:
            self._give_stale(now)

    def start(self, now: float) -> None:
        """Put it to whom it should be put first."""
        self.began = now
        self._ends_at = now + TOTAL_SECONDS
        self.source.questions.add(self)
        servers = self.source.servers
        suspects = [server for server in servers if server.suspect]
        if not suspects:
            self._left = list(servers[::-1])
            self._go_on(now)
            return
        trusted = [server for server in servers if not server.suspect]
        if not trusted and self.stale is not None:
            self._give_stale(now)
        beside = [server for server in suspects if not trusted or server.probed(now)]
        self._left = [*trusted, *(server for server in suspects if server not in beside)][::-1]
        for server in beside:
            self._put(server, now)
        self._go_on(now)

    def _put(self, server: Server, now: float) -> Attempt | None:
        """Ask one server; None if it cannot be asked."""
        attempt: Attempt
        try:
            attempt = Stream(self, server) if self.stream else Datagram(self, server, now)
        except OSError:
            # Not there, or no way there.
            server.gone()
            return None
        self._out.append(attempt)
        return attempt

    def _go_on(self, now: float) -> None:
        """Put it to the next server that can be asked; without any, it has failed."""
        self._next_at = inf
        while self._left:
            attempt = self._put(self._left.pop(), now)
            if attempt is not None:
                if self._left:
                    self._next_at = now + attempt.patience()
                break
        if self._out:
            self._wait()
        else:
            self._end(self._held)

    def _wait(self) -> None:
        at = min(self._ends_at, self._next_at)
        for attempt in self._out:
            at = min(at, attempt.again_at)
        if self.stale is not None and not self._gave:
            at = min(at, self.began + STALE_SECONDS)
        if at < self._at:
            self._at = at
            self.desk.wheel.at(at, self)

    def tick(self, now: float) -> None:
        """Something may be due."""
        if not self._out or now < self._at:
            return
        self._at = inf
        if now >= self._ends_at:
            self._end(self._held)
            return
        if self.stale is not None and now >= self.began + STALE_SECONDS:
            self._give_stale(now)
        for attempt in [*self._out]:
            # It may be over by what became of the one before.
            if attempt.again_at <= now and attempt in self._out:
                attempt.again(now, flood=self._flood)
        if not self._out:
            # The last of them is out of the question, and so this is over.
            return
        if self._left and now >= self._next_at:
            if not self._flood:
                self._out[-1].server.missed()
            self._go_on(now)
        else:
            self._wait()

    @property
    def _flood(self) -> bool:
        """Whether nobody waits for it but who floods."""
        return bool(self._waiters) and all(client.floods for client, _, _ in self._waiters)

    def heard(self, attempt: Attempt, found: bytes, now: float) -> None:
        """A server has replied: that is the answer, unless it cannot or will not give one."""
        if attempt not in self._out:
            return
        if message.rcode_of(found) in UNWILLING:
            self.failed(attempt)
            return
        self._out.remove(attempt)
        if message.truncated(found) and isinstance(attempt, Datagram):
            if self._by_stream(attempt.server):
                self._hold(found, now + CUT_SECONDS, self._out[-1:])
                return
        elif self._out and message.negative(found):
            before = self._before(attempt.server)
            if before and now < self.began + DENIED_SECONDS:
                self._hold(found, self.began + DENIED_SECONDS, before)
                return
        self._end(found)

    def doubted(self, attempt: Attempt) -> None:
        """Only the case is wrong: a forger who guessed all else, or a server that changes it."""
        if attempt in self._out:
            self._out.remove(attempt)
            if not self._by_stream(attempt.server):
                self._without(attempt)

    def failed(self, attempt: Attempt) -> None:
        """A server is out of the question: at once the next."""
        # Else it was over before it could say so.
        if attempt in self._out:
            self._out.remove(attempt)
            self._without(attempt)

    def _without(self, attempt: Attempt) -> None:
        if self._awaited and attempt in self._awaited:
            self._awaited.remove(attempt)
        if self._held is not None and not self._awaited:
            self._end(self._held)
        else:
            self._go_on(monotonic())

    def _by_stream(self, server: Server) -> bool:
        """Ask a server by TCP; whether that can be."""
        try:
            self._out.append(Stream(self, server))
        except OSError:
            return False
        self._wait()
        return True

    def _before(self, server: Server) -> list[Attempt]:
        """Who is out still at servers that the user named before this one, and may be relied on."""
        servers = self.source.servers
        ahead = servers[: servers.index(server)]
        return [each for each in self._out if each.server in ahead and not each.server.suspect]

    def _hold(self, found: bytes, until: float, awaited: list[Attempt]) -> None:
        self._held, self._awaited = found, awaited
        self._ends_at = min(self._ends_at, until)
        self._wait()

    def _give_stale(self, now: float) -> None:
        self._gave = True
        waiters, self._waiters = self._waiters, []
        for client, query, reply in waiters:
            assert self.stale is not None
            client.tell(reply, self.stale.reply(query, now))

    def _end(self, found: bytes | None) -> None:
        """Tell everybody."""
        self.source.questions.discard(self)
        for attempt in self._out:
            attempt.forget(late=found is not None)
        self._out = []
        if found is None and self.stale is not None:
            self._give_stale(monotonic())
        for client, query, reply in self._waiters:
            if found is None:
                COUNTS.failed += 1
                client.tell(reply, message.build(query, message.SERVFAIL))
            else:
                client.tell(reply, message.answered(found, query))
        self._waiters = []
        self.desk.ended(self, found)

    def abort(self) -> None:
        """Wait for nobody any more."""
        self._end(None)
