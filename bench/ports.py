"""Two hundred published ports on one container, and connections to a thousand.

`python -m bench.ports ADDRESS FIRST COUNT CONNECTIONS` connects to so many ports in turn and
prints how many connections a second there were.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.lab import Daemon, Machine, Switch
from tests.lab.machine import CHECKOUT

from bench.clock import alternating, settle, wall_ms
from bench.figures import OURS, THEIRS, Figure, Goal
from bench.subjects import Subject, started

NFTABLES = "fairlead with nftables"
COUNT, MANY = 200, 1000
SEPARATE, RANGE = "each by itself", "one range"
STEPS = {SEPARATE: 2, RANGE: 1}
"""How far the host's ports are from each other: only neighbours can be told as a range."""
FIRST_PORT = 20000
NETWORK = "bench-ports"
SERVER = """
import socket
server = socket.create_server(("0.0.0.0", 80), backlog=1024)
while True:
    server.accept()[0].close()
"""
CONNECTIONS = 3000


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Start and removal of a container with the ports; Docker, being slow, takes one round."""
    start = {kind: Figure(f"start, {kind}", "s", Goal(0.5)) for kind in STEPS}
    remove = {kind: Figure(f"remove, {kind}", "s", Goal(0.5)) for kind in STEPS}
    proxies = Figure("proxy processes", "", Goal(1))
    with nftables() as other:
        everyone = [*subjects, other]
        for subject in everyone:
            subject.ask("POST", "/networks/create", {"Name": NETWORK})
        for number, subject in alternating(everyone, rounds):
            if subject.name == THEIRS and number:
                continue
            for kind, step in STEPS.items():
                container = created(subject, COUNT, step)
                settle()
                begun = wall_ms(subject.ask, "POST", f"/containers/{container}/start")
                start[kind].add(subject.name, begun / 1000)
                if kind == SEPARATE:
                    proxies.add(subject.name, _proxies(subject.machine))
                settle()
                remove[kind].add(subject.name, wall_ms(subject.remove, container) / 1000)
        for subject in everyone:
            subject.ask("DELETE", f"/networks/{NETWORK}")
    return [*start.values(), *remove.values(), proxies]


def connections(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """New connections from another machine, where one port is published and where many are."""
    del subjects
    figures: list[Figure] = []
    for backend in ("nftables", "iptables"):
        rate = {
            count: Figure(f"{backend}, {count} ports: connections a second", "")
            for count in (1, MANY)
        }
        with Switch() as switch, ExitStack() as stack:
            client = switch.machine("client")
            doors = [
                stack.enter_context(_door(switch, backend, count, f"{backend}{count}"))
                for count in (1, MANY)
            ]
            for number, door in alternating(doors, rounds + 1):
                settle()
                found = _rate(client, door)
                if number:  # the first round warms up
                    rate[door.count].add(OURS, found)
        figures += [*rate.values(), _share(backend, rate[MANY], rate[1])]
    return figures


@dataclass(frozen=True, slots=True)
class _Door:
    """A machine on which a server in a container is published on so many ports."""

    machine: Machine
    count: int


@contextmanager
def nftables() -> Iterator[Subject]:
    """fairlead with the other firewall, in a machine of its own."""
    with Switch() as switch:
        machine = switch.machine("nftables")
        daemon = Daemon(machine, "--firewall-backend", "nftables")
        with started(NFTABLES, machine, daemon) as subject:
            yield subject


def created(subject: Subject, count: int, step: int) -> str:
    """A container with so many ports, on its way to be started."""
    ports = [f"{1000 + number}/tcp" for number in range(count)]
    bindings = {
        port: [{"HostPort": str(FIRST_PORT + number * step)}] for number, port in enumerate(ports)
    }
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "10000"],
        "StopSignal": "SIGKILL",
        "ExposedPorts": {port: {} for port in ports},
        "HostConfig": {"NetworkMode": NETWORK, "PortBindings": bindings},
    }
    return str(subject.ask("POST", "/containers/create?name=bench-ports", body)["Id"])


@contextmanager
def _door(switch: Switch, backend: str, count: int, name: str) -> Iterator[_Door]:
    machine = switch.machine(name)
    daemon = Daemon(machine, "--firewall-backend", backend)
    with started(name, machine, daemon) as subject:
        # All lead to one port, each by a rule of its own: 20000 and 20001 are no range then.
        host = [{"HostPort": str(FIRST_PORT + number)} for number in range(count)]
        container = subject.run(
            "bench-door",
            ["sleep", "10000"],
            HostConfig={"PortBindings": {"80/tcp": host}},
            ExposedPorts={"80/tcp": {}},
        )
        enter = ["nsenter", f"--net=/proc/{subject.pid(container)}/ns/net"]
        with machine.popen([*enter, sys.executable, "-c", SERVER]) as server:
            try:
                yield _Door(machine, count)
            finally:
                server.kill()


def _rate(client: Machine, door: _Door) -> float:
    command = [
        sys.executable, "-m", "bench.ports", str(door.machine.address),
        str(FIRST_PORT), str(door.count), str(CONNECTIONS),
    ]  # fmt: skip
    return float(client.run(command, env={"PYTHONPATH": str(CHECKOUT)}, timeout=120).stdout)


def _share(backend: str, many: Figure, one: Figure) -> Figure:
    goal = Goal(0.9, at_least=True) if backend == "nftables" else None
    share = many.of(OURS) / one.of(OURS)
    return Figure(f"{backend}: ratio", "", goal, more_is_better=True, samples={OURS: [share]})


def _proxies(machine: Machine) -> int:
    """The processes that pass on what comes to published ports."""
    words = ("docker-proxy", "fairlead.dataplane")
    return sum(any(word in line for word in words) for line in machine.processes())


def _connect(address: str, first: int, count: int, connections: int) -> float:
    abort = struct.pack("ii", 1, 0)
    begun = time.perf_counter()
    for number in range(connections):
        with socket.create_connection((address, first + number % count), 10) as sock:
            # Without it the client's own ports would all wait for their end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abort)
    return connections / (time.perf_counter() - begun)


def main() -> None:
    """Prints the rate."""
    first, count, connections = map(int, sys.argv[2:])
    deadline = time.monotonic() + 20
    while True:
        try:
            _connect(sys.argv[1], first, 1, 1)
            break
        except OSError:
            # The server is only just starting.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    print(_connect(sys.argv[1], first, count, connections))


if __name__ == "__main__":
    main()
