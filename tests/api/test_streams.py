"""Attach joins a client and a program; whoever ends first, nothing is lost or kept."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from fairlead.api.frames import RAW, frame
from fairlead.api.streams import join
from fairlead.engine.detach import Detacher
from fairlead.engine.session import Session
from tests.http.served import Served, eventually, get, rest, until

if TYPE_CHECKING:
    from fairlead.http.server import Request, Response
    from tests.http.conftest import Serve

HEAD_END = b"\r\n\r\n"
UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


class Cat:
    """A program that says what it is told until its input ends, then a last word on stderr."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self._said: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()

    async def read(self) -> tuple[int, bytes] | None:
        """What it says next."""
        return await self._said.get()

    async def write(self, data: bytes) -> None:
        """Its input."""
        await self._said.put((1, data))

    async def close_stdin(self) -> None:
        """The end of its input, which ends it."""
        await self._said.put((2, b"bye"))
        await self._said.put(None)

    async def close(self) -> None:
        """Nobody listens any more."""
        self.closed.set()
        await self._said.put(None)


class Stage:
    """A server whose every request is attached to a new program."""

    def __init__(self, serve: Serve, *, terminal: bool = False, stdin: bool = True) -> None:
        self.programs: list[Cat] = []
        self._terminal = terminal
        self._stdin = stdin
        self.server: Served = serve(self._attach)

    async def _attach(self, request: Request) -> Response | None:
        program = Cat()
        self.programs.append(program)
        session = Session(
            terminal=self._terminal,
            stdin=self._stdin,
            detacher=Detacher() if self._terminal else None,
        )
        session.connect(program)
        stream = await request.hijack({"Content-Type": RAW})
        await join(stream, session, stdin=self._stdin)
        return None

    def dial(self) -> socket.socket:
        """An attached client."""
        sock = self.server.dial()
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        assert until(sock, HEAD_END).startswith(b"HTTP/1.1 101 UPGRADED")
        return sock

    def closed(self) -> bool:
        """Whether the last program was let go of."""
        return self.programs[-1].closed.is_set()


def test_output_is_framed_and_half_close_ends_the_input(serve: Serve) -> None:
    """What is said after the client's end of input still arrives, on its own stream."""
    stage = Stage(serve)
    with stage.dial() as client:
        client.sendall(b"hello")
        assert client.recv(100) == frame(1, b"hello")
        client.shutdown(socket.SHUT_WR)
        assert rest(client) == frame(2, b"bye")
    eventually(stage.closed)


def test_a_terminal_speaks_plain_bytes(serve: Serve) -> None:
    """No frames where both streams are one."""
    stage = Stage(serve, terminal=True)
    with stage.dial() as client:
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"


@pytest.mark.parametrize("pieces", [(b"ab\x10\x11",), (b"ab\x10", b"\x11")])
def test_detach_keys_leave_and_the_program_stays(serve: Serve, pieces: tuple[bytes, ...]) -> None:
    """The keys never reach the program; the connection ends by itself."""
    stage = Stage(serve, terminal=True)
    with stage.dial() as client:
        for piece in pieces:
            client.sendall(piece)
        assert rest(client) == b"ab"
    assert stage.closed()


@pytest.mark.parametrize("stdin", [True, False])
def test_a_client_that_vanishes_is_let_go(serve: Serve, stdin: bool) -> None:
    """No session outlives its client, whether it typed or only listened."""
    stage = Stage(serve, stdin=stdin)
    stage.dial().close()
    eventually(stage.closed)
    eventually(lambda: stage.server.tasks() == 0)
    assert stage.server.errors == []
