"""Figures: samples of both daemons under one name, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

OURS, THEIRS = "fairlead", "docker"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure of ours should be."""

    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether the value is on the right side of the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(slots=True)
class Figure:
    """One thing measured: samples by subject. Less is better unless said otherwise."""

    name: str
    unit: str
    goal: Goal | None = None
    more_is_better: bool = False
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, subject: str, value: float) -> None:
        """Keeps one sample."""
        self.samples.setdefault(subject, []).append(value)

    def of(self, subject: str) -> float:
        """The median of a subject's samples."""
        return median(self.samples[subject])


def difference(name: str, whole: Figure, part: Figure, goal: Goal | None = None) -> Figure:
    """What `whole` costs more than `part`, of each subject that has both."""
    shared = whole.samples.keys() & part.samples.keys()
    found = {subject: [whole.of(subject) - part.of(subject)] for subject in shared}
    return Figure(name, whole.unit, goal, samples=found)


def quotient(
    name: str, figure: Figure, subject: str, other: str, goal: Goal | None = None
) -> Figure:
    """A subject's median as a share of another's."""
    share = figure.of(subject) / figure.of(other)
    return Figure(name, "", goal, more_is_better=True, samples={subject: [share]})


def table(title: str, figures: Iterable[Figure]) -> str:
    """Figures as aligned lines under a title."""
    rows = [_row(figure) for figure in figures]
    heads = ("", OURS, "Docker 20.10", "ratio", "others", "goal")
    used = [i for i, _ in enumerate(heads) if i == 0 or any(row[i] for row in rows)]
    widths = {i: max(len(row[i]) for row in [heads, *rows]) for i in used}
    cells = (("  ".join(row[i].ljust(widths[i]) for i in used)).rstrip() for row in [heads, *rows])
    return "\n".join([title, *(f"  {line}" for line in cells)])


def _row(figure: Figure) -> tuple[str, ...]:
    samples = dict(figure.samples)
    ours, theirs = samples.pop(OURS, []), samples.pop(THEIRS, [])
    ratio = ""
    if ours and theirs and median(ours) > 0 and median(theirs) > 0:
        ratio = f"{median(ours) / median(theirs):.2f}"
    return (
        figure.name,
        _spread(ours, figure.unit),
        _spread(theirs, figure.unit),
        ratio,
        _others(samples, figure.unit),
        _verdict(figure),
    )


def _others(samples: Mapping[str, Sequence[float]], unit: str) -> str:
    return ", ".join(f"{name} {_spread(values, unit)}" for name, values in samples.items())


def _verdict(figure: Figure) -> str:
    goal = figure.goal
    if goal is None or OURS not in figure.samples:
        return ""
    sign = "≥" if goal.at_least else "≤"
    word = "met" if goal.met(figure.of(OURS)) else "missed"
    return f"{sign} {_number(goal.limit)} {figure.unit}".rstrip() + f": {word}"


def _spread(values: Sequence[float], unit: str) -> str:
    """Median, then the smallest and the greatest where there are several."""
    if not values:
        return ""
    middle = f"{_number(median(values))} {unit}".rstrip()
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
