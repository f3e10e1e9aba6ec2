"""Texts that were written before and still hold: a host may have thousands of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Kept(Generic[S, T]):
    """Makes something of each source, and keeps it as long as the very same source comes again."""

    def __init__(self, make: Callable[[S], T]) -> None:
        self._make = make
        self._kept: dict[str, tuple[S, T]] = {}

    def all(self, sources: Mapping[str, S]) -> list[T]:
        """What the sources make, in their order."""
        kept = self._kept
        now = [
            known
            if (known := kept.get(key)) and known[0] is source
            else (source, self._make(source))
            for key, source in sources.items()
        ]
        self._kept = dict(zip(sources, now, strict=True))
        return [made for _, made in now]
