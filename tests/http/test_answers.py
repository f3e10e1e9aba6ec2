"""Answers: their framing, their streams, and what happens when they fail."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from fairlead.http.server import Request, Response
from fairlead.model.errors import Conflict
from tests.http.served import eventually, get, rest, until
from tests.http.test_requests import body_of, digest, echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.http.conftest import Serve


def test_head_has_the_headers_of_get_and_no_body(serve: Serve) -> None:
    """HEAD announces the length and sends nothing, and the connection goes on."""
    answer = serve(echo).talk(get("/a", method="HEAD") + get("/b"))

    first, _, second = answer.partition(b"\r\n\r\n")
    assert b"content-length: 28" in first
    assert second.startswith(b"HTTP/1.1 200 ")


def test_head_of_a_stream_does_not_start_it(serve: Serve) -> None:
    """HEAD of an endless stream answers at once."""

    async def endless(_: Request) -> Response:
        async def ticks() -> AsyncIterator[bytes]:
            while True:
                yield b"tick"

        return Response(body=ticks())

    answer = serve(endless).talk(get("/events", method="HEAD"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert body_of(answer) == b""


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(serve: Serve, status: int) -> None:
    """204 and 304 carry no body, whatever the handler gave, and no length."""

    async def empty(_: Request) -> Response:
        return Response(status, b"not sent")

    answer = serve(empty).talk(get("/a") + get("/b"))
    heads = answer.split(b"\r\n\r\n")
    assert [head.splitlines()[1:] for head in heads] == [[], [], []]
    assert answer.count(b"HTTP/1.1 %d " % status) == 2


async def three(_: Request) -> Response:
    """Three chunks, one of them empty."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    return Response(body=chunks(), headers={"Content-Type": "text/plain"})


def test_an_iterator_is_sent_in_chunks(serve: Serve) -> None:
    """An answer of unknown length is chunked, and an empty chunk does not end it."""
    answer = serve(three).talk(get("/"))
    assert b"transfer-encoding: chunked" in answer.lower()
    assert body_of(answer) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_http_1_0_gets_no_chunks(serve: Serve) -> None:
    """A client of HTTP/1.0 gets the plain bytes and then the end of the connection."""
    with serve(three).dial() as sock:
        sock.sendall(get("/", version="1.0"))
        answer = rest(sock)
    assert body_of(answer) == b"onetwo"
    assert b"chunked" not in answer.lower()


def test_a_length_given_by_the_handler_is_used(serve: Serve) -> None:
    """A stream of known length is sent as it is."""

    async def archive(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"tar"
            yield b"ball"

        return Response(body=chunks(), headers={"Content-Length": "7"})

    answer = serve(archive).talk(get("/"))
    assert b"chunked" not in answer.lower()
    assert body_of(answer) == b"tarball"


def test_100_continue_is_said_when_the_body_is_wanted(serve: Serve) -> None:
    """A client that asks before it sends is told to go on, once."""
    with serve(echo).dial() as sock:
        sock.sendall(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert until(sock, b"]").startswith(b"HTTP/1.1 200 ")


def test_100_continue_is_not_said_when_the_body_is_not_wanted(serve: Serve) -> None:
    """A client that asks before it sends is spared the body that is refused anyway."""

    async def refuse(_: Request) -> Response:
        raise Conflict("no room")

    answer = serve(refuse).talk(
        get("/", "Content-Length: 5", "Expect: 100-continue", method="POST")
    )
    assert answer.startswith(b"HTTP/1.1 409 ")
    assert b"connection: close\r\n" in answer


def test_an_answer_may_read_the_request_as_it_goes(serve: Serve) -> None:
    """A stream that reports on an upload while it comes invites it and gets it."""

    async def progress(request: Request) -> Response:
        async def report() -> AsyncIterator[bytes]:
            async for chunk in request.chunks():
                yield b"%d " % len(chunk)

        return Response(body=report())

    with serve(progress).dial() as sock:
        sock.sendall(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert b"HTTP/1.1 100 " in until(sock, b"\r\n\r\n")
        sock.sendall(b"hello")
        assert b"2\r\n5 \r\n" in until(sock, b"0\r\n\r\n")


def test_an_unknown_error_is_an_answer(serve: Serve) -> None:
    """A bug in a handler is reported once, told to nobody outside, and costs one request."""

    async def buggy(request: Request) -> Response:
        if request.path == "/bug":
            raise KeyError("secret")
        if request.path == "/cancelled":
            asyncio.get_running_loop().call_soon((future := asyncio.Future[None]()).cancel)
            await future
        return Response(body=b"fine")

    served = serve(buggy)
    answer = served.talk(get("/bug") + get("/cancelled") + get("/"))

    assert answer.count(b"HTTP/1.1 500 ") == 2
    assert answer.endswith(b"fine")
    assert b"secret" not in answer
    assert [type(error) for error in served.errors] == [KeyError, asyncio.CancelledError]


def test_an_error_after_the_head_cuts_the_answer(serve: Serve) -> None:
    """A stream that fails half-way is not mistaken for one that ended."""

    async def half(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise OSError("disk on fire")

        return Response(body=chunks())

    served = serve(half)
    answer = served.talk(get("/") + get("/next"))

    assert answer.count(b"HTTP/1.1") == 1
    assert not answer.endswith(b"0\r\n\r\n")
    assert [str(error) for error in served.errors] == ["disk on fire"]


def test_an_answer_that_cannot_be_sent_is_reported(serve: Serve) -> None:
    """A header that would split the answer never leaves."""

    async def split(_: Request) -> Response:
        return Response(headers={"X-Name": "a\r\nSet-Cookie: b"})

    served = serve(split)
    assert served.talk(get("/")) == b""
    assert len(served.errors) == 1


def test_chunks_leave_as_they_come(serve: Serve) -> None:
    """The head and each chunk are sent at once, not when the next one is there."""
    steps = asyncio.Semaphore(0)

    async def stepwise(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for step in (b"one", b"two"):
                await steps.acquire()
                yield step

        return Response(body=chunks())

    async def step() -> None:
        steps.release()

    served = serve(stepwise)
    with served.dial() as sock:
        sock.sendall(get("/events"))
        assert until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        served.call(step())
        assert until(sock, b"one\r\n") == b"3\r\none\r\n"
        served.call(step())
        assert until(sock, b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"


def test_a_stream_waits_for_its_reader(serve: Serve) -> None:
    """A client that does not read stops the producer, not the server's memory."""
    made = 0

    async def firehose(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            nonlocal made
            while True:
                yield bytes(65536)
                made += 65536

        return Response(body=b"fine" if request.path == "/ping" else chunks())

    served = serve(firehose)
    with served.dial() as sock:
        sock.sendall(get("/"))
        eventually(lambda: made > 0)
        assert served.talk(get("/ping")).endswith(b"fine")
        assert made < 4 << 20


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_agrees(serve: Serve, tmp_path: Path) -> None:
    """An independent client uploads in chunks, expects 100, and reads a stream."""
    served = serve(digest)
    payload = bytes(range(256)) * 20000
    file = tmp_path / "payload"
    file.write_bytes(payload)

    def curl(*words: str) -> bytes:
        base = ["curl", "-sS", "--max-time", "20", "--unix-socket", str(served.path)]
        return subprocess.run([*base, *words, "http://d/x"], check=True, capture_output=True).stdout

    want = hashlib.sha256(payload).hexdigest().encode()
    assert curl("-T", str(file)) == want
    assert curl("-T", str(file), "-H", "Transfer-Encoding: chunked") == want
    assert curl("-X", "POST", "--data-binary", f"@{file}", "--http1.0") == want
    assert b"content-length: 64" in curl("-I")
