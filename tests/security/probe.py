"""Probes: may a packet pass from here to there? Many questions at once, answered by packets."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from tests.security import frames
from tests.security.answering import FAMILIES, KINDS
from tests.security.place import Place

IP = IPv4Address | IPv6Address
PATIENCE_SECONDS = 60.0
AGAIN_SECONDS = 0.4
SILENCE_SECONDS = 0.6
"""How long nobody has to have answered once all are heard who should be."""


@dataclass(frozen=True, slots=True)
class Question:
    """From a place to an address: a connection, a datagram or, without a port, an echo."""

    source: str
    target: IP
    protocol: str
    port: int = 0


class _Try:
    """One question under way."""

    def __init__(self, place: Place, question: Question) -> None:
        self.place = place
        self.question = question
        self.answer = ""
        self.sock: socket.socket | None = None
        self._mark = int.from_bytes(os.urandom(2))
        self._born = 0.0

    def poke(self, selector: selectors.BaseSelector) -> None:
        """Asks, or asks again."""
        self.close(selector)
        question = self.question
        try:
            sock = self.sock = self._open()
        except OSError:
            return
        sock.setblocking(False)
        try:
            if question.protocol == "icmp":
                sock.sendto(self._echo(), (str(question.target), 0))
            else:
                sock.connect_ex((str(question.target), question.port))
                if question.protocol == "udp":
                    sock.send(b"?")
        except OSError:
            # No route, or refused: a later try may fare better.
            self.close(selector)
            return
        selector.register(sock, selectors.EVENT_READ, self)

    def _open(self) -> socket.socket:
        version = self.question.target.version
        if self.question.protocol == "icmp":
            protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
            return self.place.socket(FAMILIES[version], socket.SOCK_RAW, protocol)
        return self.place.socket(FAMILIES[version], KINDS[self.question.protocol])

    def _echo(self) -> bytes:
        kind = frames.ECHO[self.question.target.version]
        raw = struct.pack("!BBHHH", kind, 0, 0, self._mark, 1)
        return raw[:2] + struct.pack("!H", frames.checksum(raw)) + raw[4:]

    def hear(self) -> None:
        """Takes the answer, if that is one."""
        assert self.sock is not None
        try:
            data, source = self.sock.recvfrom(2048)
        except OSError:
            return
        if self.question.protocol != "icmp":
            self.answer = data.decode()
            return
        raw = data if self.question.target.version == 6 else data[(data[0] & 15) * 4 :]
        reply = {4: 0, 6: 129}[self.question.target.version]
        if raw[0] == reply and struct.unpack_from("!H", raw, 4)[0] == self._mark:
            self.answer = f"echo {source[0]}"

    def close(self, selector: selectors.BaseSelector) -> None:
        """Lets the socket go."""
        if self.sock is not None:
            if self.sock.fileno() in selector.get_map():
                selector.unregister(self.sock)
            self.sock.close()
            self.sock = None


def ask(
    places: Mapping[str, Place],
    questions: Iterable[Question],
    expected: Callable[[Question], bool] = lambda _: False,
) -> dict[Question, str]:
    """What was answered to each question, "" for nothing.

    Waits long for those that are expected to be answered, and a little for the others.
    """
    tries = [_Try(places[question.source], question) for question in questions]
    selector = selectors.DefaultSelector()
    now = start = time.monotonic()
    again = quiet = 0.0
    while now - start < PATIENCE_SECONDS:
        missing = [t for t in tries if not t.answer]
        if not any(expected(t.question) for t in missing):
            quiet = quiet or now + SILENCE_SECONDS
            if not missing or now > quiet:
                break
        if now >= again:
            for one in missing:
                one.poke(selector)
            again = now + AGAIN_SECONDS
        for key, _ in selector.select(0.05):
            one = key.data
            one.hear()
            if one.answer or one.question.protocol == "tcp":
                selector.unregister(key.fileobj)
        now = time.monotonic()
    for one in tries:
        one.close(selector)
    selector.close()
    return {one.question: one.answer for one in tries}


def one(place: Place, target: IP, protocol: str, port: int = 0, *, expect: bool = True) -> str:
    """The answer to a single question; `expect` says whether to wait long for it."""
    question = Question(place.name, target, protocol, port)
    return ask({place.name: place}, [question], lambda _: expect)[question]
