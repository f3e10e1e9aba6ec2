"""The name server that the host asks: it writes down what reaches it, and ignores what is dead."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rrset

from tests.security.answering import listener
from tests.security.place import Place

FOUND = "203.0.113.9"
SO_RCVBUFFORCE = 33
DEAD = b"\4dead\7example"


class Upstream:
    """A name server at a place, by UDP, until the end of the block."""

    def __init__(self, place: Place) -> None:
        self.asked: list[str] = []
        """The names, but for those of `dead.example`, to which there is no answer."""
        self.dead = 0
        """How often one of those was asked for."""
        self._sock = listener(place, "udp", 53)
        # What it has no time for at the moment waits: it is not the one that is looked at.
        self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self._sock.settimeout(0.05)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join()
        self._sock.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                wire, peer = self._sock.recvfrom(4096)
            except TimeoutError:
                continue
            # Who asks spells names at random, to know an answer by it.
            if DEAD in wire.lower():
                self.dead += 1
                continue
            question = dns.message.from_wire(wire)
            name = question.question[0].name.to_text(omit_final_dot=True)
            self.asked.append(name.lower())
            answer = dns.message.make_response(question)
            answer.answer.append(dns.rrset.from_text(name + ".", 0, "IN", "A", FOUND))
            self._sock.sendto(answer.to_wire(), peer)


def ask(
    place: Place, name: str, kind: str = "A", protocol: str = "udp", patience: float = 20
) -> str:
    """Asks the resolver of a container: the rcode, and the addresses behind it if there are any."""
    wire = dns.message.make_query(name, kind).to_wire()
    answer = (_by_udp if protocol == "udp" else _by_tcp)(place, wire, patience)
    rcode = dns.rcode.to_text(answer.rcode())
    return " ".join([rcode, *(r.to_text() for rrset in answer.answer for r in rrset)])


def _by_udp(place: Place, wire: bytes, patience: float) -> dns.message.Message:
    with place.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect(("127.0.0.11", 53))
        for _ in range(max(1, int(patience / 2))):
            sock.send(wire)
            try:
                return dns.message.from_wire(sock.recv(4096))
            except TimeoutError:
                continue
    raise AssertionError("the resolver does not answer")


def _by_tcp(place: Place, wire: bytes, patience: float) -> dns.message.Message:
    with connected(place) as sock:
        sock.settimeout(patience)
        sock.sendall(len(wire).to_bytes(2) + wire)
        stream = sock.makefile("rb")
        return dns.message.from_wire(stream.read(int.from_bytes(stream.read(2))))


def connected(place: Place) -> socket.socket:
    """A connection to the resolver of a container."""
    sock = place.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(("127.0.0.11", 53))
    return sock
