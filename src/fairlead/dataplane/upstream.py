"""What is known of the name servers that questions are forwarded to.

Rule: the order in which the user named them stands, because the first may know
names that the second denies. How quick a server is only decides how long the
next one waits; and one that keeps silent comes last until it speaks again. It
gets a question a second beside the others, so that it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fairlead.dataplane.noise import Noise

if TYPE_CHECKING:
    import asyncio
    import socket

    from fairlead.dns.answer import Upstream

FIRST_PATIENCE_SECONDS = 0.06
LEAST_PATIENCE_SECONDS = 0.03
MOST_PATIENCE_SECONDS = 0.3
MOST_MISSED = 3
PROBE_SECONDS = 1.0


class Asker(Protocol):
    """Who asked on a lane, and is told how it went. `sent` is the question as it went out."""

    id: int
    sent: bytes

    def heard(self, found: bytes, *, exact: bool) -> None:
        """This is the reply; unless `exact`, with letters in another case than asked."""

    def failed(self) -> None:
        """There will be no reply."""


class Way(Protocol):
    """A socket to one server, as who asks by it sees it."""

    def ask(self, asker: Asker, head: bytes, question: bytes, tail: bytes, *, mix: bool) -> None:
        """Send a question. OSError if the server is not there."""

    def ask_again(self, asker: Asker, head: bytes, tail: bytes) -> None:
        """Send a question that is out once more."""

    def forget(self, asker: Asker, *, late: bool) -> None:
        """Nobody needs this reply any more; `late`: but it still tells of the server."""


class Ways(Protocol):
    """The ways out of one namespace."""

    @property
    def noise(self) -> Noise:
        """What forgers have to guess."""

    def lane(self, server: Server) -> Way:
        """A way to a server by UDP; OSError if there is none."""

    def open(self, upstream: Upstream, kind: int) -> socket.socket:
        """A socket of its own that can reach that server."""


class Server:
    """One upstream, asked from one namespace, as it has been of late."""

    __slots__ = ("_deviation", "_mean", "_missed", "_probe_at", "lanes", "mixes", "upstream")

    def __init__(self, upstream: Upstream, lanes: Ways) -> None:
        self.upstream = upstream
        self.lanes = lanes
        # Whether it gives a name back in the case that it was asked in, as it should.
        self.mixes = True
        self._mean = self._deviation = 0.0
        self._missed = 0
        self._probe_at = 0.0

    @property
    def suspect(self) -> bool:
        """Whether it has kept silent several times in a row."""
        return self._missed >= MOST_MISSED

    def patience(self) -> float:
        """After how many seconds of silence somebody else should be asked too.

        As TCP reckons it (RFC 6298): the mean time it takes and four times its deviation.
        """
        if not self._mean:
            return FIRST_PATIENCE_SECONDS
        wait = self._mean + 4 * self._deviation
        return min(max(wait, LEAST_PATIENCE_SECONDS), MOST_PATIENCE_SECONDS)

    def heard(self, seconds: float) -> None:
        """It replied after so long."""
        self._missed = 0
        if not self._mean:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    def missed(self) -> None:
        """It did not reply while one waited."""
        self._missed += 1

    def gone(self) -> None:
        """It is not there at all."""
        self._missed = MOST_MISSED

    def probed(self, now: float) -> bool:
        """Whether it is time to see if a suspect has come back; then the next is in a while."""
        if now < self._probe_at:
            return False
        self._probe_at = now + PROBE_SECONDS
        return True


@dataclass(slots=True, eq=False)
class Source:
    """The servers that some sandboxes ask, in order, and what is under way to them.

    `number` stands for it in the keys of what is kept: who has another source
    shares nothing with this one.
    """

    number: int
    servers: tuple[Server, ...]
    questions: set[Any] = field(default_factory=set)
    tasks: set[asyncio.Task[bytes]] = field(default_factory=set)
