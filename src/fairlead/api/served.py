"""What became of requests: counted by route, and told one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from fairlead.controller.tally import Durations


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was answered, or whose connection was handed over (101)."""

    method: str
    path: str
    route: str
    """The pattern that it fitted; empty: none."""
    status: int
    seconds: float
    reason: str = ""


@dataclass(slots=True)
class Traffic:
    """All requests so far; `tell` hears of each."""

    tell: Callable[[Served], None] = lambda _: None
    statuses: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    durations: dict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    """Of answers that were made in one piece, by route."""

    def add(self, served: Served) -> None:
        """Count a request, and tell of it."""
        self.statuses[served.method, served.route, served.status] += 1
        self.durations[served.route].add(served.seconds)
        self.tell(served)
