"""Names: how many a second and how soon, asked from inside a container's namespace.

dnsperf asks; dnsmasq answers the same names beside fairlead's resolver, in the same namespace
and the same rounds. dnsperf is kept on one CPU, so that servers have the others. The rate is
that of up to a hundred queries that wait for their answer; latency is taken at a steady pace
that no server has trouble with (dnsperf cannot wait for each answer without dawdling).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from statistics import quantiles

from tests.lab import Machine
from tests.lab.process import Process

from bench.clock import alternating
from bench.figures import OURS, Figure, Goal, quotient
from bench.subjects import Subject

NETWORK = "bench-names"
RESOLVER, BESIDE = "127.0.0.11", "127.0.0.12"
CONTAINERS, ALIASES = 10, 20
CLIENTS = (1, 8)
WAITING = 100
SECONDS = 1
PACE = 1500
# Few enough for a resolver that keeps each waiting for seconds.
DEAD, DEAD_PACE, DEAD_SECONDS = "127.0.0.53", 20, 3
DNSMASQ = "dnsmasq"
DOMAIN = "bench.test"
ANSWERED = re.compile(r"^> NOERROR \S+ \S+ ([0-9.]+)", re.MULTILINE)
RATE = re.compile(r"Queries per second:\s+([0-9.]+)")


class NoAnswer(RuntimeError):
    """dnsperf did not get answers."""


@dataclass(frozen=True, slots=True)
class Server:
    """A name server to ask, from inside a container."""

    name: str
    machine: Machine
    pid: int
    address: str


def own(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Names of containers."""
    with ExitStack() as stack:
        servers = []
        for subject in subjects:
            asker = stack.enter_context(_population(subject))
            hosts = "".join(f"192.0.2.1 {name}\n" for name in _names())
            _write(subject.machine, "/run/bench-queries", (f"{name} A" for name in _names()))
            subject.machine.path("/run/bench-hosts").write_text(hosts)
            servers.append(Server(subject.name, subject.machine, asker, RESOLVER))
            if subject.name == OURS:
                flags = ["--no-resolv", "--addn-hosts=/run/bench-hosts"]
                stack.enter_context(_dnsmasq(subject.machine, flags, BESIDE, asker))
                servers.append(Server(DNSMASQ, subject.machine, asker, BESIDE))
        return _ask(servers, rounds, Goal(0.8, at_least=True))


def forwarded(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Names of the world, each asked for anew: they have no time to live."""
    return _forwarded(subjects, rounds, 0, ["--cache-size=0"])


def kept(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Names of the world that live for minutes: who keeps answers need not ask again."""
    return _forwarded(subjects, rounds, 300, [])


def _forwarded(
    subjects: Sequence[Subject], rounds: int, ttl_seconds: int, beside: Sequence[str]
) -> list[Figure]:
    """A dnsmasq on the machine plays the world; beside us, another that forwards to it."""
    with ExitStack() as stack:
        servers = []
        for subject in subjects:
            machine, address = subject.machine, str(subject.machine.address)
            stack.enter_context(_world(machine, ttl_seconds, address))
            asker = stack.enter_context(_population(subject))
            asked = (f"name{i}.{DOMAIN} A" for i in range(CONTAINERS * ALIASES))
            _write(machine, "/run/bench-queries", asked)
            servers.append(Server(subject.name, machine, asker, RESOLVER))
            if subject.name == OURS:
                flags = ["--no-resolv", f"--server={address}", *beside]
                stack.enter_context(_dnsmasq(machine, flags, BESIDE, asker))
                servers.append(Server(DNSMASQ, machine, asker, BESIDE))
        return _ask(servers, rounds, None)


def dead(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Names of the world, the first of three name servers being dead; few, and each just once."""
    middle, slow = Figure("p50", "ms"), Figure("p99", "ms", Goal(100))
    with ExitStack() as stack:
        servers = []
        for subject in subjects:
            machine, address = subject.machine, str(subject.machine.address)
            listen = f"import signal, socket; s = socket.socket(type=2); s.bind(('{DEAD}', 53));"
            silent = [sys.executable, "-c", f"{listen} signal.pause()"]
            stack.callback(stack.enter_context(machine.popen(silent)).kill)
            stack.enter_context(_world(machine, 300, f"{address},127.0.0.1"))
            resolv = machine.path("/etc/resolv.conf")
            stack.callback(resolv.write_text, resolv.read_text())
            resolv.write_text("".join(f"nameserver {a}\n" for a in (DEAD, address, "127.0.0.1")))
            asker = stack.enter_context(_population(subject))
            servers.append(Server(subject.name, machine, asker, RESOLVER))
        for number, server in alternating(servers, rounds):
            asked = (f"n{number}-{i}.{DOMAIN} A" for i in range(DEAD_PACE * DEAD_SECONDS))
            _write(server.machine, "/run/bench-queries", asked)
            flags = ("-l", str(DEAD_SECONDS), "-Q", str(DEAD_PACE), "-t", "10", "-v")
            found = [float(s) * 1e3 for s in ANSWERED.findall(_dnsperf(server, *flags))]
            if len(found) < DEAD_PACE * DEAD_SECONDS // 2:
                raise NoAnswer(f"{server.name}: {len(found)} answers")
            cuts = quantiles(found, n=100)
            middle.add(server.name, cuts[49])
            slow.add(server.name, cuts[98])
    return [middle, slow]


def _world(machine: Machine, ttl_seconds: int, address: str) -> AbstractContextManager[Process]:
    flags = ["--no-resolv", f"--address=/{DOMAIN}/192.0.2.1", f"--local-ttl={ttl_seconds}"]
    return _dnsmasq(machine, flags, address)


def _ask(servers: Sequence[Server], rounds: int, goal: Goal | None) -> list[Figure]:
    figures = []
    for clients in CLIENTS:
        word = f"{clients} client{'s' if clients > 1 else ''}"
        rate = Figure(f"{word}: queries a second", "/s", more_is_better=True)
        middle, slow = Figure(f"{word}: p50", "µs"), Figure(f"{word}: p99", "µs")
        for _, server in alternating(servers, rounds):
            rate.add(server.name, _rate(server, clients))
            cuts = quantiles(_latencies_us(server, clients), n=100)
            middle.add(server.name, cuts[49])
            slow.add(server.name, cuts[98])
        figures += [rate, middle, slow]
        if goal:
            figures.append(quotient(f"{word}: share of dnsmasq's rate", rate, OURS, DNSMASQ, goal))
    return figures


@contextmanager
def _population(subject: Subject) -> Iterator[int]:
    """Containers with names on a network of their own; yields the first process of the asker."""
    subject.ask("POST", "/networks/create", {"Name": NETWORK})
    made = []
    for number in range(CONTAINERS):
        settings = {"EndpointsConfig": {NETWORK: {"Aliases": _names()[number::CONTAINERS]}}}
        made.append(
            subject.run(
                f"bench-named-{number}", ["sleep", "10000"],
                HostConfig={"NetworkMode": NETWORK}, NetworkingConfig=settings,
            )
        )  # fmt: skip
    try:
        yield subject.pid(made[0])
    finally:
        for container in made:
            subject.remove(container)
        subject.ask("DELETE", f"/networks/{NETWORK}")


def _names() -> list[str]:
    return [f"name{i}" for i in range(CONTAINERS * ALIASES)]


def _write(machine: Machine, path: str, lines: Iterator[str]) -> None:
    machine.path(path).write_text("".join(f"{line}\n" for line in lines))


@contextmanager
def _dnsmasq(
    machine: Machine, flags: Sequence[str], address: str, pid: int | None = None
) -> Iterator[Process]:
    """A dnsmasq on a machine, or in the namespace of a container of it."""
    command = [
        DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--user=root",
        "--pid-file=", "--bind-interfaces", f"--listen-address={address}",
        "--dns-forward-max=1000", *flags,
    ]  # fmt: skip
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid else []
    with machine.popen([*enter, *command]) as process:
        try:
            yield process
        finally:
            process.kill()


def _dnsperf(server: Server, *flags: str) -> str:
    last = str(max(os.sched_getaffinity(0)))
    command = [
        "nsenter", f"--net=/proc/{server.pid}/ns/net", "taskset", "--cpu-list", last, "dnsperf",
        "-s", server.address, "-d", "/run/bench-queries", *flags,
    ]  # fmt: skip
    return server.machine.run(command).stdout


def _rate(server: Server, clients: int) -> float:
    said = _dnsperf(server, "-l", str(SECONDS), "-c", str(clients), "-q", str(WAITING))
    found = RATE.search(said)
    if found is None or float(found[1]) == 0:
        raise NoAnswer(f"{server.name}: {said}")
    return float(found[1])


def _latencies_us(server: Server, clients: int) -> list[float]:
    said = _dnsperf(server, "-l", str(SECONDS), "-c", str(clients), "-Q", str(PACE), "-v")
    found = [float(seconds) * 1e6 for seconds in ANSWERED.findall(said)]
    if len(found) < PACE * SECONDS // 2:
        raise NoAnswer(f"{server.name}: {said[-2000:]}")
    return found
