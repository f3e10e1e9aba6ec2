"""Requests: how they are read, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from fairlead.http.server import Request, Response
from tests.http.served import get, rest, until

if TYPE_CHECKING:
    from tests.http.conftest import Serve


async def echo(request: Request) -> Response:
    """Answers with what was asked."""
    body = await request.read()
    seen = [request.method, request.path, request.raw_path, dict(request.query), body.decode()]
    return Response(200, json.dumps(seen).encode(), {"X-Kind": "echo"})


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_a_target_is_taken_apart(serve: Serve) -> None:
    """The path is decoded, the last of equal names wins, blank values are kept."""
    answer = serve(echo).talk(get("/v1.40/a%2Fb%20c?x=1&x=2&y=&z=%7B%22a%22%3A1%7D"))

    assert answer.startswith(b"HTTP/1.1 200 OK\r\nx-kind: echo\r\n")
    assert json.loads(body_of(answer)) == [
        "GET", "/v1.40/a/b c", "/v1.40/a%2Fb%20c", {"x": "2", "y": "", "z": '{"a":1}'}, "",
    ]  # fmt: skip


def test_an_absolute_target_is_understood(serve: Serve) -> None:
    """A client that thinks it talks to a proxy is answered all the same."""
    assert json.loads(body_of(serve(echo).talk(get("http://docker/info?a=b"))))[1] == "/info"


def test_headers_have_lower_case_names_and_are_joined(serve: Serve) -> None:
    """Names are in lower case and a repeated header is one list."""

    async def headers(request: Request) -> Response:
        return Response(body=json.dumps(dict(request.headers)).encode())

    answer = serve(headers).talk(get("/", "X-Registry-Auth: a", "X-REGISTRY-AUTH: b"))
    assert json.loads(body_of(answer)) == {"host": "test", "x-registry-auth": "a, b"}


def test_a_connection_serves_one_request_after_another(serve: Serve) -> None:
    """The connection is kept and each answer belongs to its request."""
    with serve(echo).dial() as sock:
        for path in ("/one", "/two", "/three"):
            sock.sendall(get(path))
            assert f'"{path}"'.encode() in until(sock, b"]")


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    """Requests sent at once, some with a body, get their answers in the same order."""
    post = get("/two", "Content-Length: 5", method="POST") + b"hello"
    answer = serve(echo).talk(get("/one") + post + get("/three") + post)

    parts = answer.split(b"\r\n\r\n")[1:]
    bodies = [json.loads(part.partition(b"HTTP/1.1 200")[0]) for part in parts]
    assert [(body[1], body[4]) for body in bodies] == [
        ("/one", ""), ("/two", "hello"), ("/three", ""), ("/two", "hello"),
    ]  # fmt: skip


def test_a_body_nobody_reads_does_not_become_the_next_request(serve: Serve) -> None:
    """A body the handler ignored is skipped, and the connection goes on."""

    async def deaf(request: Request) -> Response:
        return Response(body=request.path.encode())

    smuggled = get("/smuggled")
    head = get("/first", f"Content-Length: {len(smuggled)}", method="POST")
    answer = serve(deaf).talk(head + smuggled + get("/second"))

    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.endswith(b"/second")
    assert b"/smuggled" not in answer


async def digest(request: Request) -> Response:
    """Answers with the hash of the body, however large."""
    total = hashlib.sha256()
    async for chunk in request.chunks():
        total.update(chunk)
    return Response(body=total.hexdigest().encode())


def test_a_chunked_upload_arrives_whole(serve: Serve) -> None:
    """An upload without a length is read chunk by chunk."""
    chunks = [bytes([n]) * (n * 997) for n in range(1, 120)]
    wire = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    head = get("/load", "Transfer-Encoding: chunked", method="POST")

    answer = serve(digest).talk(head, wire)
    assert body_of(answer).decode() == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_an_upload_waits_for_its_reader(serve: Serve) -> None:
    """While the handler does not read, the client cannot send, and nothing piles up here."""
    go = asyncio.Event()

    async def late(request: Request) -> Response:
        await go.wait()
        return await digest(request)

    served = serve(late)
    payload = b"x" * (16 << 20)

    async def release() -> None:
        go.set()

    with served.dial() as sock:
        sock.sendall(get("/load", f"Content-Length: {len(payload)}", method="PUT"))
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < len(payload):
                sent += sock.send(payload[sent : sent + 65536])
        assert sent < 2 << 20
        served.call(release())
        sock.settimeout(20)
        sock.sendall(payload[sent:])
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock).endswith(hashlib.sha256(payload).hexdigest().encode())


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_refused(serve: Serve, framing: str) -> None:
    """A body over the handler's limit is 413, even for a client that is still sending."""

    async def small(request: Request) -> Response:
        return Response(body=await request.read(1000))

    body = b"x" * 100000
    if "chunked" in framing:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = serve(small).talk(get("/", framing, method="POST"), body)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"known: request body too large")


BAD = {
    "no http": b"hello\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "version": b"GET / HTTP/9\r\nHost: a\r\n\r\n",
    "space in name": b"GET / HTTP/1.1\r\nHost: a\r\nbad name: b\r\n\r\n",
    "control character": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "negative length": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "half a head": b"GET / HTTP/1.1\r\nHost",
    "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    "bad chunk": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_http_is_refused(serve: Serve, name: str) -> None:
    """What is not HTTP gets one answer, 400, in the shape of all errors, and a close."""
    answer = serve(echo).talk(BAD[name])

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close\r\n" in answer
    assert b"known: " in answer
    assert b"bytearray" not in answer


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (get("/", "X-Big: " + "x" * (1 << 20)), 431),
        (get("/" + "x" * (1 << 20)), 431),
        (get("/", "Transfer-Encoding: gzip"), 501),
        (get("a:1", method="CONNECT"), 405),
    ],
    ids=["header of 1 MiB", "target of 1 MiB", "unknown coding", "proxy"],
)
def test_what_is_not_served_has_its_own_status(serve: Serve, head: bytes, status: int) -> None:
    """Heads without end, codings nobody knows and proxying are refused by name."""
    assert serve(echo).talk(head).startswith(b"HTTP/1.1 %d " % status)
