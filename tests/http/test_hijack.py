"""Hijacked connections: raw bytes both ways, each way with its own end."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from fairlead.http.server import ClientLeft, Request, Response
from tests.http.served import eventually, get, rest, until

if TYPE_CHECKING:
    from tests.http.conftest import Serve

RAW = {"Content-Type": "application/vnd.docker.raw-stream"}
UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")
SWITCHED = (
    b"HTTP/1.1 101 UPGRADED\r\n"
    b"Content-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\n"
    b"Upgrade: tcp\r\n\r\n"
)


async def cat(request: Request) -> None:
    """Gives back what it gets, until that ends."""
    stream = await request.hijack(RAW)
    while data := await stream.read():
        await stream.write(data)


async def wc(request: Request) -> None:
    """Says how much it got, once that has ended."""
    stream = await request.hijack(RAW)
    total = 0
    while data := await stream.read():
        total += len(data)
    await stream.write(b"%d bytes\n" % total)


def test_an_upgrade_is_granted(serve: Serve) -> None:
    """A client that asks for the upgrade gets exactly Docker's 101."""
    with serve(cat).dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        assert until(sock, b"\r\n\r\n") == SWITCHED
        sock.sendall(b"hello")
        assert until(sock, b"hello") == b"hello"
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock) == b""


def test_without_an_upgrade_it_is_200_and_raw(serve: Serve) -> None:
    """A client that asks for nothing gets 200, and the same raw stream."""
    answer = serve(cat).talk(get("/attach", method="POST"), b"hello")
    assert answer == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\nhello"
    )


def test_output_may_follow_the_end_of_input(serve: Serve) -> None:
    """A client that has ended its side still gets everything, however late."""
    ended = asyncio.Event()
    go = asyncio.Event()

    async def late(request: Request) -> None:
        stream = await request.hijack(RAW)
        while await stream.read():
            pass
        ended.set()
        await go.wait()
        await stream.write(b"x" * 500_000)

    async def release() -> None:
        await ended.wait()
        await asyncio.sleep(0.05)
        go.set()

    served = serve(late)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        sock.shutdown(socket.SHUT_WR)
        served.call(release())
        assert rest(sock) == SWITCHED + b"x" * 500_000


@pytest.mark.parametrize("headers", [UPGRADE, ()], ids=["upgrade", "plain"])
def test_bytes_sent_with_the_head_are_input(serve: Serve, headers: tuple[str, ...]) -> None:
    """Input in the same packet as the request, with the end right behind it, is not lost."""
    answer = serve(wc).talk(get("/attach", *headers, method="POST") + b"hello\n")
    assert answer.partition(b"\r\n\r\n")[2] == b"6 bytes\n"


@pytest.mark.parametrize("framing", ["Content-Length: 15", "Transfer-Encoding: chunked"])
def test_a_body_and_an_upgrade_together(serve: Serve, framing: str) -> None:
    """An exec's JSON body is read as a body, and what follows it is input."""
    bodies = []

    async def execute(request: Request) -> None:
        bodies.append(await request.read())
        await wc(request)

    body = b'{"Detach":false'
    wire = b"f\r\n" + body + b"\r\n0\r\n\r\n" if "chunked" in framing else body
    answer = serve(execute).talk(get("/exec", framing, *UPGRADE, method="POST") + wire + b"input")

    assert bodies == [body]
    assert answer == SWITCHED + b"5 bytes\n"


def test_a_body_nobody_read_is_not_input(serve: Serve) -> None:
    """Hijacking skips what is left of the body."""
    answer = serve(wc).talk(
        get("/exec", "Content-Length: 100000", *UPGRADE, method="POST"), b"x" * 100000, b"input"
    )
    assert answer.endswith(b"\r\n\r\n5 bytes\n")


def test_nothing_is_read_after_an_upgrade_request(serve: Serve) -> None:
    """Input that comes while the handler still prepares waits for the stream."""
    go = asyncio.Event()

    async def slow(request: Request) -> None:
        await go.wait()
        await wc(request)

    async def release() -> None:
        go.set()

    served = serve(slow)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        for _ in range(20):
            sock.sendall(b"x" * 1000)
        sock.shutdown(socket.SHUT_WR)
        served.call(release())
        assert rest(sock).endswith(b"\r\n\r\n20000 bytes\n")


def test_an_upgrade_may_be_declined(serve: Serve) -> None:
    """An ordinary answer to an upgrade request leaves the connection to HTTP."""

    async def decline(request: Request) -> Response:
        return Response(409, request.path.encode())

    answer = serve(decline).talk(get("/a", *UPGRADE) + get("/b"))
    assert answer.count(b"HTTP/1.1 409 ") == 2
    assert answer.endswith(b"/b")


def test_64_mib_both_ways(serve: Serve) -> None:
    """What goes through an echo comes back whole, with both directions busy."""
    block = bytes(range(256)) * 4096
    served = serve(cat)
    back = hashlib.sha256()
    sent = hashlib.sha256()
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        assert until(sock, b"\r\n\r\n") == SWITCHED

        def send() -> None:
            for n in range(64):
                piece = block[n:] + block[:n]
                sent.update(piece)
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        size = 0
        while piece := sock.recv(1 << 20):
            back.update(piece)
            size += len(piece)
        thread.join()
    assert size == 64 << 20
    assert back.hexdigest() == sent.hexdigest()


@pytest.mark.parametrize("ended_first", [False, True], ids=["at once", "after its input"])
def test_a_vanished_client_is_noticed(serve: Serve, ended_first: bool) -> None:
    """`gone` is set when the client leaves, even one that had ended its side long before."""
    noticed = threading.Event()

    async def quiet(request: Request) -> None:
        stream = await request.hijack(RAW)
        await stream.gone.wait()
        try:
            await stream.write(b"anybody?")
            await stream.write(b"nobody.")
        except ClientLeft:
            noticed.set()

    served = serve(quiet)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        until(sock, b"\r\n\r\n")
        if ended_first:
            sock.shutdown(socket.SHUT_WR)
    assert noticed.wait(20)
    eventually(lambda: served.tasks() == 0)
    assert served.errors == []


def test_input_of_a_vanished_client_is_kept(serve: Serve) -> None:
    """What a client sent before it left is still read to its end."""
    got = []

    async def collect(request: Request) -> None:
        stream = await request.hijack(RAW)
        await stream.gone.wait()
        while data := await stream.read():
            got.append(data)

    served = serve(collect)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        until(sock, b"\r\n\r\n")
        sock.sendall(b"last words")
    eventually(lambda: served.tasks() == 0)
    assert b"".join(got) == b"last words"


def test_the_end_is_clean_while_the_client_still_sends(serve: Serve) -> None:
    """A client that sends more than anybody reads sees the output and a plain end, no reset."""

    async def true(request: Request) -> None:
        stream = await request.hijack(RAW)
        await stream.write(b"done")

    with serve(true).dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        sock.sendall(b"y\n" * 50_000)
        assert rest(sock) == SWITCHED + b"done"


def test_a_slow_reader_gets_the_whole_output(serve: Serve) -> None:
    """Output the client has not taken when the handler ends is waited for, however long."""

    async def burst(request: Request) -> None:
        stream = await request.hijack(RAW)
        await stream.write(b"x" * 60_000)
        for _ in range(20):
            await stream.write(b"y" * 15_000)

    served = serve(burst, linger_seconds=0.05)
    with served.dial() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        assert sock.recv(1, socket.MSG_PEEK) == b"H"
        served.call(asyncio.sleep(0.3))
        assert rest(sock) == SWITCHED + b"x" * 60_000 + b"y" * 300_000


def test_closing_ends_the_output_only(serve: Serve) -> None:
    """After `close` the client sees the end, and what it sends still arrives."""
    got = []

    async def half(request: Request) -> None:
        stream = await request.hijack(RAW)
        await stream.write(b"bye")
        await stream.close()
        while data := await stream.read():
            got.append(data)

    served = serve(half)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        assert rest(sock) == SWITCHED + b"bye"
        sock.sendall(b"answer")
        sock.shutdown(socket.SHUT_WR)
        eventually(lambda: served.tasks() == 0)
    assert got == [b"answer"]


def test_two_writers_may_share_a_stream(serve: Serve) -> None:
    """Standard output and error are written by two tasks, and every piece stays whole."""

    async def both(request: Request) -> None:
        stream = await request.hijack(RAW)

        async def say(word: bytes) -> None:
            for _ in range(200):
                await stream.write(word * 1000)

        async with asyncio.TaskGroup() as group:
            group.create_task(say(b"out"))
            group.create_task(say(b"err"))

    answer = serve(both).talk(get("/attach", *UPGRADE, method="POST"))
    output = answer.removeprefix(SWITCHED)
    pieces = [output[at : at + 3000] for at in range(0, len(output), 3000)]
    assert sorted(pieces) == [b"err" * 1000] * 200 + [b"out" * 1000] * 200


def test_an_error_in_a_stream_is_reported_and_ends_it(serve: Serve) -> None:
    """After the switch there is no answer to put an error into: it is reported."""

    async def fail(request: Request) -> None:
        await request.hijack(RAW)
        raise ValueError("late")

    served = serve(fail)
    assert served.talk(get("/attach", *UPGRADE, method="POST")) == SWITCHED
    assert [str(error) for error in served.errors] == ["late"]


def test_a_client_that_leaves_is_no_error(serve: Serve) -> None:
    """Tasks that fail because the client left, even in a group, are reported to nobody."""

    async def chatter(request: Request) -> None:
        stream = await request.hijack(RAW)

        async def talk() -> None:
            while True:
                await stream.write(b"x" * 1000)

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            group.create_task(talk())

    served = serve(chatter)
    with served.dial() as sock:
        sock.sendall(get("/attach", *UPGRADE, method="POST"))
        sock.recv(10)
    eventually(lambda: served.tasks() == 0)
    assert served.errors == []
