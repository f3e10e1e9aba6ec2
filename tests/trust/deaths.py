"""Counting the steps of an operation, and choosing at which of them somebody dies."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence

from tests.trust.operations import Operation, tidy
from tests.trust.scene import Scene

ALL = bool(os.environ.get("FAIRLEAD_TRUST_ALL"))
NEVER = 1 << 30
MOST = 2
"""Deaths of one operation in a sample."""


KNOWN: dict[str, list[tuple[str, int]]] = {
    "create": [("store", 0)],
    "start": [("kernel: namespace", 0), ("file: open", -2)],
    "connect": [("store", -2)],
    "disconnect": [("store", -2)],
}
"""Points that have found something before, and are in every sample: the kind, and which of it."""


class Seen:
    """The kinds of points at which somebody has died already, so that a sample has them all."""

    def __init__(self, seed: int) -> None:
        self._kinds: set[str] = set()
        self._random = random.Random(seed)

    def sample(self, operation: Operation, points: Sequence[str]) -> list[int]:
        """Some of the points of an operation, new kinds first, counted from 1."""
        if ALL:
            return list(range(1, len(points) + 1))
        numbers = list(range(1, len(points) + 1))
        self._random.shuffle(numbers)
        chosen = [known(points, *which) for which in KNOWN.get(operation.name, [])]
        for number in numbers:
            kind = points[number - 1]
            if kind not in self._kinds:
                self._kinds.add(kind)
                chosen.append(number)
        others = [number for number in numbers if number not in chosen]
        return sorted({*chosen, *others[: max(MOST - len(chosen), 0)]})


def known(points: Sequence[str], kind: str, which: int) -> int:
    """The number of one of the points of a kind."""
    return [number for number, point in enumerate(points, 1) if point == kind][which]


def count(stage: Scene, operation: Operation) -> list[str]:
    """Does an operation with nobody dying; the kinds of its points."""
    if not stage.daemon.running:
        stage.daemon.start()
    tidy(stage)
    operation.prepare(stage)
    stage.order(NEVER)
    answer = operation.ask(stage)
    assert answer is not None
    assert answer.status < 300, answer.body
    stage.quiet()
    points = stage.points()
    operation.done(stage)
    tidy(stage)
    return points


def each(
    stage: Scene,
    operation: Operation,
    numbers: Sequence[int],
    dies: Callable[[Scene, Operation, int], None],
) -> None:
    """Lets somebody die at each of the points, and tells of all that went wrong."""
    wrong: list[str] = []
    for number in numbers:
        before = stage.look()
        operation.prepare(stage)
        try:
            dies(stage, operation, number)
            tidy(stage)
            stage.settles(before)
        except AssertionError as error:
            wrong.append(f"{operation.name}, at point {number} {stage.points()[-1:]}: {error}")
            print(wrong[-1])
            if not stage.daemon.running:
                stage.daemon.start()
            tidy(stage)
    assert not wrong, "\n\n".join(wrong)
