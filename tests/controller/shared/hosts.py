"""Several hosts on one store, one step at a time: whoever the test names goes on to its next step.

A step is one call to the store, cut into before and after: a host may die, or the store go
away for it, at either side of what it does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from fairlead.cluster.keys import Keys
from fairlead.controller.shared.place import Place
from fairlead.model.errors import FairleadError
from fairlead.store.shared import ABSENT, LARGEST_VALUE_BYTES, AtOnce, Away, Changed, Entry, Event

T = TypeVar("T")


kinds: set[str] = set()
"""What the store can; set by the tests' fixture."""


class Died(BaseException):
    """The host is no more: nothing that it does gets anywhere."""


@dataclass(slots=True)
class Content:
    """What is stored."""

    entries: dict[str, Entry] = field(default_factory=dict)
    writings: int = 0

    def pairs(self) -> dict[str, bytes]:
        return {key: entry.value for key, entry in self.entries.items()}

    def write(self, key: str, value: bytes) -> Entry:
        self.writings += 1
        self.entries[key] = Entry(key, value, self.writings)
        return self.entries[key]


class _Turn:
    """Where somebody else may go on."""

    def __await__(self) -> Generator[_Turn, None, None]:
        yield self


@dataclass(slots=True)
class Host:
    """One host's way to the store. With `missing`, the next call fails after it was done."""

    content: Content
    name: str = "host"
    dead: bool = False
    away: bool = False
    missing: bool = False
    transacts: bool = field(default_factory=lambda: "transactions" in kinds)

    @property
    def at_once(self) -> AtOnce | None:
        return self._put_all if self.transacts else None

    @property
    def place(self) -> Place:
        return Place(self, Keys(), self._pause, self._together)

    async def get(self, key: str) -> Entry | None:
        await self._turn()
        return self.content.entries.get(key)

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        await self._turn()
        keys = sorted(k for k in self.content.entries if k.startswith(f"{prefix}/"))
        return tuple(self.content.entries[key] for key in keys)

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        await self._turn()
        self._check(key, version)
        entry = self.content.write(key, value)
        await self._done()
        return entry

    async def delete(self, key: str, version: int) -> None:
        await self._turn()
        if key not in self.content.entries:
            raise Changed(key)
        self._check(key, version)
        del self.content.entries[key]
        await self._done()

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        await self._turn()
        assert sum(len(entry.value) for entry in entries) <= LARGEST_VALUE_BYTES
        for entry in entries:
            self._check(entry.key, entry.version)
        for entry in entries:
            self.content.write(entry.key, entry.value)
        await self._done()

    def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        raise NotImplementedError

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def close(self) -> None:
        return

    def _check(self, key: str, version: int) -> None:
        entry = self.content.entries.get(key)
        if (ABSENT if entry is None else entry.version) != version:
            raise Changed(key)

    async def _turn(self) -> None:
        await _Turn()
        self._alive()

    async def _done(self) -> None:
        await _Turn()
        if self.missing:
            self.missing = False
            raise Away("the answer got lost")
        self._alive()

    def _alive(self) -> None:
        if self.dead:
            raise Died
        if self.away:
            raise Away("the store does not answer")

    async def _pause(self, _attempt: int) -> None:
        await self._turn()

    async def _together(self, *works: Coroutine[object, object, object]) -> None:
        """A step of each in turn, and others may go on after any."""
        errors: list[BaseException] = []
        left = list(works)
        while left:
            for work in tuple(left):
                try:
                    work.send(None)
                except StopIteration:
                    left.remove(work)
                except (FairleadError, ExceptionGroup, Died) as error:
                    errors.append(error)
                    left.remove(work)
                else:
                    await _Turn()
        if errors:
            raise next((each for each in errors if isinstance(each, Died)), errors[0])


def run(work: Coroutine[object, object, T]) -> T:
    """Do a piece of work with nobody else about."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            result: T = end.value
            return result


def together(
    works: Mapping[str, Coroutine[object, object, object]], choose: Callable[[int], int]
) -> dict[str, object]:
    """Do several pieces of work, the next step of one after the other as `choose` says.

    Gives each one's result, or the error that it ended with.
    """
    left, results = dict(works), dict[str, object]()
    while left:
        name = sorted(left)[choose(len(left))]
        try:
            left[name].send(None)
        except StopIteration as end:
            results[name] = end.value
            del left[name]
        except (FairleadError, ExceptionGroup, Died) as error:
            results[name] = error
            del left[name]
    return results


def by(choices: Sequence[int]) -> Callable[[int], int]:
    """Chooses as it is told; the first, once nothing is told any more."""
    left = iter(choices)
    return lambda most: next(left, 0) % most
