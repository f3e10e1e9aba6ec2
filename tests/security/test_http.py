"""Bytes that are not quite HTTP, and bodies that are not quite what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.docker.stage import eventually
from tests.lab import Daemon
from tests.security.cage import caged, connect, converse

pytestmark = pytest.mark.root

HOST = b"Host: d\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})", re.MULTILINE)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """The module's daemon."""
    with caged() as running:
        yield running


def post(*headers: bytes, body: bytes = b"") -> bytes:
    """A request with these headers."""
    lines = [b"POST /networks/create HTTP/1.1", HOST.strip(), *headers, b"", b""]
    return b"\r\n".join(lines) + body


SMUGGLERS = {
    "length and chunks": post(
        b"Content-Type: application/json", b"Content-Length: 4", b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + SMUGGLED,
    ),
    "chunks and length": post(
        b"Transfer-Encoding: chunked", b"Content-Length: 100", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: 60", body=SMUGGLED),
    "a list of lengths": post(b"Content-Length: 0, 60", body=SMUGGLED),
    "a negative length": post(b"Content-Length: -1", body=SMUGGLED),
    "a signed length": post(b"Content-Length: +60", body=SMUGGLED),
    "a length in another script": post("Content-Length: ٦٠".encode(), body=SMUGGLED),
    "a huge length": post(b"Content-Length: " + b"9" * 400, body=SMUGGLED),
    "unknown coding": post(b"Transfer-Encoding: xchunked", body=SMUGGLED),
    "two codings": post(b"Transfer-Encoding: chunked, identity", body=SMUGGLED),
    "space before the colon": post(b"Content-Length : 60", body=SMUGGLED),
    "a folded header": post(b"X: a", b" Content-Length: 60", body=b""),
    "a bare return": post(b"X: a\rContent-Length: 60", body=SMUGGLED),
    "a NUL": post(b"X: a\0b", body=SMUGGLED),
    "a negative chunk": post(b"Transfer-Encoding: chunked", body=b"-1\r\n\r\n" + SMUGGLED),
    "a huge chunk": post(b"Transfer-Encoding: chunked", body=b"f" * 40 + b"\r\n" + SMUGGLED),
    "a chunk without a size": post(b"Transfer-Encoding: chunked", body=b"\r\n\r\n" + SMUGGLED),
    "no host": b"GET /_ping HTTP/1.1\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "a line without an end": b"GET /" + b"a" * 300_000,
    "headers without an end": b"GET /_ping HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
    "a proxy's request": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED,
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLERS)
def test_a_request_in_a_request(daemon: Daemon, name: str) -> None:
    """What can be read in two ways is refused, and what follows it is not read as a request."""
    heard = converse(daemon, SMUGGLERS[name])
    statuses = [int(status) for status in STATUS.findall(heard)]
    assert len(statuses) <= 1, heard
    assert all(400 <= status < 500 or status in (501, 505) for status in statuses), heard
    assert b"page not found" not in heard
    assert daemon.api("GET", "/_ping").status == 200


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"\r\n", b"\n", b" ", b":", b"GET /_ping HTTP/1.1\r\n", HOST, b"\0"]),
            st.binary(max_size=12),
        ),
        max_size=12,
    )
)
def test_any_bytes(daemon: Daemon, pieces: list[bytes]) -> None:
    """They are answered or not, but the daemon goes on, and owes nobody an explanation."""
    heard = converse(daemon, b"".join(pieces))
    assert b"internal error" not in heard


ODD_BODIES = {
    "nested lists": b'{"Name":' + b"[" * 200_000,
    "nested objects": b'{"Labels":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "no unicode": b'{"Name":"\xff\xfe"}',
    "half a surrogate": b'{"Name":"\\ud800"}',
    "a huge number": b'{"Name":' + b"1" * 100_000 + b"}",
    "not a number": b'{"Name":NaN}',
    "a list": b"[]",
    "a string": b'"x"',
    "twice the name": b'{"Name":"a","Name":"../../x","CheckDuplicate":3}',
    "a NUL in a name": b'{"Name":"a\\u0000b"}',
    "a long name": b'{"Name":"' + b"a" * 1_000_000 + b'"}',
    "a body over all measure": b'{"Name":"' + b"a" * (9 << 20) + b'"}',
}


@pytest.mark.parametrize("name", ODD_BODIES)
@pytest.mark.parametrize("path", ["/networks/create", "/containers/create", "/volumes/create"])
def test_odd_bodies(daemon: Daemon, path: str, name: str) -> None:
    """Each is refused in a sentence."""
    answer = daemon.api("POST", path, ODD_BODIES[name])
    if answer.status == 201:
        made = answer.json
        noun = path.split("/")[1]
        assert daemon.api("DELETE", f"/{noun}/{made.get('Id') or made['Name']}").status == 204
        assert name in ("twice the name", "a NUL in a name", "a list", "a string")
    else:
        assert 400 <= answer.status < 500, answer
        assert answer.json["message"] != "internal error"


@pytest.mark.parametrize(
    "value", ["[" * 10_000, '{"a":' * 3_000, '{"name":{"(a*)*$":true}}', '{"name":["(a|a)*b"]}', "{"]
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["/networks", "/containers/json", "/volumes", "/images/json", "/events"]
)
def test_odd_filters(daemon: Daemon, path: str, value: str) -> None:
    """They are refused, or find nothing, at once."""
    more = "&until=1" if path == "/events" else ""
    answer = daemon.api("GET", f"{path}?filters={quote(value)}{more}")
    assert answer.status in (200, 400), answer


def test_no_expression_stops_the_daemon(daemon: Daemon) -> None:
    """A filter with which a backtracking engine would think for years."""
    daemon.api("POST", "/networks/create", {"Name": "a" * 60})
    for expression in ("(a*)*$x", "^(a+)+$", "(a|aa)+x", "(.*)*y"):
        value = quote(json.dumps({"name": [expression]}))
        assert daemon.api("GET", f"/networks?filters={value}").status == 200
    assert daemon.api("DELETE", f"/networks/{'a' * 60}").status == 204


@pytest.mark.parametrize(
    "path",
    [
        "/v1.41/../../etc/passwd", "/containers/../../../etc/passwd/json", "/volumes/..%2f..%2fetc",
        "/volumes/%2e%2e", "/networks/%00", "/networks/%ff", "/images/..%2f..%2fetc/json",
        "/containers/%0d%0aX:%20y/json", "/fairlead/explain/..%2f..", "//etc/passwd", "/",
        "/exec/..%2f../json", "/v1.99999/info", "/v0.0/info", "/v1./info",
    ],
)  # fmt: skip
def test_paths(daemon: Daemon, path: str) -> None:
    """Names that try to be paths are names of nothing."""
    answer = daemon.api("GET", path)
    assert answer.status in (400, 404), answer
    assert b"root:" not in answer.body
    assert "X" not in answer.headers


@pytest.mark.parametrize(
    "name", ["../x", "..", "a/b", "/etc", "a\nb", "a b", "", ".", "x" * 5000, "-x"]
)
def test_names_of_volumes(daemon: Daemon, name: str) -> None:
    """A volume is a folder of the daemon's and nothing else."""
    before = daemon.machine.shell("find /var/lib/fairlead -maxdepth 2 | sort").stdout
    answer = daemon.api("POST", "/volumes/create", {"Name": name})
    if name == "":
        assert daemon.api("DELETE", f"/volumes/{answer.json['Name']}").status == 204
    else:
        assert answer.status == 400, answer
    assert daemon.machine.shell("find /var/lib/fairlead -maxdepth 2 | sort").stdout == before


@pytest.mark.parametrize(
    "accept", ["*/*;q=" + "9" * 5000, ",;,;=", "a/" + "b" * 50_000, "\x80\xff"]
)
def test_headers(daemon: Daemon, accept: str) -> None:
    """Odd values of headers that are read do no harm."""
    lines = [
        b"GET /containers/none/logs?stdout=1 HTTP/1.1", HOST.strip(),
        b"Accept: " + accept.encode("latin-1"), b"Content-Type: " + accept.encode("latin-1"),
        b"X-Registry-Auth: " + accept.encode("latin-1"), b"Connection: close", b"", b"",
    ]  # fmt: skip
    heard = converse(daemon, b"\r\n".join(lines))
    assert STATUS.findall(heard)[0] in (b"404", b"400", b"431")


UPGRADES = [
    b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nrubbish",
    b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI",
    b"POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello",
    b"GET /containers/web/attach/ws?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"POST /containers/web/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nab",
    b"POST /exec/none/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" * 3,
]


def test_connections_that_are_taken_over(daemon: Daemon) -> None:
    """Whoever asks for a raw connection oddly, or leaves it, costs the daemon no descriptor."""
    daemon.docker("run", "-d", "-i", "--name", "web", "busybox", "cat")

    def descriptors() -> int:
        return int(daemon.machine.shell(f"ls /proc/{daemon.pid}/fd | wc -l").stdout)

    before = descriptors()
    for _ in range(5):
        for data in UPGRADES:
            with connect(daemon) as sock:
                sock.sendall(data)
                sock.settimeout(0.05)
                try:
                    sock.recv(100)
                except TimeoutError:
                    continue
    eventually(lambda: descriptors() <= before + 1)
    assert daemon.api("GET", "/containers/web/json").json["State"]["Running"]
    daemon.docker("rm", "-f", "web")


def test_clients_that_say_little(daemon: Daemon) -> None:
    """Many connections that send half a request leave room for those that send a whole one."""
    half = [connect(daemon) for _ in range(200)]
    try:
        for sock in half:
            sock.sendall(b"GET /_ping HT")
        assert daemon.api("GET", "/_ping").status == 200
    finally:
        for sock in half:
            sock.close()
