"""A part of a store, as if it were all of it: the prefix in a store's URL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from fairlead.store.shared import AtOnce, Entry, Event, Gone, SharedStore, Snapshot


class Below:
    """A SharedStore whose keys are those of another one below a folder."""

    def __init__(self, store: SharedStore, folder: str) -> None:
        self.name = store.name
        self._store = store
        self._front = f"{folder}/"

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one request; None where the store cannot."""
        return None if self._store.at_once is None else self._put_all

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""
        found = await self._store.get(self._front + key)
        return self._own(found) if found else None

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        return tuple(map(self._own, await self._store.entries(self._front + prefix)))

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        return self._own(await self._store.put(self._front + key, value, version))

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that."""
        await self._store.delete(self._front + key, version)

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        # Ours ends when its caller closes it, and theirs with it.
        async with contextlib.aclosing(self._store.watch(self._front + prefix)) as events:
            async for event in events:
                match event:
                    case Snapshot(entries):
                        yield Snapshot(tuple(map(self._own, entries)))
                    case Gone(key):
                        yield Gone(key.removeprefix(self._front))
                    case Entry():
                        yield self._own(event)

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs."""
        return self._store.lease(self._front + key, value, ttl_seconds)

    async def close(self) -> None:
        """Let go of connections."""
        await self._store.close()

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        assert self._store.at_once is not None
        await self._store.at_once([replace(e, key=self._front + e.key) for e in entries])

    def _own(self, entry: Entry) -> Entry:
        return replace(entry, key=entry.key.removeprefix(self._front))
