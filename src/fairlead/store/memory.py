"""A store in this process, for many hosts in one: tests and simulations take it away at will.

``Memory`` is the store, ``Memory.client()`` one host's way to it. Nothing is copied that could
be shared: values are immutable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

from fairlead.store.kept import kept
from fairlead.store.shared import (
    ABSENT,
    AtOnce,
    Away,
    Changed,
    Entry,
    Event,
    Gone,
    Snapshot,
    writable,
)


class Memory:
    """What is stored, and who watches it."""

    def __init__(self, name: str = "memory://") -> None:
        self.name = name
        self.away = False
        """Nobody reaches it; what it holds stays, leases included."""
        self.refused = ""
        """A key that nobody may write: the store is full, or has no leader for it."""
        self.delay_seconds = 0.0
        """How long every answer takes."""
        self._entries: dict[str, Entry] = {}
        self._written = 0
        self._watching: set[MemoryStore] = set()

    def client(self, name: str = "") -> MemoryStore:
        """A host's way to the store."""
        return MemoryStore(self, name or self.name)

    def stop(self) -> None:
        """Go away: whoever watches is told."""
        self.away = True
        for client in tuple(self._watching):
            client.interrupt()

    def start(self) -> None:
        """Come back."""
        self.away = False

    def read(self, key: str) -> Entry | None:
        """What a key holds."""
        return self._entries.get(key)

    def below(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix, in order."""
        keys = sorted(key for key in self._entries if key.startswith(f"{prefix}/"))
        return tuple(self._entries[key] for key in keys)

    def write(self, key: str, value: bytes) -> Entry:
        """Write a key, whatever it holds."""
        self._written += 1
        entry = self._entries[key] = Entry(key, value, self._written)
        self._tell(key, entry)
        return entry

    def remove(self, key: str) -> None:
        """Remove a key that is there."""
        del self._entries[key]
        self._tell(key, Gone(key))

    def version(self, key: str) -> int:
        """The version of a key."""
        return self._entries[key].version if key in self._entries else ABSENT

    def join(self, client: MemoryStore) -> None:
        """A client begins to watch."""
        self._watching.add(client)

    def leave(self, client: MemoryStore) -> None:
        """A client watches no more."""
        self._watching.discard(client)

    def _tell(self, key: str, event: Event) -> None:
        for client in tuple(self._watching):
            client.tell(key, event)


class MemoryStore:
    """A SharedStore in memory, of one host."""

    def __init__(self, memory: Memory, name: str) -> None:
        self.name = name
        self.is_cut = False
        self._memory = memory
        self._watches: dict[asyncio.Queue[Event | None], str] = {}

    @property
    def at_once(self) -> AtOnce | None:
        """One key at a time, as in the least of all stores."""
        return None

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""
        await self._reach()
        return self._memory.read(key)

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        await self._reach()
        return self._memory.below(prefix)

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        writable(key, value)
        await self._reach()
        if key == self._memory.refused:
            raise Away("the store refuses")
        if self._memory.version(key) != version:
            raise Changed(key)
        return self._memory.write(key, value)

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that."""
        await self._reach()
        if version == ABSENT or self._memory.version(key) != version:
            raise Changed(key)
        self._memory.remove(key)

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        await self._reach()
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._watches[queue] = prefix
        self._memory.join(self)
        try:
            yield Snapshot(self._memory.below(prefix))
            while (event := await queue.get()) is not None:
                if self._memory.delay_seconds:
                    await asyncio.sleep(self._memory.delay_seconds)
                yield event
            raise self._lost()
        finally:
            del self._watches[queue]
            if not self._watches:
                self._memory.leave(self)

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs."""
        writable(key, value)
        return kept(_Lease(self, self._memory, key, value, ttl_seconds), ttl_seconds)

    async def close(self) -> None:
        """End what watches."""
        self.interrupt()

    def interrupt(self) -> None:
        """End every watch of this host, as a broken connection does."""
        for queue in self._watches:
            queue.put_nowait(None)

    def tell(self, key: str, event: Event) -> None:
        """Something was written or removed."""
        if not self.is_cut:
            for queue, prefix in self._watches.items():
                if key.startswith(f"{prefix}/"):
                    queue.put_nowait(event)

    def cut(self) -> None:
        """Keep this host alone from the store, as when it dies: its leases run out."""
        self.is_cut = True
        self.interrupt()

    def mend(self) -> None:
        """Let it reach the store again."""
        self.is_cut = False

    async def reached(self) -> None:
        """Returns if the store can be reached. Raises Away."""
        await self._reach()

    async def _reach(self) -> None:
        if self._memory.delay_seconds:
            await asyncio.sleep(self._memory.delay_seconds)
        if self.is_cut or self._memory.away:
            raise self._lost()

    def _lost(self) -> Away:
        return Away(f"the cluster's store {self.name} does not answer", hint="it was taken away")


class _Lease:
    """A key that goes unless somebody comes in time; a store that is away counts no time."""

    def __init__(
        self, store: MemoryStore, memory: Memory, key: str, value: bytes, ttl_seconds: float
    ) -> None:
        self._store, self._memory = store, memory
        self._key, self._value, self._ttl = key, value, ttl_seconds
        self._version = ABSENT
        self._end: asyncio.TimerHandle | None = None

    async def make(self) -> None:
        await self._store.reached()
        self._version = self._memory.write(self._key, self._value).version
        self._wind()

    async def renew(self) -> None:
        await self._store.reached()
        if self._memory.version(self._key) == ABSENT:
            await self.make()
        else:
            self._wind()

    async def drop(self) -> None:
        await self._store.reached()
        self._expire()

    def _wind(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(self._ttl, self._expire)

    def _expire(self) -> None:
        if self._memory.away:
            self._wind()
            return
        if self._end is not None:
            self._end.cancel()
        if self._version != ABSENT and self._memory.version(self._key) == self._version:
            self._memory.remove(self._key)
