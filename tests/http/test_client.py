"""The command line's side of the conversation."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from fairlead.http.client import ApiError, Client, Interrupted, Unreachable
from fairlead.http.server import Request, Response
from fairlead.model.errors import Invalid
from tests.http.served import Served, eventually, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.http.conftest import Serve


def client(served: Served) -> Client:
    return Client(f"unix://{served.path}")


async def show(request: Request) -> Response:
    """Answers with what was asked."""
    body = await request.read(100 << 20)
    seen = {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "kind": request.headers.get("content-type"),
        "size": len(body),
        "body": body.decode() if len(body) < 1000 else "",
    }
    return Response(201, json.dumps(seen).encode(), {"X-Seen": "yes"})


def test_a_request_with_json(serve: Serve) -> None:
    """Values become JSON, truth in a query 1 or 0, mappings JSON, and None nothing."""
    query = {"all": True, "n": 3, "filters": {"name": ["a"]}, "no": None}
    reply = client(serve(show)).request("POST", "/v1.40/a", query, {"Name": "b"})

    assert (reply.status, reply.headers["x-seen"]) == (201, "yes")
    assert reply.json() == {
        "method": "POST",
        "path": "/v1.40/a",
        "query": {"all": "1", "n": "3", "filters": '{"name": ["a"]}'},
        "kind": "application/json",
        "size": 13,
        "body": '{"Name": "b"}',
    }


@pytest.mark.parametrize("form", ["bytes", "file", "iterator"])
def test_an_upload(serve: Serve, form: str) -> None:
    """Bytes, files and iterators arrive whole, the latter two without being held."""
    payload = b"x" * (9 << 20)
    body = {
        "bytes": payload,
        "file": io.BytesIO(payload),
        "iterator": iter([payload[: 1 << 20]] * 9),
    }[form]

    seen = client(serve(show)).request("PUT", "/load", body=body).json()
    assert (seen["size"], seen["kind"]) == (9 << 20, "application/x-tar")


def test_an_error_carries_message_and_hint(serve: Serve) -> None:
    """An error answer is an exception with the daemon's words."""

    async def refuse(_: Request) -> Response:
        answer = {"message": "network x not found", "hint": "see network ls"}
        return Response(404, json.dumps(answer).encode())

    with pytest.raises(ApiError, match="network x not found") as error:
        client(serve(refuse)).request("GET", "/networks/x")
    assert (error.value.status, error.value.hint) == (404, "see network ls")


@pytest.mark.parametrize("body", [b"plain words\n", b"[1]", b"{}", b'"x"', b"\xff"])
def test_an_error_of_any_shape_is_one(serve: Serve, body: bytes) -> None:
    """An error that is not of our shape is shown as it is."""

    async def refuse(_: Request) -> Response:
        return Response(500, body)

    with pytest.raises(ApiError) as error:
        client(serve(refuse)).request("GET", "/")
    assert error.value.message == body.decode(errors="replace").strip()


def test_an_upload_refused_half_way_says_why(serve: Serve) -> None:
    """The daemon's refusal is reported, not the broken pipe it caused."""

    async def refuse(_: Request) -> Response:
        return Response(404, b'{"message": "no such container"}')

    with pytest.raises(ApiError, match="no such container"):
        client(serve(refuse, linger_seconds=0.05)).request(
            "PUT", "/archive", body=(bytes(65536) for _ in range(1000))
        )


def test_lines_come_as_they_are_said(serve: Serve) -> None:
    """Each line of a stream is seen before the next one is made."""
    seen = threading.Semaphore(0)

    async def count(_: Request) -> Response:
        async def numbers() -> AsyncIterator[bytes]:
            for n in range(3):
                yield b'{"n":'
                yield b"%d}\n" % n
                eventually(lambda: seen.acquire(blocking=False))

        return Response(body=numbers())

    lines = []
    with client(serve(count)).request("GET", "/events") as reply:
        for line in reply.lines():
            lines.append(json.loads(line)["n"])
            seen.release()
    assert lines == [0, 1, 2]


def test_leaving_a_stream_hangs_up(serve: Serve) -> None:
    """A reply that is closed before its end stops the daemon's stream."""

    async def endless(_: Request) -> Response:
        async def ticks() -> AsyncIterator[bytes]:
            while True:
                yield b"tick\n"

        return Response(body=ticks())

    served = serve(endless)
    with client(served).request("GET", "/events") as reply:
        assert next(reply.lines()) == b"tick\n"
    eventually(lambda: served.tasks() == 0)


@pytest.mark.parametrize("length", [None, "1000"], ids=["chunked", "with a length"])
@pytest.mark.parametrize("how", ["read", "lines"])
def test_a_cut_answer_is_an_error(serve: Serve, length: str | None, how: str) -> None:
    """An answer that breaks off is not taken for a short one."""

    async def cut(_: Request) -> Response:
        async def half() -> AsyncIterator[bytes]:
            yield b"half\n"
            raise ValueError

        return Response(body=half(), headers={"Content-Length": length} if length else {})

    reply = client(serve(cut)).request("GET", "/")
    with pytest.raises(Interrupted):
        reply.read() if how == "read" else list(reply.lines())


def test_no_answer_is_an_error(serve: Serve) -> None:
    """A daemon that dies while it works is told from one that answers."""

    async def die(_: Request) -> Response:
        return Response(headers={"X": "\n"})

    with pytest.raises(Interrupted, match="without an answer"):
        client(serve(die)).request("GET", "/")


def test_hijack_gives_the_raw_connection(serve: Serve) -> None:
    """The socket has all that follows the head, even what came with it, and can be half-closed."""

    async def greet(request: Request) -> None:
        body = await request.read()
        stream = await request.hijack({"Content-Type": "application/vnd.docker.raw-stream"})
        await stream.write(b"hello " + body + b"\n\r\n\r\n")
        while data := await stream.read():
            await stream.write(data.upper())

    with client(serve(greet)).hijack("POST", "/exec/1/start", body={"Tty": True}) as sock:
        sock.sendall(b"input")
        sock.shutdown(socket.SHUT_WR)
        assert rest(sock) == b'hello {"Tty": true}\n\r\n\r\nINPUT'


def test_a_refused_hijack_is_an_error(serve: Serve) -> None:
    """An attach to nothing says so."""

    async def refuse(_: Request) -> Response:
        return Response(404, json.dumps({"message": "no such container" * 1000}).encode())

    with pytest.raises(ApiError, match="no such container") as error:
        client(serve(refuse)).hijack("POST", "/containers/x/attach")
    assert len(error.value.message) == 17000


def test_a_missing_daemon_is_one_line(tmp_path: Path) -> None:
    """No socket, or nobody behind it, is the same plain question."""
    host = f"unix://{tmp_path}/no.sock"
    words = f"Cannot connect to the fairlead daemon at {host}. Is it running?"
    with pytest.raises(Unreachable) as missing:
        Client(host).request("GET", "/_ping")
    assert str(missing.value) == words

    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/no.sock")
        with pytest.raises(Unreachable) as refused:
            Client(host).hijack("POST", "/")
    assert str(refused.value) == words


@pytest.mark.parametrize("host", ["", "/run/x.sock", "unix://", "http://a", "ssh://a"])
def test_a_host_must_make_sense(host: str) -> None:
    """Other forms of address are refused, with the two that are understood."""
    with pytest.raises(Invalid, match="unable to parse docker host") as error:
        Client(host)
    assert "unix:///" in error.value.hint


def test_tcp_works_too(serve: Serve) -> None:
    """The same over TCP."""
    served = serve(show)
    port = served.call(served.server.listen_tcp("127.0.0.1", 0))
    assert Client(f"tcp://127.0.0.1:{port}").request("GET", "/x").json()["path"] == "/x"


def test_the_client_is_cheap_to_import() -> None:
    """The command line does not pay for the server."""
    code = "import sys, fairlead.http.client; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"asyncio", "h11", "msgspec", "rich"} & set(out.stdout.split())
