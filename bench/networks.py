"""The API of networks on one open connection: connect, disconnect, create, remove."""

from __future__ import annotations

from collections.abc import Sequence

from bench.clock import alternating, settle, wall_ms
from bench.figures import Figure, Goal
from bench.subjects import Subject

FIRST, SECOND, THIRD = "bench-first", "bench-second", "bench-third"


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Times each request alone, as a client waits for it."""
    connect = Figure("connect a running container", "ms", Goal(3))
    disconnect = Figure("disconnect it", "ms", Goal(5))
    create = Figure("create a network", "ms", Goal(3))
    remove = Figure("remove it", "ms", Goal(10))
    containers = {}
    for subject in subjects:
        for name in (FIRST, SECOND):
            subject.ask("POST", "/networks/create", {"Name": name})
        host = {"NetworkMode": FIRST}
        containers[subject.name] = subject.run("bench-box", ["sleep", "10000"], HostConfig=host)
    for number, subject in alternating(subjects, rounds + 1):
        who = {"Container": containers[subject.name]}
        steps = (
            (connect, "POST", f"/networks/{SECOND}/connect", who),
            (disconnect, "POST", f"/networks/{SECOND}/disconnect", who),
            (create, "POST", "/networks/create", {"Name": THIRD}),
            (remove, "DELETE", f"/networks/{THIRD}", None),
        )
        for figure, *request in steps:
            settle()
            took = wall_ms(subject.ask, *request)
            if number:  # the first round warms up
                figure.add(subject.name, took)
    for subject in subjects:
        subject.remove(containers[subject.name])
        for name in (FIRST, SECOND):
            subject.ask("DELETE", f"/networks/{name}")
    return [connect, disconnect, create, remove]
