"""What is counted while the daemon runs: plain numbers, which somebody may ask for.

Nothing here knows who asks or how it is shown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; what takes longer is counted after the last."""


@dataclass(slots=True)
class Durations:
    """How often something took how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total_seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total_seconds += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """How many took at most so long, by bound as Prometheus writes it."""
        found, sum_ = [], 0
        for bound, count in zip((*BOUNDS, None), self.counts, strict=True):
            sum_ += count
            found.append(("+Inf" if bound is None else repr(bound), float(sum_)))
        return found


@dataclass(slots=True)
class Tally:
    """What became of the changes of one daemon."""

    changes: dict[str, Durations] = field(default_factory=lambda: defaultdict(Durations))
    """Changes that were made, by kind."""
    failures: Counter[str] = field(default_factory=Counter)
    """Changes that were not, by kind."""
    repairs: int = 0
    """How often the host was compared with the world."""
    drift: int = 0
    """Steps that this took: what was not as the world says."""
    refusals: Counter[int] = field(default_factory=Counter)
    """Steps that the kernel refused, by error number."""
