"""The API as a whole: who it says it is, what it refuses, and that it never falls over."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

import docker
from fairlead.api.unsupported import TABLE
from tests.http.served import rest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.house import House


@pytest.fixture
def client(house: House) -> Iterator[docker.DockerClient]:
    """docker-py, talking to the daemon."""
    connected = docker.DockerClient(base_url=f"unix://{house.socket}", version="auto")
    yield connected
    connected.close()


def test_ping_tells_clients_what_they_need(house: House) -> None:
    """Versions are negotiated from these headers, with a body and without."""
    for method, body in (("GET", b"OK"), ("HEAD", b"")):
        answer = house.ask(method, "/_ping")
        assert (answer.status, answer.body) == (200, body)
        assert answer.headers["api-version"] == "1.52"
        assert answer.headers["docker-experimental"] == "false"
        assert answer.headers["ostype"] == "linux"
        assert answer.headers["builder-version"] == ""
        assert answer.headers["swarm"] == "inactive"
        assert answer.headers["cache-control"].startswith("no-cache")
        assert answer.headers["content-type"].startswith("text/plain")


def test_docker_py_negotiates_and_looks_around(client: docker.DockerClient) -> None:
    """A real client finds its way without containers."""
    assert client.ping()
    assert client.version()["MinAPIVersion"] == "1.24"
    assert client.version()["Platform"] == {"Name": "fairlead"}
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert client.containers.list(all=True) == []
    assert client.images.list() == []
    assert client.volumes.list() == []
    assert {n.name for n in client.networks.list()} == {"bridge", "host", "none"}
    assert client.df()["Volumes"] == []


def test_docker_py_makes_networks_and_volumes(client: docker.DockerClient) -> None:
    """Objects come back as they were asked for."""
    network = client.networks.create("py", labels={"a": "b"}, check_duplicate=True)
    assert client.networks.get("py").attrs["Labels"] == {"a": "b"}
    assert [n.name for n in client.networks.list(filters={"label": "a=b"})] == ["py"]
    network.remove()
    with pytest.raises(docker.errors.NotFound):
        client.networks.get("py")
    volume = client.volumes.create("v1", labels={"x": "y"})
    assert client.volumes.get("v1").attrs["Labels"] == {"x": "y"}
    volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("v1")


def test_events_of_the_past_are_told_and_the_stream_ends(
    house: House, client: docker.DockerClient
) -> None:
    """A network's life, between since and until."""
    client.networks.create("told").remove()
    lines = house.ask("GET", "/events", since="0", until="0s", filters="{}")
    assert lines.status == 200
    seen = [json.loads(line) for line in lines.body.splitlines()]
    actions = [e["Action"] for e in seen if e["Actor"]["Attributes"].get("name") == "told"]
    assert actions == ["create", "destroy"]
    late = house.ask("GET", "/events", since="20", until="10")
    assert late.status == 400


def _unsupported() -> list[tuple[str, str]]:
    return [
        (method, pattern.replace("{id}", "x").replace("{name}", "x"))
        for _, methods, patterns in TABLE
        for pattern in patterns
        for method in methods
    ]


@pytest.mark.parametrize(("method", "path"), _unsupported())
def test_what_fairlead_does_not_do_says_so(house: House, method: str, path: str) -> None:
    """501, and one sentence."""
    answer = house.ask(method, path)
    assert answer.status == 501
    assert "fairlead" in answer.message


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nothing", 404, "page not found"),
        ("GET", "/", 404, "page not found"),
        ("PUT", "/networks", 405, "method not allowed"),
        (
            "GET",
            "/v1.60/info",
            400,
            "client version 1.60 is too new. Maximum supported API version is 1.52",
        ),
        ("GET", "/containers/nosuch/json", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/attach", 404, "No such container: nosuch"),
        ("POST", "/containers/nosuch/wait", 404, "No such container: nosuch"),
        ("GET", "/containers/nosuch/logs", 404, "No such container: nosuch"),
        ("GET", "/containers/nosuch/stats", 404, "No such container: nosuch"),
        ("POST", "/exec/nosuch/start", 404, "No such exec instance: nosuch"),
        ("GET", "/volumes/nosuch", 404, "get nosuch: no such volume"),
        ("GET", "/images/nosuch/json", 404, "No such image: nosuch:latest"),
        ("GET", "/plugins/nosuch/json", 404, 'plugin "nosuch" not found'),
    ],
)
def test_what_is_not_there(house: House, method: str, path: str, status: int, message: str) -> None:
    """An error that names it, as JSON."""
    answer = house.ask(method, path)
    assert (answer.status, answer.message) == (status, message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"Name":', "invalid JSON: unexpected EOF"),
        (b'{"Name":"zz"}{}', "unexpected content after JSON"),
        (b"[" * 100_000, None),
        (b'{"Name":{"a":1}}', None),
        (b'{"Name":"' + b"x" * (1 << 20) + b'"}', None),
        (b"\xff\xfe", None),
    ],
)
@pytest.mark.parametrize(
    "path",
    ["/networks/create", "/containers/create", "/volumes/create", "/networks/bridge/connect"],
)
def test_bad_bodies_are_refused_everywhere(
    house: House, path: str, raw: bytes, message: str | None
) -> None:
    """400 and a sentence, whatever the noun; never a traceback."""
    answer = house.ask("POST", path, raw=raw, headers={"Content-Type": "application/json"})
    # Spelled out, because a failure would print the whole megabyte.
    falls_over = answer.status not in (400, 404) or b"Traceback" in answer.body
    assert not falls_over, answer.status
    assert message is None or answer.message == message
    house.ask("POST", "/networks/prune")


def test_null_bodies_are_refused_not_crashed_on(house: House) -> None:
    """What once made a daemon fall over."""
    for path in ("/networks/create", "/containers/create", "/networks/bridge/connect"):
        for body in (b"null", b"{}", b""):
            answer = house.ask("POST", path, raw=body, headers={"Content-Type": "application/json"})
            assert answer.status == 400
            assert answer.message


def test_a_body_must_say_that_it_is_json(house: House) -> None:
    """As a real daemon demands."""
    answer = house.ask(
        "POST", "/networks/create", raw=b'{"Name":"t"}', headers={"Content-Type": "text/plain"}
    )
    assert (answer.status, answer.message) == (
        400,
        "unsupported Content-Type header (text/plain): must be 'application/json'",
    )


def test_a_client_that_leaves_the_events_is_forgotten(house: House) -> None:
    """Nothing goes on for nobody."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(20)
        listener.connect(str(house.socket))
        listener.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
        assert listener.recv(100).startswith(b"HTTP/1.1 200")
    with socket.socket(socket.AF_UNIX) as short:
        short.settimeout(20)
        short.connect(str(house.socket))
        short.sendall(b"GET /events?until=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert rest(short).endswith(b"0\r\n\r\n")


def test_errors_carry_a_hint_where_there_is_one(house: House) -> None:
    """Clients that know the key can show what to do next."""
    answer: Any = house.ask("GET", "/networks", filters='{"nmae":["x"]}').json
    assert answer["message"] == "invalid filter 'nmae'"
    assert "name" in answer["hint"]
