"""Clocks: wall time and CPU time of a call, in milliseconds; rounds that alternate."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


SETTLE_SECONDS = 0.1
"""Network namespaces share locks of the kernel; what one daemon left it to do delays the other."""


def settle() -> None:
    """Lets the kernel finish what it does in the background."""
    time.sleep(SETTLE_SECONDS)


def wall_ms(work: Callable[..., object], *arguments: object) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - begun) * 1000


def child_cpu_ms(work: Callable[..., object], *arguments: object) -> float:
    """How much CPU the child processes of a call use that end in it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used * 1000


def alternating(things: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Each thing once a round, the other way round every second time, so that none is favoured."""
    for number in range(rounds):
        for thing in things if number % 2 == 0 else reversed(things):
            yield number, thing
