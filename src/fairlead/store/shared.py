"""The store that the hosts of a cluster share, behind one narrow interface.

Get, compare-and-swap, watch, lease: that is all that fairlead asks of etcd, Consul
or ZooKeeper. Keys are paths without a slash in front (``docker/network/v1.0/…``),
values are bytes. A version is a number that the store gives to each writing of a
key; it only compares as equal or not. Every call may raise Away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fairlead.model.errors import Conflict, Unavailable

ABSENT = 0
"""The version of a key that does not exist."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what it holds."""

    key: str
    value: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A key that exists no longer."""

    key: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All there is below a prefix: what was known of it before is void."""

    entries: tuple[Entry, ...]


Event = Snapshot | Entry | Gone


class Away(Unavailable):
    """The store does not answer, or has no leader: nothing is known to have been done."""


class Changed(Conflict):
    """Somebody else wrote the key since it was read."""


class SharedStore(Protocol):
    """What a cluster agrees on."""

    name: str
    """What people call it, and where it is: ``etcd://192.0.2.1:2379``."""

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix (a folder: ``a/b`` has ``a/b/c``, not ``a/bc``)."""

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that (`ABSENT`: make it). Raises Changed."""

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that. Raises Changed, also when it is gone."""

    def watch(self, prefix: str) -> AsyncIterator[Event]:
        """What is below a prefix, and what becomes of it; ends only when closed.

        It begins with a Snapshot, and again with one after an interruption in which
        something may have been missed; the interruption itself is raised as Away, after
        which the caller watches anew.
        """

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs, and that goes at most so long after us.

        It is kept alive by itself and made again if the store lost it, an absence of the
        store included; entering raises Away. Whatever the key held before is replaced.
        """

    async def close(self) -> None:
        """Let go of connections; nothing is removed."""
