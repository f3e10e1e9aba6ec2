"""One question put to one server: by UDP, or by TCP.

Rule: it tells the question what became of it, once, unless it was told to
forget; and the server's record how long that took.
"""

from __future__ import annotations

import asyncio
import socket
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fairlead.dataplane.lane import address
from fairlead.dns import message

if TYPE_CHECKING:
    from fairlead.dataplane.upstream import Server, Source
    from fairlead.dns.message import Query

RESEND_SECONDS = 1.0
STREAM_PATIENCE_SECONDS = 0.3


class Asking(Protocol):
    """The question, as its attempts see it."""

    query: Query
    head: bytes
    tail: bytes
    source: Source

    def heard(self, attempt: Attempt, found: bytes, now: float) -> None:
        """A server has replied."""

    def doubted(self, attempt: Attempt) -> None:
        """A server has replied, or somebody else: the spelling is wrong."""

    def failed(self, attempt: Attempt) -> None:
        """A server will not reply."""


class Datagram:
    """A question put to a server by UDP. OSError if the server is not there."""

    __slots__ = ("_lane", "_question", "_sent_at", "again_at", "id", "sent", "server")

    def __init__(self, question: Asking, server: Server, now: float) -> None:
        self.id = 0
        self.sent = b""
        self.server = server
        self._question: Asking | None = question
        self._sent_at = now
        self.again_at = now + RESEND_SECONDS
        self._lane = server.lanes.lane(server)
        query = question.query
        self._lane.ask(self, question.head, query.question, question.tail, mix=query.plain)

    def patience(self) -> float:
        """After how long silence is odd."""
        return self.server.patience()

    def again(self, now: float, *, flood: bool) -> None:
        """Perhaps it was lost: ask the same again, unless it is one of very many."""
        self.again_at = now + RESEND_SECONDS
        if flood:
            return
        self.server.missed()
        self._sent_at = now
        if self._question is not None:
            self._lane.ask_again(self, self._question.head, self._question.tail)

    def heard(self, found: bytes, *, exact: bool) -> None:
        """This is the reply, or something like it."""
        # It holds us, and we shall not hold it any more: so both go at once.
        question, self._question = self._question, None
        if exact or not self.server.mixes:
            now = monotonic()
            self.server.heard(now - self._sent_at)
            if question is not None:
                question.heard(self, found, now)
        elif question is not None:
            question.doubted(self)

    def failed(self) -> None:
        """There will be no reply."""
        if self._question is not None:
            self._question.failed(self)

    def forget(self, *, late: bool) -> None:
        """The reply is of no use any more."""
        self._question = None
        self._lane.forget(self, late=late)


class Stream:
    """A question put to a server by TCP, which sees to losses and forgers itself."""

    __slots__ = ("_question", "_sock", "_task", "again_at", "server")

    def __init__(self, question: Asking, server: Server) -> None:
        self._question = question
        self.server = server
        self.again_at = inf
        self._sock = server.lanes.open(server.upstream, socket.SOCK_STREAM)
        self._task = asyncio.get_running_loop().create_task(self._work(question))
        question.source.tasks.add(self._task)
        self._task.add_done_callback(self._done)

    def patience(self) -> float:
        """After how long silence is odd: there is more to and fro than by UDP."""
        return self.server.patience() + STREAM_PATIENCE_SECONDS

    def again(self, now: float, *, flood: bool) -> None:
        """Never due."""

    async def _work(self, question: Asking) -> bytes:
        loop, noise = asyncio.get_running_loop(), self.server.lanes.noise
        await loop.sock_connect(self._sock, address(self.server.upstream, self._sock))
        id_, asked = noise.take(2), question.query.question
        if self.server.mixes and question.query.plain:
            asked = message.mixed(asked, noise.take(len(asked)))
        wire = id_ + question.head + asked + question.tail
        await loop.sock_sendall(self._sock, len(wire).to_bytes(2) + wire)
        length = int.from_bytes(await _exactly(self._sock, 2))
        found = await _exactly(self._sock, length)
        fits = message.matches(found, asked)
        if fits is False or found[:2] != id_:
            raise ConnectionError("a reply to something else")
        if fits is None:
            # By TCP nobody else can have said it: this server is one that changes the case.
            self.server.mixes = False
        return found

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._sock.close()
        self._question.source.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._question.heard(self, task.result(), monotonic())
            return
        if not isinstance(error, OSError):
            context = {"message": "a question could not be forwarded", "exception": error}
            task.get_loop().call_exception_handler(context)
        self._question.failed(self)

    def forget(self, *, late: bool) -> None:
        """The reply is of no use any more."""
        self._task.cancel()


Attempt = Datagram | Stream


async def _exactly(sock: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        part = await loop.sock_recv(sock, length - len(data))
        if not part:
            raise ConnectionError("the server hung up")
        data += part
    return data
