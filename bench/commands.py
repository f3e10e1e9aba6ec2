"""The command line: what a command that only asks the daemon costs in CPU time."""

from __future__ import annotations

from collections.abc import Sequence

from bench.clock import alternating, child_cpu_ms
from bench.figures import OURS, Figure
from bench.subjects import Subject


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Each daemon by its own command line."""
    figure = Figure("network ls", "ms CPU")
    for _, subject in alternating(subjects, rounds):
        run = subject.daemon.fairlead if subject.name == OURS else subject.daemon.docker
        figure.add(subject.name, child_cpu_ms(run, "network", "ls"))
    return [figure]
