"""Questions that somebody else must answer.

Rule: the client gets exactly one reply: the first good one of any upstream, or
SERVFAIL when four seconds are over or nobody is left, or REFUSED when too many
questions are out already.

Upstreams are asked in order, each a little after the one before, at once if
that one failed; none is given up while time is left, and by UDP each is asked
again every second. By UDP there is no task and no socket per question, only
callbacks: `lane` has the sockets. By TCP there are both, for few ask so.
"""

from __future__ import annotations

import asyncio
import os
import socket
from math import inf
from typing import TYPE_CHECKING

from fairlead.dataplane.lane import Lanes, address
from fairlead.dns import message

if TYPE_CHECKING:
    from collections.abc import Callable

    from fairlead.dns.answer import Upstream, View
    from fairlead.dns.message import Query

TOTAL_SECONDS = 4.0
HEAD_START_SECONDS = 0.3
RESEND_SECONDS = 1.0
MOST_UPSTREAMS = 3
MOST_PER_PROCESS = 1024
MOST_PER_SANDBOX = 256


class Outstanding:
    """How many questions the whole process has out, and their ways out of the host."""

    def __init__(self) -> None:
        self.count = 0
        self.lanes = Lanes(None)

    def close(self) -> None:
        """Close the ways."""
        self.lanes.close()


class Forwards:
    """The questions one sandbox has out; owns the descriptor of its namespace."""

    def __init__(self, outstanding: Outstanding, namespace: int) -> None:
        self._outstanding = outstanding
        self._namespace = namespace
        self._inside = Lanes(namespace)
        self._questions: set[Question] = set()
        self.tasks: set[asyncio.Task[bytes]] = set()

    def start(
        self, view: View, query: Query, wire: bytes, reply: Callable[[bytes], None], *, stream: bool
    ) -> None:
        """Ask the view's upstreams, by TCP if `stream`, and pass the answer to `reply`."""
        out = self._outstanding
        if len(self._questions) >= MOST_PER_SANDBOX or out.count >= MOST_PER_PROCESS:
            reply(message.build(query, message.REFUSED))
            return
        out.count += 1
        question = Question(self, view, query, wire, reply, stream=stream)
        self._questions.add(question)
        question.start()

    def ended(self, question: Question) -> None:
        """A question has its reply."""
        self._questions.remove(question)
        self._outstanding.count -= 1

    def lanes(self, upstream: Upstream) -> Lanes:
        """The ways to an upstream."""
        return self._inside if upstream.inside else self._outstanding.lanes

    async def close(self) -> None:
        """Forget the questions that are out and let go of the namespace."""
        for question in list(self._questions):
            question.forget()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._inside.close()
        os.close(self._namespace)


class Question:
    """One question on its way: whom it was put to, and when to do what next."""

    __slots__ = (
        "_ends_at",
        "_forwards",
        "_left",
        "_loop",
        "_next_at",
        "_out",
        "_reply",
        "_stream",
        "_timer",
        "query",
        "tasks",
        "wire",
    )

    def __init__(
        self,
        forwards: Forwards,
        view: View,
        query: Query,
        wire: bytes,
        reply: Callable[[bytes], None],
        *,
        stream: bool,
    ) -> None:
        self._forwards = forwards
        self.tasks = forwards.tasks
        self.query = query
        self.wire = wire
        self._reply = reply
        self._stream = stream
        # The same server twice is one; the next to ask is at the end.
        self._left = list(dict.fromkeys(view.upstreams[:MOST_UPSTREAMS]))[::-1]
        self._out: list[Attempt] = []
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._next_at = inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Put it to the first upstream."""
        now = self._loop.time()
        self._ends_at = now + TOTAL_SECONDS
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        """Put it to the next upstream that can be asked; without any, it has failed."""
        while self._left:
            upstream = self._left.pop()
            lanes = self._forwards.lanes(upstream)
            attempt: Attempt
            try:
                if self._stream:
                    attempt = Stream(self, lanes, upstream)
                else:
                    attempt = Datagram(self, lanes, upstream, now)
            except OSError:
                # Not there, or no way there: the next one may be.
                continue
            self._out.append(attempt)
            self._next_at = now + HEAD_START_SECONDS
            break
        if self._out:
            self._wait()
        else:
            self._end(None)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = min(self._ends_at, self._next_at) if self._left else self._ends_at
        for attempt in self._out:
            at = min(at, attempt.again_at)
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now >= self._ends_at:
            self._end(None)
            return
        for attempt in list(self._out):
            # It may be over by what became of the one before.
            if attempt.again_at <= now and attempt in self._out:
                attempt.again(now)
        if not self._out:
            return
        if self._left and now >= self._next_at:
            self._go_on(now)
        else:
            self._wait()

    def heard(self, attempt: Attempt, found: bytes) -> None:
        """An upstream has replied: that is the answer, unless it cannot or will not give one."""
        if message.rcode_of(found) in (message.SERVFAIL, message.REFUSED):
            self.failed(attempt)
        elif attempt in self._out:
            self._out.remove(attempt)
            self._end(found)

    def failed(self, attempt: Attempt) -> None:
        """An upstream is out of the question: at once the next."""
        # Else it was over before it could say so.
        if attempt in self._out:
            self._out.remove(attempt)
            self._go_on(self._loop.time())

    def _end(self, found: bytes | None) -> None:
        self.forget()
        if found is None:
            self._reply(message.build(self.query, message.SERVFAIL))
        else:
            self._reply(message.with_id(found, self.query.id))

    def forget(self) -> None:
        """Wait for no reply any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        out, self._out = self._out, []
        for attempt in out:
            attempt.forget()
        self._forwards.ended(self)


class Datagram:
    """A question put to one upstream by UDP."""

    __slots__ = ("_id", "_lane", "_question", "again_at", "query")

    def __init__(self, question: Question, lanes: Lanes, upstream: Upstream, now: float) -> None:
        self._question = question
        self.query = question.query
        self._lane = lanes.lane(upstream)
        self._id = self._lane.ask(question.wire, self)
        self.again_at = now + RESEND_SECONDS

    def again(self, now: float) -> None:
        """Perhaps it was lost: ask the same again."""
        self.again_at = now + RESEND_SECONDS
        self._lane.ask_again(self._question.wire, self._id)

    def heard(self, found: bytes) -> None:
        """This is the reply."""
        self._question.heard(self, found)

    def failed(self) -> None:
        """There will be no reply."""
        self._question.failed(self)

    def forget(self) -> None:
        """The reply is of no use any more."""
        self._lane.forget(self._id)


class Stream:
    """A question put to one upstream by TCP, which sees to losses itself."""

    __slots__ = ("_question", "_sock", "_task", "again_at")

    def __init__(self, question: Question, lanes: Lanes, upstream: Upstream) -> None:
        self._question = question
        self.again_at = inf
        self._sock = lanes.open(upstream, socket.SOCK_STREAM)
        work = _by_tcp(self._sock, upstream, question.query, question.wire)
        self._task = asyncio.get_running_loop().create_task(work)
        question.tasks.add(self._task)
        self._task.add_done_callback(self._done)

    def again(self, now: float) -> None:
        """Never due."""

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._sock.close()
        self._question.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._question.heard(self, task.result())
            return
        if not isinstance(error, OSError):
            context = {"message": "a question could not be forwarded", "exception": error}
            task.get_loop().call_exception_handler(context)
        self._question.failed(self)

    def forget(self) -> None:
        """The reply is of no use any more."""
        self._task.cancel()


Attempt = Datagram | Stream


async def _by_tcp(sock: socket.socket, upstream: Upstream, query: Query, wire: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, address(upstream))
    id_ = int.from_bytes(os.urandom(2))
    await loop.sock_sendall(sock, len(wire).to_bytes(2) + message.with_id(wire, id_))
    length = int.from_bytes(await _exactly(sock, 2))
    found = await _exactly(sock, length)
    if not message.matches(found, query, id_):
        raise ConnectionError("a reply to something else")
    return found


async def _exactly(sock: socket.socket, length: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < length:
        part = await loop.sock_recv(sock, length - len(data))
        if not part:
            raise ConnectionError("the server hung up")
        data += part
    return data
