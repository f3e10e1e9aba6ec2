"""Many things that are due soon, and one timer.

Rule: nothing is taken out. Whoever is called although nothing is due any more
says so by doing nothing; that is cheaper than a timer for each of thousands of
questions, nearly all of which are answered first.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

TURN_SECONDS = 0.01


class Timed(Protocol):
    """Something that asked to be called."""

    def tick(self, now: float) -> None:
        """It may be due."""


class Wheel:
    """Calls back when it is time, a hundredth of a second late at most."""

    def __init__(self) -> None:
        self._due: dict[int, list[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float, timed: Timed) -> None:
        """Call something back, at a time of the loop's clock."""
        slot = int(when / TURN_SECONDS) + 1
        waiting = self._due.get(slot)
        if waiting is None:
            self._due[slot] = [timed]
        else:
            waiting.append(timed)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TURN_SECONDS, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        last = int(now / TURN_SECONDS)
        try:
            for slot in sorted(slot for slot in self._due if slot <= last):
                for timed in self._due.pop(slot):
                    timed.tick(now)
        finally:
            self._timer = loop.call_later(TURN_SECONDS, self._turn) if self._due else None

    def close(self) -> None:
        """Call nobody any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
