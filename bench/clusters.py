"""What is done on one host of a cluster, and when another host has it.

`python -m bench.clusters ADDRESS` runs in the namespace of a container elsewhere: it says
"ready", asks for an address by ARP and then for an echo, each every millisecond, and prints when
the first echo came. The kernel's own ARP would wait a second after a question too early.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from http.client import HTTPConnection

from tests.lab import Switch
from tests.lab.machine import CHECKOUT

from bench.client import UnixConnection
from bench.clock import alternating, settle
from bench.figures import Figure, Goal
from bench.pairs import Pair, pairs
from bench.subjects import Subject

NETWORK, SUBNET, TARGET = "bench-overlay", "10.77.0.0/24", "10.77.0.100"
PATIENCE_SECONDS = 30.0
ARP = 0x0806
ECHO = struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0)
"""An ICMP echo request with nothing in it."""
SEEN = "create a network → another host shows it"
LOST = "remove it → another host shows it no more"
FIRST = "a container has started → its first packet to and from another host"
WHOLE = "  the same from the request to start it"
START = "  the request itself"


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Each pair once a round: a network made and removed, a container started."""
    del subjects
    figures = {
        name: Figure(name, "ms", goal)
        for name, goal in (
            (SEEN, Goal(50)), (LOST, None), (FIRST, Goal(20)), (WHOLE, None), (START, None),
        )
    }  # fmt: skip
    with Switch() as switch, pairs(switch) as found:
        for pair in found:
            _prepare(pair)
        for number, pair in alternating(found, rounds + 1):
            for name, took_ms in {**_network(pair, number), **_join(pair, number)}.items():
                if number:  # the first round warms up
                    figures[name].add(pair.name, took_ms)
    return [*figures.values()]


def _prepare(pair: Pair) -> None:
    """A network with a container on the other host, from which will be asked."""
    pool = {"Config": [{"Subnet": SUBNET}]}
    pair.here.ask("POST", "/networks/create", {"Name": NETWORK, "Driver": "overlay", "IPAM": pool})
    _until(_connection(pair.there), NETWORK, there=True)
    pair.there.run("asker", ["sleep", "100000"], HostConfig={"NetworkMode": NETWORK})


def _network(pair: Pair, number: int) -> dict[str, float]:
    name = f"bench-{number}"
    settle()
    with _Watching(pair.there, name, there=True) as seen:
        pair.here.ask("POST", "/networks/create", {"Name": name, "Driver": "overlay"})
    settle()
    with _Watching(pair.there, name, there=False) as lost:
        pair.here.ask("DELETE", f"/networks/{name}")
    return {SEEN: seen.took_ms, LOST: lost.took_ms}


def _join(pair: Pair, number: int) -> dict[str, float]:
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "100000"],
        "StopSignal": "SIGKILL",
        "HostConfig": {"NetworkMode": NETWORK},
        "NetworkingConfig": {"EndpointsConfig": {NETWORK: {"IPAMConfig": {"IPv4Address": TARGET}}}},
    }
    made = pair.here.ask("POST", f"/containers/create?name=joins-{number}", body)["Id"]
    pid = pair.there.pid("asker")
    settle()
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable, "-m", "bench.clusters"]
    asker = pair.there.machine.popen(
        [*command, TARGET], stderr=subprocess.PIPE, env={"PYTHONPATH": str(CHECKOUT)}
    )
    with asker:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "ready\n", asker.communicate()
        begun = time.time()
        pair.here.ask("POST", f"/containers/{made}/start")
        ended = time.time()
        heard = float(asker.communicate(timeout=2 * PATIENCE_SECONDS)[0])
    started = _moment(pair.here.ask("GET", f"/containers/{made}/json")["State"]["StartedAt"])
    pair.here.remove(made)
    return {
        FIRST: max(heard - started, 0) * 1000,
        WHOLE: (heard - begun) * 1000,
        START: (ended - begun) * 1000,
    }


def _moment(text: str) -> float:
    """When something was, in seconds; Docker writes nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


class _Watching:
    """Asks a daemon all the time until it shows a network, or shows it no more."""

    def __init__(self, subject: Subject, name: str, *, there: bool) -> None:
        self.took_ms = 0.0
        self._connection = _connection(subject)
        self._name, self._there = name, there
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _Watching:
        self._connection.connect()
        self._begun = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        _until(self._connection, self._name, there=self._there)
        self.took_ms = (time.perf_counter() - self._begun) * 1000


def _connection(subject: Subject) -> HTTPConnection:
    return UnixConnection(str(subject.daemon.socket), 60)


def _until(connection: HTTPConnection, name: str, *, there: bool) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        connection.request("GET", f"/networks/{name}")
        answer = connection.getresponse()
        answer.read()
        if (answer.status == 200) is there:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"network {name} did not come or go")
        time.sleep(0.001)


def _ask(address: str) -> float:
    """When the first echo came back."""
    deadline = time.time() + PATIENCE_SECONDS
    mac = _resolve(address, deadline)
    subprocess.run(
        ["ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent"],
        check=True,
    )
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as asking:
        asking.settimeout(0.001)
        while time.time() < deadline:
            asking.sendto(ECHO, (address, 0))
            try:
                said, who = asking.recvfrom(2000)
            except TimeoutError:
                continue
            if who[0] == address and said[20] == 0:
                return time.time()
    raise TimeoutError(f"{address} never answered")


def _resolve(address: str, deadline: float) -> str:
    """The MAC of an address, as soon as anybody tells it."""
    wanted = socket.inet_aton(address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP)) as asking:
        asking.bind(("eth0", ARP))
        asking.settimeout(0.001)
        mine = asking.getsockname()[4]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
            looking.connect((address, 9))
            own = socket.inet_aton(looking.getsockname()[0])
        head = b"\xff" * 6 + mine + struct.pack("!HHHBBH", ARP, 1, 0x0800, 6, 4, 1)
        question = head + mine + own + bytes(6) + wanted
        print("ready", flush=True)
        while time.time() < deadline:
            asking.send(question)
            try:
                said = asking.recv(2000)
            except TimeoutError:
                continue
            if said[20:22] == b"\x00\x02" and said[28:32] == wanted:
                return said[22:28].hex(":")
    raise TimeoutError(f"nobody tells who has {address}")


if __name__ == "__main__":
    print(_ask(sys.argv[1]))
