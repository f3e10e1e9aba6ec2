"""Routes: which handler answers a method and a path. Pure; built once from a table.

Patterns are written like ``/containers/{id}/json``. A parameter takes one or
more segments, because names of images, volumes and networks hold slashes. Of
the patterns that fit, the one with the most fixed segments wins, so that
``/networks/prune`` is never a network of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Route(Generic[H]):
    """One line of the table. `segments` holds None where a parameter stands."""

    method: str
    pattern: str
    handler: H

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(self.pattern.strip("/").split("/"))

    @property
    def fixed(self) -> int:
        """How many segments are no parameters: what makes one pattern closer than another."""
        return sum(not _is_parameter(s) for s in self.segments)


@dataclass(frozen=True, slots=True)
class Match(Generic[H]):
    """The handler for a request and the values of its pattern's parameters."""

    handler: H
    parameters: Mapping[str, str] = field(default_factory=dict)
    pattern: str = ""


class PageNotFound(LookupError):
    """No pattern fits the path."""


class WrongMethod(LookupError):
    """A pattern fits, but not with this method. `allowed` are the ones that would do."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{")


def fit(segments: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str] | None:
    """The parameters with which a pattern reads as the path, or None.

    The fixed segments around a parameter anchor it; no pattern has two
    parameters next to each other.
    """
    if not segments:
        return {} if not path else None
    head, rest = segments[0], segments[1:]
    if not path or not path[0]:
        return None
    if not _is_parameter(head):
        return fit(rest, path[1:]) if path[0] == head else None
    for taken in range(len(path) - len(rest), 0, -1):
        found = fit(rest, path[taken:])
        if found is not None:
            return {head[1:-1]: "/".join(path[:taken]), **found}
    return None


class Router(Generic[H]):
    """A table of routes, looked up by method and path."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        by_first: dict[str, list[Route[H]]] = {}
        for route in sorted(routes, key=lambda r: -r.fixed):
            by_first.setdefault(route.segments[0], []).append(route)
        self._by_first = by_first

    def match(self, method: str, path: str) -> Match[H]:
        """The best route. Raises PageNotFound or WrongMethod."""
        parts = tuple(path.strip("/").split("/"))
        allowed: list[str] = []
        for route in self._by_first.get(parts[0], ()):
            parameters = fit(route.segments, parts)
            if parameters is None:
                continue
            if method == route.method:
                return Match(route.handler, parameters, route.pattern)
            allowed.append(route.method)
        if allowed:
            raise WrongMethod(tuple(dict.fromkeys(allowed)))
        raise PageNotFound(path)
