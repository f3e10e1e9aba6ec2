"""Where things are shared, and the one way in which they are changed there.

A key is read, a change is made to what was read, and it is written only if nobody wrote
it since; else all over again, a bounded number of times. Several keys are written at once
where the store can, else one after the other, or beside each other where the order is
nobody's. When the store goes away while something is written, it is not known whether that
was done: the error says what may be.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fairlead.cluster.keys import Keys
from fairlead.cluster.leaks import Leak
from fairlead.model.errors import FairleadError, Unavailable
from fairlead.store.shared import (
    ABSENT,
    LARGEST_VALUE_BYTES,
    Away,
    Changed,
    Entry,
    SharedStore,
)

MOST_TRIES = 200
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.1


class Unsure(Away):
    """The store went away while something was taken: `leaks` may be taken or not."""

    def __init__(self, error: Away, *leaks: Leak) -> None:
        super().__init__(error.message, hint=error.hint)
        self.leaks = leaks


def unsure_of(error: BaseException) -> tuple[Leak, ...]:
    """All that may have been taken, by an error or a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return tuple(leak for each in error.exceptions for leak in unsure_of(each))
    return error.leaks if isinstance(error, Unsure) else ()


class Contended(Unavailable):
    """Others wrote the same key again and again."""


async def backoff(attempt: int) -> None:
    """Wait a little, longer each time and never as long as somebody else."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempt, 16))
    await asyncio.sleep(random.random() * longest)


async def side_by_side(*works: Coroutine[Any, Any, object]) -> None:
    """Do several things at once; raises what went wrong first, when all have come to an end."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


Alteration = Callable[[bytes | None], bytes | None]
"""What a key holds (None: it does not exist, or is to go) after what it held."""
Step = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Altering:
    """One of several keys that are to be changed."""

    key: Callable[[], str]
    """Asked when those before it have been changed, or would be."""
    change: Alteration
    fresh: bool = False
    """Nothing is there, as far as anybody knows: it is written without being read first."""
    undo: Step | None = None
    """Takes it back, where keys are written one by one and a later one was refused."""
    beside: bool = False
    """It may be written while the one before it is: none of them says anything of the other."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and where in it the cluster's keys are."""

    store: SharedStore
    keys: Keys = field(default_factory=Keys)
    pause: Callable[[int], Awaitable[None]] = backoff
    together: Callable[..., Awaitable[None]] = side_by_side

    async def value(self, key: str) -> bytes | None:
        """What a key holds; None if it does not exist."""
        entry = await self.store.get(key)
        return None if entry is None else entry.value

    async def alter(self, key: str, change: Alteration, fresh: bool = False) -> bytes | None:
        """Change what a key holds (None: it does not exist, or is to go), and give what it was.

        What `change` raises ends it. Nothing is written when it changes nothing.
        """
        for attempt in range(MOST_TRIES):
            guess = fresh and attempt == 0
            entry = None if guess else await self.store.get(key)
            old = None if entry is None else entry.value
            new = change(old)
            if new == old:
                return old
            try:
                if new is not None:
                    await self.store.put(key, new, ABSENT if entry is None else entry.version)
                elif entry is not None:
                    await self.store.delete(key, entry.version)
                return old
            except Changed:
                if not guess:
                    await self.pause(attempt)
        raise _contended(key)

    async def alter_all(self, *steps: Altering) -> None:
        """Write several keys, in that order where it is not done at once. None may go.

        What a change raises ends it, with nothing written or all taken back. When the store
        goes away it is not known what was written.
        """
        if self.store.at_once is None:
            await self._one_by_one(steps)
            return
        for attempt in range(MOST_TRIES):
            entries: list[Entry] = []
            for step in steps:
                key = step.key()
                had = None if step.fresh and attempt == 0 else await self.store.get(key)
                old = None if had is None else had.value
                new = step.change(old)
                if new is not None and new != old:
                    entries.append(Entry(key, new, ABSENT if had is None else had.version))
            if not entries:
                return
            if sum(len(entry.value) for entry in entries) > LARGEST_VALUE_BYTES:
                # More than every store takes in one request.
                await self._one_by_one(steps)
                return
            try:
                await self.store.at_once(entries)
            except Changed:
                await self.pause(attempt)
            else:
                return
        raise _contended(steps[0].key())

    async def _one_by_one(self, steps: Sequence[Altering]) -> None:
        away: list[Away] = []
        async with all_or_nothing() as undo:

            async def write(step: Altering) -> None:
                try:
                    await self.alter(step.key(), step.change, step.fresh)
                except Away as error:
                    # What was written is not known, and nothing could be taken back now.
                    away.append(error)
                else:
                    undo(step.undo or _nothing)

            for group in _groups(steps):
                if not away:
                    await self.together(*map(write, group))
        if away:
            raise away[0]

    async def remove(self, key: str) -> bytes | None:
        """Remove a key; what it held, to the one who removed it, and None to all others."""
        return await self.alter(key, lambda _: None)


def _groups(steps: Sequence[Altering]) -> list[list[Altering]]:
    """Those that may be written at the same time, one group after the other."""
    found: list[list[Altering]] = []
    for step in steps:
        if step.beside and found:
            found[-1].append(step)
        else:
            found.append([step])
    return found


async def _nothing() -> None:
    """There is nothing to take back."""


def _contended(key: str) -> Contended:
    return Contended(
        f"{key} is written too often by others", hint="try again when there is less going on"
    )


@asynccontextmanager
async def all_or_nothing() -> AsyncIterator[Callable[[Step], None]]:
    """A block that says how to take back what it did; on an error all of that is done, last first.

    Raises what the block raised, with what could not be taken back in an ExceptionGroup.
    """
    steps: list[Step] = []
    try:
        yield steps.append
    except BaseException as error:
        faults: list[Exception] = []
        for step in reversed(steps):
            try:
                await step()
            except (FairleadError, ExceptionGroup) as fault:
                faults.append(fault)
        if faults and isinstance(error, Exception):
            raise ExceptionGroup("failed, and not all could be taken back", [error, *faults]) from (
                error
            )
        for each in faults:
            error.add_note(f"not taken back: {each}")
        raise
