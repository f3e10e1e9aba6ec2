"""Listening, leaving and closing: what starts also ends."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.http.server import Request, Response
from fairlead.model.errors import Conflict, NotFound
from tests.http.served import Served, descriptors, eventually, get, rest, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.http.conftest import Serve


class Zoo:
    """A handler of every kind, which notes whom it had to let go."""

    def __init__(self) -> None:
        self.started = 0
        self.ended: list[str] = []

    async def __call__(self, request: Request) -> Response | None:
        self.started += 1
        try:
            return await self.serve(request)
        except asyncio.CancelledError:
            self.ended.append(request.path)
            raise

    async def serve(self, request: Request) -> Response | None:
        match request.path:
            case "/wait":
                await asyncio.Event().wait()
            case "/events":
                return Response(body=self.events("/events", 3600))
            case "/logs":
                return Response(body=self.events("/logs", 0))
            case "/read":
                return Response(body=await request.read())
            case "/cat":
                stream = await request.hijack({"Content-Type": "a/b"})
                while data := await stream.read():
                    await stream.write(data)
                return None
        return Response(body=b"pong")

    async def events(self, path: str, seconds: float) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"an event\n"
                await asyncio.sleep(seconds)
        finally:
            self.ended.append(path)


@pytest.mark.parametrize("path", ["/wait", "/events", "/logs"])
def test_a_client_that_leaves_ends_the_work_for_it(serve: Serve, path: str) -> None:
    """A handler that waits, and a stream quiet or busy, end when their client goes."""
    zoo = Zoo()
    served = serve(zoo)
    with served.dial() as sock:
        sock.sendall(get(path))
        eventually(lambda: zoo.started == 1)
        if path != "/wait":
            sock.recv(100)
    eventually(lambda: zoo.ended == [path])
    eventually(lambda: served.tasks() == 0)
    assert served.errors == []


def test_a_client_that_has_only_ended_its_side_is_answered(serve: Serve) -> None:
    """Ending the sending side is not leaving: a slow answer still arrives."""

    async def slow(_: Request) -> Response:
        await asyncio.sleep(0.1)
        return Response(body=b"patience")

    assert serve(slow).talk(get("/")).endswith(b"patience")


def test_a_client_that_ends_its_side_and_then_leaves_is_noticed(serve: Serve) -> None:
    """Even when nothing more can be read from it."""
    zoo = Zoo()
    served = serve(zoo)
    with served.dial() as sock:
        sock.sendall(get("/wait"))
        sock.shutdown(socket.SHUT_WR)
        eventually(lambda: zoo.started == 1)
        served.call(asyncio.sleep(0.05))
        assert zoo.ended == []
    eventually(lambda: zoo.ended == ["/wait"])


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /wa",
        get("/wait"),
        get("/wait") * 3,
        get("/events"),
        get("/logs"),
        get("/read", "Content-Length: 1000000", method="POST") + b"x" * 1000,
        get("/read", "Transfer-Encoding: chunked", method="POST") + b"ff\r\nabc",
        get("/cat", "Connection: Upgrade", "Upgrade: tcp") + b"x" * 1000,
        get("/", "X: " + "x" * 200_000),
        b"\r\n\r\n\r\n\x00",
    ],
)
@pytest.mark.parametrize("way", ["close", "end and close", "answer and close"])
def test_vanishing_clients_leave_nothing(serve: Serve, said: bytes, way: str) -> None:
    """Whenever a client goes, its task ends and its descriptor is closed."""
    served = serve(Zoo())
    served.talk(get("/ping"))
    eventually(lambda: served.tasks() == 0)
    before = descriptors()
    for _ in range(5):
        with served.dial() as sock:
            sock.settimeout(0.05)
            try:
                sock.sendall(said)
                if way == "end and close":
                    sock.shutdown(socket.SHUT_WR)
                if way == "answer and close":
                    sock.recv(10)
            except (TimeoutError, BrokenPipeError):
                pass  # it is the leaving that is tried here
    eventually(lambda: served.tasks() == 0)
    eventually(lambda: descriptors() == before)
    assert served.talk(get("/ping")).endswith(b"pong")


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    """A client with nothing to say is let go without a word."""
    with serve(Zoo(), idle_seconds=0.05).dial() as sock:
        sock.sendall(get("/ping"))
        assert rest(sock).endswith(b"pong")


def test_a_slow_head_is_refused(serve: Serve) -> None:
    """A head that is never finished does not hold its connection for ever."""
    with serve(Zoo(), head_seconds=0.05).dial() as sock:
        sock.sendall(b"GET /ping HT")
        assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_never_ends_is_dropped(serve: Serve) -> None:
    """After the last answer a client may not hold the connection open for long."""
    served = serve(Zoo(), linger_seconds=0.05)
    with served.dial() as sock:
        sock.sendall(get("/ping", "Connection: close"))
        rest(sock)
        eventually(lambda: served.tasks() == 0)


def test_closing_lets_a_running_request_finish(serve: Serve) -> None:
    """A request that runs is answered, told it is the last, and idle connections go at once."""
    go = asyncio.Event()
    running = threading.Event()

    async def slow(_: Request) -> Response:
        running.set()
        await go.wait()
        return Response(body=b"finished")

    async def release() -> None:
        go.set()

    served = serve(slow)
    with served.dial() as idle, served.dial() as busy:
        busy.sendall(get("/"))
        assert running.wait(20)
        stopping = threading.Thread(target=served.stop, args=[20])
        stopping.start()
        assert rest(idle) == b""
        eventually(lambda: not served.path.exists())
        served.call(release())
        answer = rest(busy)
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"finished")
        busy.close()
        stopping.join()


@pytest.mark.parametrize("said", [get("/wait"), get("/events"), get("/cat")])
def test_closing_cancels_what_does_not_finish(serve: Serve, said: bytes) -> None:
    """When the time is up, whatever still runs is cancelled and its client sees the end."""
    zoo = Zoo()
    served = serve(zoo)
    before = descriptors()
    with served.dial() as sock:
        sock.sendall(said)
        eventually(lambda: zoo.started == 1)
        served.stop(0.05)
        rest(sock)
    assert len(zoo.ended) == 1
    assert descriptors() < before


def test_the_socket_is_as_open_as_asked(serve: Serve, tmp_path: Path) -> None:
    """The mode is exact whatever the umask, and the group is set."""
    served = serve(Zoo())
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o660
    path = tmp_path / "private.sock"
    served.call(served.server.listen_unix(path, 0o600, str(os.getgid())))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    served.stop()
    assert not path.exists()
    assert not served.path.exists()


def test_an_unknown_group_is_an_error_with_a_way_out(serve: Serve, tmp_path: Path) -> None:
    """The error names the group, the hint creates it, and no socket is left."""
    served = serve(Zoo())
    path = tmp_path / "g.sock"
    with pytest.raises(NotFound, match="group nosuchgroup not found") as error:
        served.call(served.server.listen_unix(path, group="nosuchgroup"))
    assert "groupadd" in error.value.hint
    assert not path.exists()


def test_a_stale_socket_is_replaced(serve: Serve, tmp_path: Path) -> None:
    """What a killed daemon left behind does not stop the next one."""
    path = tmp_path / "s0.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert serve(Zoo()).talk(get("/ping")).endswith(b"pong")


def test_a_live_socket_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    """A second daemon does not take the first one's socket, nor remove it when it ends."""
    first = serve(Zoo())
    second = serve(Zoo())
    with pytest.raises(Conflict, match="in use"):
        second.call(second.server.listen_unix(first.path))
    second.stop()
    assert first.talk(get("/ping")).endswith(b"pong")


def test_a_full_queue_counts_as_live(serve: Serve, tmp_path: Path) -> None:
    """A daemon too busy to accept still owns its socket."""
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        served = serve(Zoo())
        with pytest.raises(Conflict, match="in use"):
            served.call(served.server.listen_unix(path))


def test_a_file_is_not_replaced(serve: Serve, tmp_path: Path) -> None:
    """A path that holds something else is refused, and what it holds stays."""
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    served = serve(Zoo())
    with pytest.raises(Conflict, match="not a socket"):
        served.call(served.server.listen_unix(path))
    assert path.read_text() == "precious"


def test_a_successor_keeps_its_socket(serve: Serve) -> None:
    """Closing does not remove a socket that another process has put in our place."""
    served = serve(Zoo())
    served.path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(served.path))
        served.stop()
        assert served.path.exists()


def test_tcp_is_served_too(serve: Serve) -> None:
    """The same conversation over TCP; a reset connection ends the work for it."""
    zoo = Zoo()
    served = serve(zoo)
    port = served.call(served.server.listen_tcp("127.0.0.1", 0))
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(get("/ping"))
        assert until(sock, b"pong").startswith(b"HTTP/1.1 200 ")
        sock.sendall(get("/wait"))
        eventually(lambda: zoo.started == 2)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: zoo.ended == ["/wait"])


def test_many_clients_at_once(serve: Serve) -> None:
    """Two hundred connections are served side by side, and all are given back."""
    served = serve(Zoo())
    served.talk(get("/ping"))
    eventually(lambda: served.tasks() == 0)
    before = descriptors()
    socks = [served.dial() for _ in range(200)]
    for sock in socks:
        sock.sendall(get("/ping"))
    for sock in socks:
        assert until(sock, b"pong").startswith(b"HTTP/1.1 200 ")
        sock.close()
    eventually(lambda: served.tasks() == 0)
    eventually(lambda: descriptors() == before)


WORDS = [
    b"GET", b"POST", b"HEAD", b"PUT", b" ", b"/", b"/ping", b"/read", b"/cat", b"/logs", b"/wait",
    b"?a=b", b"%", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\n", b"\r\n\r\n", b"Host: a", b"Host:",
    b"Content-Length: 3", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
    b"Connection: close", b"Connection: Upgrade", b"Upgrade: tcp", b"Upgrade: h2c",
    b"Expect: 100-continue", b"3\r\nabc\r\n", b"0\r\n\r\n", b"ffffffffff\r\n", b"-1\r\n", b"abc",
    get("/ping"), get("/read", "Content-Length: 3", method="POST"),
    get("/read", "Transfer-Encoding: chunked", method="POST"),
    get("/cat", "Connection: Upgrade", "Upgrade: tcp", method="POST"),
]  # fmt: skip

NOISE = st.lists(st.sampled_from(WORDS) | st.binary(max_size=40), max_size=25).map(b"".join)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server that has to stand everything."""
    served = Served(tmp_path_factory.mktemp("fuzz") / "s.sock", Zoo(), linger_seconds=0.2)
    yield served
    served.stop()


@settings(max_examples=300)
@given(noise=NOISE, cut=st.integers(0, 400), ends=st.booleans(), reads=st.booleans())
def test_noise_is_survived(target: Served, noise: bytes, cut: int, ends: bool, reads: bool) -> None:
    """Whatever a client sends and however it goes, the next is answered and nothing is kept."""
    with target.dial() as sock:
        sock.settimeout(0.02)
        try:
            sock.sendall(noise[:cut])
            sock.sendall(noise[cut:])
            if ends:
                sock.shutdown(socket.SHUT_WR)
            if reads:
                answer = sock.recv(65536)
                assert not answer or answer.startswith(b"HTTP/1.1 ")
                assert b"Traceback" not in answer
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass  # how this client fares is its own affair
    assert target.talk(get("/ping")).endswith(b"pong")
    eventually(lambda: target.tasks() == 0)
    assert target.surprises == []
    assert [error for error in target.errors if not hasattr(error, "hint")] == []
