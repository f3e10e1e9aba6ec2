"""Eight clients at once, each doing random things: every answer is right, and nothing is left.

Each client has containers and networks of its own, of which it knows exactly how they are, and
all of them pull at a few that they share, where an answer is right if some order of the requests
explains it. Nobody waits for ever, no answer is a fault of ours, and at the end the host is as
it was.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.docker.stage import eventually
from tests.lab.daemon import Answer
from tests.trust.scene import Scene

pytestmark = pytest.mark.root

CLIENTS = 8
TURNS = 200
MOST_CONTAINERS, MOST_NETWORKS = 3, 2
SHARED = 3
PATIENCE_SECONDS = 120.0
"""For one answer. Whoever waits longer on a busy machine waits for ever."""

# What the API may say about things that others change at the same moment, in Docker's words.
EXCUSES = (
    "No such container", "not found", "already in use", "already exists", "already in progress",
    "is not running", "is not connected to", "has active endpoints", "marked for removal",
    "is already running", "removal of container", "endpoint with name",
)  # fmt: skip


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """A daemon with an image and one network that nobody removes."""
    with ExitStack() as stack:
        made = Scene(stack)
        made.daemon.import_busybox()
        made.daemon.docker("network", "create", "plaza")
        # What the first container leaves for all that come, such as its image's root.
        made.daemon.docker("run", "--rm", "--network", "plaza", "busybox", "true")
        # Its cable is the kernel's to end, which takes its time.
        eventually(lambda: "veth" not in made.host.shell("ls /sys/class/net").stdout)
        yield made


@dataclass
class Own:
    """A container as its only owner knows it."""

    running: bool = False
    networks: set[str] = field(default_factory=set)


class Client:
    """One client, its things, and what it found wrong."""

    def __init__(self, scene: Scene, number: int, seed: int) -> None:
        self.scene = scene
        self.name = f"client{number}"
        self.random = random.Random(f"{seed}-{number}")
        self.containers: dict[str, Own] = {}
        self.networks: set[str] = set()
        self.drawn = 0

    def live(self) -> None:
        """All turns of this client."""
        turns: list[Callable[[], None]] = [
            self.create, self.create, self.start, self.start, self.stop, self.remove, self.connect,
            self.connect, self.disconnect, self.make_network, self.drop_network, self.look,
            self.list, self.share, self.share, self.share, self.share,
        ]  # fmt: skip
        for _ in range(TURNS):
            self.random.choice(turns)()

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Asks, and waits for an answer that is none of our faults."""
        answer = self.scene.daemon.api(method, path, body, timeout=PATIENCE_SECONDS)
        if answer.status >= 500:
            assert any(text in answer.body.decode() for text in EXCUSES), (path, answer)
        return answer

    def must(self, status: int, method: str, path: str, body: object = None) -> Any:
        """Asks for something of one's own, which nobody can get in the way of."""
        answer = self.ask(method, path, body)
        assert answer.status == status, (method, path, answer.status, answer.body)
        return answer.json if answer.body else None

    def new(self) -> str:
        self.drawn += 1
        return f"{self.name}-{self.drawn}"

    def one(self, running: bool | None = None) -> str:
        """A container of one's own, or none."""
        fit = [n for n, own in self.containers.items() if running in (None, own.running)]
        return self.random.choice(sorted(fit)) if fit else ""

    # One's own

    def create(self) -> None:
        if len(self.containers) == MOST_CONTAINERS:
            return
        name = self.new()
        network = self.random.choice(["plaza", *sorted(self.networks)])
        self.must(201, "POST", f"/containers/create?name={name}", body(network, self.random))
        self.containers[name] = Own(False, {network})

    def start(self) -> None:
        if name := self.one():
            already = self.containers[name].running
            self.must(304 if already else 204, "POST", f"/containers/{name}/start")
            self.containers[name].running = True

    def stop(self) -> None:
        if name := self.one():
            running = self.containers[name].running
            self.must(204 if running else 304, "POST", f"/containers/{name}/stop?t=0")
            self.containers[name].running = False

    def remove(self) -> None:
        if name := self.one():
            self.must(204, "DELETE", f"/containers/{name}?force=1&v=1")
            del self.containers[name]
            self.must(404, "GET", f"/containers/{name}/json")

    def connect(self) -> None:
        if (name := self.one()) and (free := {"plaza", *self.networks} - self.on(name)):
            network = self.random.choice(sorted(free))
            self.must(200, "POST", f"/networks/{network}/connect", {"Container": name})
            self.containers[name].networks.add(network)

    def disconnect(self) -> None:
        if (name := self.one()) and (on := self.on(name)):
            network = self.random.choice(sorted(on))
            self.must(200, "POST", f"/networks/{network}/disconnect", {"Container": name})
            self.containers[name].networks.remove(network)

    def on(self, name: str) -> set[str]:
        return self.containers[name].networks

    def make_network(self) -> None:
        if len(self.networks) < MOST_NETWORKS:
            name = self.new()
            self.must(201, "POST", "/networks/create", {"Name": name})
            self.networks.add(name)

    def drop_network(self) -> None:
        free = [n for n in self.networks if not any(n in self.on(c) for c in self.containers)]
        if free:
            name = self.random.choice(sorted(free))
            self.must(204, "DELETE", f"/networks/{name}")
            self.networks.remove(name)
            self.must(404, "GET", f"/networks/{name}")

    def look(self) -> None:
        if name := self.one():
            shown, own = self.must(200, "GET", f"/containers/{name}/json"), self.containers[name]
            assert shown["State"]["Running"] == own.running, (name, shown["State"])
            endpoints = shown["NetworkSettings"]["Networks"]
            assert set(endpoints) == own.networks, name
            assert all(bool(e["IPAddress"]) == own.running for e in endpoints.values()), endpoints

    def list(self) -> None:
        listed = {
            c["Names"][0].removeprefix("/"): c["State"] == "running"
            for c in self.must(200, "GET", "/containers/json?all=1")
        }
        mine = {name: own.running for name, own in self.containers.items()}
        assert {n: r for n, r in listed.items() if n.startswith(f"{self.name}-")} == mine
        networks = {net["Name"] for net in self.must(200, "GET", "/networks")}
        assert {n for n in networks if n.startswith(f"{self.name}-")} == self.networks

    # What all pull at

    def share(self) -> None:
        """Whatever others do to it meanwhile, the answer is a success or names the reason."""
        box, net = (f"shared-{self.random.randrange(SHARED)}" for _ in range(2))
        asked: tuple[str, str, object] = self.random.choice([
            ("POST", f"/containers/create?name={box}", body("plaza", self.random)),
            ("POST", f"/containers/create?name={box}", body(net, self.random)),
            ("POST", f"/containers/{box}/start", None),
            ("POST", f"/containers/{box}/start", None),
            ("POST", f"/containers/{box}/stop?t=0", None),
            ("POST", f"/containers/{box}/restart?t=0", None),
            ("DELETE", f"/containers/{box}?force=1&v=1", None),
            ("POST", "/networks/create", {"Name": net}),
            ("POST", "/networks/create", {"Name": net}),
            ("DELETE", f"/networks/{net}", None),
            ("POST", f"/networks/{net}/connect", {"Container": box}),
            ("POST", f"/networks/{net}/disconnect", {"Container": box, "Force": True}),
            ("GET", f"/containers/{box}/json", None),
            ("GET", f"/networks/{net}", None),
        ])  # fmt: skip
        answer = self.ask(*asked)
        right = answer.status < 400 or any(text in answer.body.decode() for text in EXCUSES)
        assert right, (asked, answer.status, answer.body)


def body(network: str, dice: random.Random) -> dict[str, object]:
    """A container on a network, now and then with a volume and a port that the host chooses."""
    made: dict[str, Any] = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000000"],
        "HostConfig": {"NetworkMode": network},
    }
    if dice.random() < 0.3:
        made["ExposedPorts"] = {"80/tcp": {}, "53/udp": {}}
        made["HostConfig"]["PublishAllPorts"] = True
    if dice.random() < 0.3:
        made["Volumes"] = {"/kept": {}}
    return made


def test_a_crowd(stage: Scene) -> None:
    """Nobody is told anything wrong, and all that they made can be removed without a trace."""
    seed = int(os.environ.get("FAIRLEAD_TRUST_SEED") or random.randrange(1 << 20))
    print(f"FAIRLEAD_TRUST_SEED={seed}")
    before = stage.look()
    clients = [Client(stage, number, seed) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client.live) for client in clients]:
            done.result()
    for client in clients:
        client.list()
    addresses_differ(stage)
    assert stage.plan() == []
    for container in stage.api("GET", "/containers/json?all=1").json:
        assert stage.api("DELETE", f"/containers/{container['Id']}?force=1&v=1").status == 204
    for name in stage.networks() - {"bridge", "host", "none", "plaza"}:
        assert stage.api("DELETE", f"/networks/{name}").status == 204
    assert stage.api("GET", "/volumes").json["Volumes"] in ([], None)
    stage.settles(before)


def addresses_differ(stage: Scene) -> None:
    """No two containers have an address of one network."""
    for name in stage.networks():
        shown = stage.api("GET", f"/networks/{name}").json["Containers"].values()
        addresses = [endpoint["IPv4Address"] for endpoint in shown if endpoint["IPv4Address"]]
        assert len(addresses) == len(set(addresses)), (name, addresses)
