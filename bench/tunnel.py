"""The way between containers on two hosts, beside VXLAN made by hand on two more.

And then the same two hosts' network without encapsulation, beside the overlay once more, because
its rules are met by all that passes, and the way between the hosts themselves, which nothing
that runs on them can be quicker than.

By hand: a VXLAN device in a bridge on each host, a namespace with a cable to it, no firewall,
no daemon. Both ends of a measurement run on one CPU, so that what is compared is what the
way costs, and not how idle the machine is.

`python -m bench.tunnel` serves; `python -m bench.tunnel ADDRESS SECONDS` asks and prints samples.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median

from tests.lab import Machine, Switch
from tests.lab.machine import CHECKOUT

from bench.clock import alternating
from bench.figures import OURS, Figure, Goal, quotient
from bench.pairs import KINDS, pairs
from bench.subjects import Subject

HAND, BESIDE = "VXLAN by hand", "by hand on fairlead's hosts"
FLAT, RAW = "fairlead, routed", "host to host"
NETWORK, FLAT_NETWORK = "bench-tunnel", "bench-flat"
PORT = 5201
SECONDS = 1.0
ADDRESSES = ("10.78.0.1", "10.78.0.2")
STREAM, TRIP = "one TCP stream, Gbit/s", "a byte there and back, µs (median)"


@dataclass(frozen=True, slots=True)
class End:
    """Where a measurement begins or ends: a machine, and a process in the namespace."""

    machine: Machine
    namespace: str

    def command(self, *words: str) -> list[str]:
        """The command that runs this module there."""
        return ["nsenter", f"--net={self.namespace}", sys.executable, "-m", "bench.tunnel", *words]


@dataclass(frozen=True, slots=True)
class Way:
    """From one end to an address at which something serves."""

    name: str
    asks: End
    address: str


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Each way once a round."""
    del subjects
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        found = stack.enter_context(pairs(switch, KINDS[:1]))
        overlays = (_overlay(pair.name, pair.here, pair.there) for pair in found)
        ways = [stack.enter_context(overlay) for overlay in overlays]
        here, there = found[0].here, found[0].there
        machines = (here.machine, there.machine)
        ways.append(stack.enter_context(_by_hand(BESIDE, *machines, vni=4242)))
        others = (switch.machine("hand-a"), switch.machine("hand-b"))
        ways.append(stack.enter_context(_by_hand(HAND, *others, vni=4242)))
        stream, trip = _sampled(ways, rounds)
        overlay = next(way for way in ways if way.name == OURS)
        without = {"fairlead.encapsulation": "none"}
        flat = stack.enter_context(_overlay(FLAT, here, there, FLAT_NETWORK, without))
        bare = stack.enter_context(_bare(*machines))
        more, trips = _sampled([overlay, flat, bare], rounds)
    inverse, flats = _inverse(trip), _inverse(trips)
    return [
        stream,
        quotient("  fairlead ÷ by hand", stream, OURS, HAND, Goal(0.95, at_least=True)),
        trip,
        quotient("  by hand ÷ fairlead", inverse, OURS, HAND, Goal(0.95, at_least=True)),
        replace(more, name=f"with a routed network: {STREAM}"),
        quotient("  routed ÷ host to host", more, FLAT, RAW),
        quotient("  routed ÷ overlay", more, FLAT, OURS),
        replace(trips, name=f"with a routed network: {TRIP}"),
        quotient("  host to host ÷ routed", flats, FLAT, RAW),
        quotient("  overlay ÷ routed", flats, FLAT, OURS),
    ]


def _sampled(ways: Sequence[Way], rounds: int) -> tuple[Figure, Figure]:
    """How much goes each way, and how long a byte takes."""
    stream, trip = Figure(STREAM, "", more_is_better=True), Figure(TRIP, "")
    for number, way in alternating(ways, rounds + 1):
        said = way.asks.machine.run(
            way.asks.command(way.address, str(SECONDS)), env={"PYTHONPATH": str(CHECKOUT)}
        )
        samples = json.loads(said.stdout)
        if number:  # the first round warms up
            stream.add(way.name, samples["stream"])
            trip.add(way.name, samples["trip"])
    return stream, trip


def _inverse(figure: Figure) -> Figure:
    found = {name: [1 / value for value in values] for name, values in figure.samples.items()}
    return Figure("", "", samples=found)


@contextmanager
def _overlay(
    name: str,
    here: Subject,
    there: Subject,
    network: str = NETWORK,
    options: Mapping[str, str] | None = None,
) -> Iterator[Way]:
    """Two containers on an overlay."""
    body = {"Name": network, "Driver": "overlay", "Options": dict(options or {})}
    here.ask("POST", "/networks/create", body)
    until = time.monotonic() + 30
    while network not in json.dumps(there.ask("GET", "/networks")):
        assert time.monotonic() < until, f"{network} does not come"
        time.sleep(0.01)
    ends, addresses = [], []
    for end, subject in enumerate((here, there)):
        mode = {"NetworkMode": network}
        made = subject.run(f"{network}-{end}", ["sleep", "100000"], HostConfig=mode)
        about = subject.ask("GET", f"/containers/{made}/json")
        addresses.append(about["NetworkSettings"]["Networks"][network]["IPAddress"])
        ends.append(End(subject.machine, f"/proc/{about['State']['Pid']}/ns/net"))
    with _serving(ends[1]):
        yield Way(name, ends[0], addresses[1])


@contextmanager
def _bare(here: Machine, there: Machine) -> Iterator[Way]:
    """The hosts' own namespaces."""
    ends = [End(machine, "/proc/self/ns/net") for machine in (here, there)]
    with _serving(ends[1]):
        yield Way(RAW, ends[0], str(there.address))


@contextmanager
def _by_hand(name: str, *machines: Machine, vni: int) -> Iterator[Way]:
    """A namespace on each of two machines, with a bridge and a VXLAN device between them."""
    ends = []
    for number, machine in enumerate(machines):
        other = machines[1 - number]
        machine.shell(f"""
            ip netns add hand
            ip netns add handbox
            ip link add vx{vni} type vxlan id {vni} local {machine.address} \
                remote {other.address} dstport 4789 nolearning
            ip link set vx{vni} netns hand
            ip -n hand link add br0 type bridge
            ip -n hand link set vx{vni} master br0 up
            ip -n hand link set br0 mtu 1450 up
            ip -n handbox link add eth0 mtu 1450 type veth peer name port mtu 1450 netns hand
            ip -n hand link set port master br0 up
            ip -n handbox addr add {ADDRESSES[number]}/24 dev eth0
            ip -n handbox link set eth0 up
        """)
        ends.append(End(machine, "/run/netns/handbox"))
    with _serving(ends[1]):
        yield Way(name, ends[0], ADDRESSES[1])


@contextmanager
def _serving(end: End) -> Iterator[None]:
    server = end.machine.popen(
        end.command(), stderr=subprocess.PIPE, env={"PYTHONPATH": str(CHECKOUT)}
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n", server.communicate()
    try:
        yield
    finally:
        server.kill()
        server.communicate()


def _serve() -> None:
    """Takes what comes; a connection that begins with `t` gets every byte back."""
    server = socket.create_server(("", PORT))
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if connection.recv(1) == b"t":
            while said := connection.recv(1):
                connection.sendall(said)
            return
        taken, room = 0, bytearray(1 << 20)
        while count := connection.recv_into(room):
            taken += count
        del taken


def _ask(address: str, seconds: float) -> dict[str, float]:
    """How much goes there, and how long a byte takes."""
    with socket.create_connection((address, PORT)) as connection:
        connection.sendall(b"s")
        piece, sent, begun = bytes(1 << 17), 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds:
            connection.sendall(piece)
            sent += len(piece)
    took: list[float] = []
    with socket.create_connection((address, PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"t")
        until = time.perf_counter() + seconds / 2
        while (begun := time.perf_counter()) < until:
            connection.sendall(b"x")
            connection.recv(1)
            took.append((time.perf_counter() - begun) * 1e6)
    return {"stream": sent * 8 / spent / 1e9, "trip": median(took)}


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if len(sys.argv) > 1:
        print(json.dumps(_ask(sys.argv[1], float(sys.argv[2]))))
    else:
        _serve()
