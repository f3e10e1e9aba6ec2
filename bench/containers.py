"""`docker run --rm … true`: from the command line to the prompt again, and the network's share."""

from __future__ import annotations

from collections.abc import Sequence

from bench.clock import alternating, settle, wall_ms
from bench.figures import Figure, Goal, difference
from bench.subjects import IMAGE, Subject

NETWORK = "bench-run"
NONE, DEFAULT, USER, PORT = "no network", "default bridge", "user network", "user network, one port"
FLAGS = {
    NONE: ("--network", "none"),
    DEFAULT: (),
    USER: ("--network", NETWORK),
    PORT: ("--network", NETWORK, "--publish", "18080:80"),
}
GOALS = {USER: Goal(130)}


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Times whole runs, one kind after another in each round."""
    figures = {kind: Figure(kind, "ms", GOALS.get(kind)) for kind in FLAGS}
    for subject in subjects:
        subject.ask("POST", "/networks/create", {"Name": NETWORK})
        for flags in FLAGS.values():  # once to warm up
            _run(subject, flags)
    for _, subject in alternating(subjects, rounds):
        for kind, flags in FLAGS.items():
            settle()
            figures[kind].add(subject.name, wall_ms(_run, subject, flags))
    for subject in subjects:
        subject.ask("DELETE", f"/networks/{NETWORK}")
    share = difference("the network's share", figures[USER], figures[NONE], Goal(8))
    return [*figures.values(), share]


def _run(subject: Subject, flags: Sequence[str]) -> None:
    subject.daemon.docker("run", "--rm", *flags, IMAGE, "true")
