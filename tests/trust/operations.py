"""What a daemon is doing when it dies: how each begins, and what may be true afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.docker.stage import eventually
from tests.lab.daemon import Answer
from tests.trust.scene import Scene

PUBLISHED = 9090
BODY = {
    "Image": "busybox",
    "Cmd": ["httpd", "-f", "-p", "80", "-h", "/var/www"],
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/kept": {}},
    "HostConfig": {
        "NetworkMode": "red",
        "PortBindings": {"80/tcp": [{"HostPort": str(PUBLISHED)}]},
    },
}
SHORT_LIVED = {**BODY, "HostConfig": {**BODY["HostConfig"], "AutoRemove": True}}  # type: ignore[dict-item]
PAGE = "hello from busybox\n"
CREATE = ("POST", "/containers/create?name=cc", BODY)
START = ("POST", "/containers/cc/start", None)
CONNECT = ("POST", "/networks/blue/connect", {"Container": "cc"})
DISCONNECT = ("POST", "/networks/blue/disconnect", {"Container": "cc"})
STOP = ("POST", "/containers/cc/stop?t=0", None)
NETWORK = ("POST", "/networks/create", {"Name": "green"})

Request = tuple[str, str, Any]
Check = Callable[[Scene], object]


@dataclass(frozen=True, slots=True)
class Operation:
    """Requests that prepare, the one in which somebody dies, and the ways in which it may end."""

    name: str
    before: Sequence[Request]
    request: Request
    undone: Check
    done: Check

    def prepare(self, scene: Scene) -> None:
        """Brings the host to where the operation begins."""
        for request in self.before:
            answer = scene.api(*request)
            assert answer.status < 300, answer.body

    def ask(self, scene: Scene) -> Answer | None:
        """Asks for it; no answer from a daemon that dies."""
        return scene.attempt(*self.request)

    def converged(self, scene: Scene) -> None:
        """Fails unless it has happened or has not, and nothing in between."""
        refusals = []
        for check in (self.done, self.undone):
            try:
                check(scene)
            except AssertionError as error:
                refusals.append(f"{check.__name__}: {error}")
            else:
                return
        raise AssertionError("neither done nor undone: " + "; ".join(refusals))


def tidy(scene: Scene) -> None:
    """Removes what an operation leaves, which must be possible."""
    answer = scene.api("DELETE", "/containers/cc?force=1&v=1")
    assert answer.status in (204, 404), answer.body
    for name in ("green",):
        answer = scene.api("DELETE", f"/networks/{name}")
        assert answer.status in (204, 404), answer.body


def absent(scene: Scene) -> None:
    """The container is unknown everywhere."""
    assert scene.inspect("cc") is None
    assert "cc" not in members(scene, "red") | members(scene, "blue")


def idle(scene: Scene) -> None:
    """The container is there, does not run and holds nothing."""
    shown = scene.inspect("cc")
    assert shown is not None, "it is gone"
    assert shown["State"]["Status"] in ("created", "exited"), shown["State"]
    assert shown["State"]["Pid"] == 0
    assert "cc" not in members(scene, "red") | members(scene, "blue")
    scene.refused(PUBLISHED)


def serves(scene: Scene) -> None:
    """It runs, and whoever asks at its published port is answered."""
    shown = scene.inspect("cc")
    assert shown is not None, "it is gone"
    assert shown["State"]["Status"] == "running", shown["State"]
    eventually(lambda: scene.fetch(PUBLISHED) == PAGE)
    on = {name for name in ("red", "blue") if "cc" in members(scene, name)}
    assert set(shown["NetworkSettings"]["Networks"]) == on
    inside = scene.addresses(shown["State"]["Pid"])
    assert inside == {e["IPAddress"] for e in shown["NetworkSettings"]["Networks"].values()}


def killed_at_most(scene: Scene) -> None:
    """A forced removal kills first: it serves, or it does not run."""
    shown = scene.inspect("cc")
    assert shown is not None, "it is gone"
    (serves if shown["State"]["Running"] else idle)(scene)


def serves_on_red(scene: Scene) -> None:
    """It runs on one network."""
    serves(scene)
    assert set(scene.inspect("cc")["NetworkSettings"]["Networks"]) == {"red"}


def serves_on_both(scene: Scene) -> None:
    """It runs on two networks."""
    serves(scene)
    assert set(scene.inspect("cc")["NetworkSettings"]["Networks"]) == {"red", "blue"}


def network_there(scene: Scene) -> None:
    """The network is listed, and containers run on it."""
    assert "green" in scene.networks()
    body = {"Image": "busybox", "Cmd": ["sleep", "1000000"], "HostConfig": {"NetworkMode": "green"}}
    assert scene.api("POST", "/containers/create?name=cc", body).status == 201
    assert scene.api(*START).status == 204
    assert "cc" in members(scene, "green")


def network_gone(scene: Scene) -> None:
    """The network is not there, and its name and subnet are free."""
    assert "green" not in scene.networks()


def members(scene: Scene, network: str) -> set[str]:
    """The names of the containers on a network."""
    found = scene.api("GET", f"/networks/{network}").json["Containers"]
    return {endpoint["Name"] for endpoint in found.values()}


OPERATIONS = (
    Operation("create", (), CREATE, absent, idle),
    Operation("start", (CREATE,), START, idle, serves),
    Operation("connect", (CREATE, START), CONNECT, serves_on_red, serves_on_both),
    Operation("disconnect", (CREATE, START, CONNECT), DISCONNECT, serves_on_both, serves_on_red),
    Operation("stop", (CREATE, START), STOP, serves, idle),
    Operation("restart", (CREATE, START), ("POST", "/containers/cc/restart?t=0", None), idle, serves),
    Operation("rm", (CREATE, START, STOP), ("DELETE", "/containers/cc?v=1", None), idle, absent),
    Operation("rm-f", (CREATE, START), ("DELETE", "/containers/cc?force=1&v=1", None), killed_at_most, absent),
    Operation("stop-rm", (("POST", "/containers/create?name=cc", SHORT_LIVED), START), STOP, serves, absent),
    Operation("network-create", (), NETWORK, network_gone, network_there),
    Operation("network-rm", (NETWORK,), ("DELETE", "/networks/green", None), network_there, network_gone),
)  # fmt: skip
