"""Memory: the proportional set size of all processes that a daemon needs, idle and at work.

Pages shared by several processes count once in all. The monitor of each container is apart:
conmon beside us, containerd-shim with Docker, whose sum includes it because nothing runs
without.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab import Machine

from bench.clock import alternating
from bench.figures import OURS, THEIRS, Figure, Goal
from bench.subjects import Subject

NETWORK = "bench-memory"
MANY = 200
"""Containers that fairlead alone is asked for as well: Docker takes minutes for them."""
PARTS = {
    "daemon": re.compile(r"fairlead daemon|dockerd"),
    "dataplane": re.compile(r"fairlead\.dataplane|docker-proxy"),
    "containerd": re.compile(r"containerd "),
    "firewall": re.compile(r"iptables-restore"),
    "monitors": re.compile(r"conmon|containerd-shim"),
}
APART = {OURS: {"monitors"}, THEIRS: set[str]()}


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Idle first, so this comes before all that fills caches; then with containers."""
    count = 50 if rounds > 3 else 10
    idle = Figure("idle", "MB")
    busy = Figure(f"{count} containers, a port each", "MB")
    crowd = Figure(f"{MANY} containers, with their monitors", "MB", Goal(450))
    resident = Figure("  the same as resident sizes added up", "MB")
    parts = {part: Figure(f"  of that: {part}", "MB") for part in PARTS}
    parts["monitors"].name = "  monitors (fairlead's not in the sum)"
    for subject in subjects:
        idle.add(subject.name, _sum(subject))
        subject.ask("POST", "/networks/create", {"Name": NETWORK})
    made: dict[str, list[str]] = {subject.name: [] for subject in subjects}
    for number, subject in alternating(subjects, count):
        made[subject.name].append(_start(subject, number))
    for subject in subjects:
        busy.add(subject.name, _sum(subject))
        for part, size in _sizes_mb(subject.machine).items():
            if size:
                parts[part].add(subject.name, size)
        if subject.name == OURS and rounds > 3:
            made[OURS] += [_start(subject, number) for number in range(count, MANY)]
            crowd.add(OURS, sum(_sizes_mb(subject.machine).values()))
            resident.add(OURS, sum(_sizes_mb(subject.machine, "Rss").values()))
        for container in made[subject.name]:
            subject.remove(container)
        subject.ask("DELETE", f"/networks/{NETWORK}")
    figures = (idle, busy, *parts.values(), crowd, resident)
    return [figure for figure in figures if figure.samples]


def _start(subject: Subject, number: int) -> str:
    host = {
        "NetworkMode": NETWORK,
        "PortBindings": {"80/tcp": [{"HostPort": str(20000 + number)}]},
    }
    exposed: dict[str, object] = {"80/tcp": {}}
    command = ["sleep", "10000"]
    return subject.run(f"bench-m{number}", command, HostConfig=host, ExposedPorts=exposed)


def _sum(subject: Subject) -> float:
    sizes = _sizes_mb(subject.machine)
    return sum(size for part, size in sizes.items() if part not in APART[subject.name])


def _sizes_mb(machine: Machine, kind: str = "Pss") -> dict[str, float]:
    sizes = dict.fromkeys(PARTS, 0.0)
    for process in machine.path("/proc").glob("[0-9]*"):
        part = _part(process)
        if part:
            sizes[part] += _size_mb(process, kind)
    return sizes


def _part(process: Path) -> str:
    """Which part of a daemon a process is, by its command line; none for a container's."""
    try:
        words = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):  # it has ended since we listed it
        return ""
    program = " ".join(words.split(" ")[:5])
    return next((part for part, pattern in PARTS.items() if pattern.search(program)), "")


def _size_mb(process: Path, kind: str) -> float:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
