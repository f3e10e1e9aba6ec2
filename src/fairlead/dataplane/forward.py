"""What sandboxes ask that somebody else must answer.

Rule: nobody asks twice what is known or being asked already. An answer is kept
while it lives (`dns.kept`), a failure for a second (`dns.failures`); who asks the
same as somebody else does, of the same servers, waits for the same answer. A
sandbox whose servers are its own, reached from inside, shares with nobody.

A sandbox may have 1024 questions out, as with Docker, and then hears REFUSED. If
all of them together have very many out, each still gets a few, and who has
hundreds out has none of them repeated: who floods does not keep others from
asking, nor servers from hearing them.
"""

from __future__ import annotations

import asyncio
import os
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from fairlead.dataplane.burst import Inbox
from fairlead.dataplane.lane import Lanes
from fairlead.dataplane.noise import Noise
from fairlead.dataplane.question import Key, Question
from fairlead.dataplane.stats import COUNTS
from fairlead.dataplane.upstream import Source
from fairlead.dataplane.wheel import Wheel
from fairlead.dns import message
from fairlead.dns.cache import Cache
from fairlead.dns.failures import Failures
from fairlead.dns.kept import KNOWING, keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.dns.answer import Upstream, View
    from fairlead.dns.kept import Kept
    from fairlead.dns.message import Query

MOST_UPSTREAMS = 3
MOST_PER_SANDBOX = 1024
MOST_PER_PROCESS = 8192
FEW = 64
MANY = 256
# An answer that has expired may still be given for a day, where nobody can renew it; after
# a failure it is for ten seconds before anybody is asked again.
MOST_STALE_SECONDS = 86400
REST_SECONDS = 10.0
KEY_FLAGS = message.RD | message.CD | message.AD


class Outstanding:
    """What all sandboxes share: ways out of the host, answers, and how many questions are out."""

    def __init__(self) -> None:
        self.count = 0
        self.numbers = count()
        self.cache = Cache()
        self.failures = Failures()
        self.wheel = Wheel()
        self.inbox = Inbox()
        self.noise = Noise()
        self.lanes = Lanes(None, self.inbox, self.noise)
        # Under way by TCP, and by UDP.
        self.flying: dict[bool, dict[Key, Question]] = {True: {}, False: {}}
        self._sources: dict[tuple[Upstream, ...], Source] = {}

    def source(self, upstreams: tuple[Upstream, ...]) -> Source:
        """Servers that are asked from the host."""
        found = self._sources.get(upstreams)
        if found is None:
            servers = tuple(self.lanes.server(upstream) for upstream in upstreams)
            found = self._sources[upstreams] = Source(next(self.numbers), servers)
        return found

    def ended(self, question: Question, found: bytes | None) -> None:
        """Keep what a question brought to light."""
        key = question.key
        if key is None:
            return
        self.flying[question.stream].pop(key, None)
        now = monotonic()
        if found is None:
            self.cache.rest(key, now + REST_SECONDS)
            self.failures.note(key, now)
        elif (kept := keep(found, question.query, now)) is not None:
            self.cache.put(key, kept, question.owner)
        elif question.stale is not None and message.rcode_of(found) in KNOWING:
            # What was known is not so any more, and what is so is not for keeping.
            self.cache.drop(key)

    def close(self) -> None:
        """Forget all that is out and close the ways."""
        for source in self._sources.values():
            for question in list(source.questions):
                question.abort()
        self.wheel.close()
        self.lanes.close()


class Forwards:
    """The questions one sandbox has out; owns the descriptor of its namespace."""

    def __init__(self, outstanding: Outstanding, namespace: int) -> None:
        self._shared = outstanding
        self._namespace = namespace
        self._inside = Lanes(namespace, outstanding.inbox, outstanding.noise)
        self._owner = str(next(outstanding.numbers))
        self._upstreams: tuple[Upstream, ...] = ()
        self._source = Source(next(outstanding.numbers), ())
        self._own: list[Source] = []
        self._waiting = 0
        self._closed = False

    def show(self, view: View) -> None:
        """Ask the servers of this view from now on; none if it may not ask."""
        # The same server twice is one.
        upstreams = tuple(dict.fromkeys(view.upstreams))[:MOST_UPSTREAMS] if view.forward else ()
        if upstreams == self._upstreams:
            return
        self._upstreams = upstreams
        if not any(upstream.inside for upstream in upstreams):
            self._source = self._shared.source(upstreams)
            return
        servers = tuple(
            (self._inside if upstream.inside else self._shared.lanes).server(upstream)
            for upstream in upstreams
        )
        self._source = Source(next(self._shared.numbers), servers)
        self._own = [*(source for source in self._own if source.questions), self._source]

    def key(self, query: Query) -> Key | None:
        """What a question has in common with its like; None if it is like no other."""
        if not query.plain:
            return None
        flags = query.flags & KEY_FLAGS
        return self._source.number, query.question.lower(), flags, query.edns, query.dnssec

    def known(self, key: Key | None, now: float) -> Kept | None:
        """An answer that need not be asked for."""
        if key is None:
            return None
        entry = self._shared.cache.get(key)
        return entry.kept if entry is not None and now < entry.kept.until else None

    def start(
        self,
        key: Key | None,
        query: Query,
        wire: bytes,
        reply: Callable[[bytes], None],
        now: float,
        *,
        stream: bool,
    ) -> None:
        """Have a question answered, by TCP if `stream`, and pass the answer to `reply`."""
        shared = self._shared
        if self._waiting >= (MOST_PER_SANDBOX if shared.count < MOST_PER_PROCESS else FEW):
            COUNTS.refused += 1
            reply(message.build(query, message.REFUSED))
            return
        stale = None
        question = None
        if key is not None:
            entry = shared.cache.get(key)
            if entry is not None:
                if now < entry.rest_until:
                    COUNTS.cached += 1
                    reply(entry.kept.reply(query, now))
                    return
                if now < entry.kept.until + MOST_STALE_SECONDS:
                    stale = entry.kept
            if stale is None and shared.failures.stands(key, now):
                COUNTS.failed += 1
                reply(message.build(query, message.SERVFAIL))
                return
            question = shared.flying[stream].get(key)
        COUNTS.forwarded += 1
        self._waiting += 1
        shared.count += 1
        waiter = (self, query, reply)
        if question is not None:
            question.join(waiter, now)
            return
        question = Question(
            shared, self._source, query, wire, key, self._owner, stream=stream, stale=stale
        )
        if key is not None:
            shared.flying[stream][key] = question
        question.join(waiter, now)
        question.start(now)

    @property
    def floods(self) -> bool:
        """Whether it has so many questions out that each is asked once."""
        return self._waiting > MANY

    def tell(self, reply: Callable[[bytes], None], found: bytes) -> None:
        """One of its questions has its reply."""
        self._waiting -= 1
        self._shared.count -= 1
        if not self._closed:
            reply(found)

    async def close(self) -> None:
        """Forget what is out and let go of the namespace."""
        self._closed = True
        tasks: list[asyncio.Task[bytes]] = []
        for source in self._own:
            tasks += source.tasks
            for question in list(source.questions):
                question.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._inside.close()
        if self._own:
            self._shared.cache.forget(self._owner)
        os.close(self._namespace)
