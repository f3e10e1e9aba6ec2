"""Requests that no client would make, from the API's own description: an answer to each, and sane.

The daemon is a real one with real containers, on a machine whose file system it cannot write to
but where it must. FAIRLEAD_EXAMPLES makes more of each request.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.api.openapi import PAGE
from tests.docker.stage import eventually
from tests.docker.tidy import tidy
from tests.lab import Daemon
from tests.security.cage import caged

pytestmark = pytest.mark.root

EXAMPLES = int(os.environ.get("FAIRLEAD_EXAMPLES", "8"))
PATIENCE_SECONDS = 90
QUIET_SECONDS = 0.1
STREAMS = ("/events", "/attach", "/logs", "/stats", "/wait", "/exec/")
KNOWN = {
    "id": ["web", "front", "bridge", "host", "web2", "data"],
    "name": ["busybox", "busybox:latest", "data", "web"],
    "ref": ["web", "front"],
}
OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in json.loads(PAGE.read_text())["paths"].items()
    for method in methods
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon whose machine has a read-only file system, apart from what is private to it."""
    with caged() as running:
        yield running


def furnish(daemon: Daemon) -> None:
    """What requests can be about, made anew if a request removed it."""
    api = daemon.api
    if api("GET", "/images/busybox/json").status != 200:
        daemon.import_busybox()
    api("POST", "/networks/create", {"Name": "front", "EnableIPv6": True})
    api("POST", "/volumes/create", {"Name": "data"})
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000000"],
        "HostConfig": {"Init": True, "NetworkMode": "front", "Binds": ["data:/data"]},
    }
    for name in ("web", "web2"):
        if api("POST", f"/containers/create?name={name}", body).status == 201:
            api("POST", f"/containers/{name}/start")


class Unix(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("daemon", timeout=PATIENCE_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Opens it."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(self.path)


def tame(case: Any, draw: random.Random) -> None:
    """Aims a request at what there is, most of the time, and keeps it from waiting on purpose."""
    for name in case.path_parameters or {}:
        if draw.random() < 0.8:
            case.path_parameters[name] = draw.choice(KNOWN[name])
    query = case.query or {}
    if "t" in query:
        query["t"] = 0
    if "fromImage" in query:
        query["fromImage"] = "127.0.0.1:1/nothing"
    if isinstance(case.body, dict) and draw.random() < 0.6:
        if case.path == "/containers/create":
            case.body["Image"] = "busybox"
        if "Container" in case.body:
            case.body["Container"] = draw.choice(KNOWN["id"])
        if "Name" in case.body:
            case.body["Name"] = f"n{draw.randrange(10**6)}"


def send(daemon: Daemon, case: Any) -> tuple[int, bytes]:
    """The status and as much of the body as comes."""
    given = case.as_transport_kwargs(base_url="http://daemon")
    given.pop("cookies", None)
    prepared = requests.Request(**given).prepare()
    connection = Unix(str(daemon.socket))
    try:
        body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        headers = {name: str(value) for name, value in prepared.headers.items()}
        connection.request(str(prepared.method), prepared.path_url, body, headers)
        wire = connection.sock
        answer = connection.getresponse()
        if answer.status < 300 and any(word in case.path for word in STREAMS):
            wire.settimeout(QUIET_SECONDS)
            try:
                return answer.status, answer.read(4096)
            except (TimeoutError, OSError):
                return answer.status, b""
        return answer.status, answer.read()
    finally:
        connection.close()


@schemathesis.serializer("application/x-tar")
def tar(context: Any, value: Any) -> bytes:
    """What stands for a tar: mostly it is none."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def schema() -> Any:
    """The document, as schemathesis reads it."""
    found = schemathesis.openapi.from_path(PAGE)
    results: Any = found.get_all_operations()
    return {f"{op.method.upper()} {op.path}": op for op in (result.ok() for result in results)}


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_request_is_answered(daemon: Daemon, schema: Any, name: str) -> None:
    """Never with an error nobody foresaw; never with silence; and the daemon goes on."""
    furnish(daemon)
    draw = random.Random(name)

    @seed(1)
    @settings(
        max_examples=EXAMPLES, database=None, deadline=None, derandomize=False,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=schema[name].as_strategy())
    def attack(case: Any) -> None:
        tame(case, draw)
        status, body = send(daemon, case)
        said = body.decode(errors="replace")
        assert status < 500 or "internal error" not in said, (case.as_curl_command(), said)
        assert "Traceback" not in said
        if status >= 400 and name != "HEAD /_ping" and not name.startswith("HEAD"):
            assert json.loads(said)["message"], (case.as_curl_command(), said)

    attack()
    assert daemon.running
    assert daemon.api("GET", "/_ping").status == 200


def test_nothing_is_left_of_them(daemon: Daemon) -> None:
    """All can be removed again, and no process stays that nobody owns."""
    tidy(daemon)
    answer = daemon.api("POST", "/volumes/prune?filters=%7B%22all%22:%5B%22true%22%5D%7D")
    assert answer.status == 200
    eventually(lambda: not [p for p in daemon.machine.processes() if "conmon" in p])
    links = daemon.machine.run(["ls", "/sys/class/net"]).stdout.split()
    deadline = time.monotonic() + 90
    while any(link.startswith(("veth", "br-")) for link in links):
        assert time.monotonic() < deadline, links
        links = daemon.machine.run(["ls", "/sys/class/net"]).stdout.split()
    assert daemon.machine.shell("ls /run/fairlead/netns 2>/dev/null || true").stdout == ""
