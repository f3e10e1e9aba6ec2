"""The store that the hosts of a cluster share, behind one narrow interface.

Get, compare-and-swap, watch, lease: that is all that fairlead asks of etcd, Consul
or ZooKeeper. Keys are paths without a slash in front (``docker/network/v1.0/…``),
values are bytes: at least one, for a key without a value is a folder in some stores,
and at most `LARGEST_VALUE_BYTES`. A version is a number that the store gives to each
writing of a key; it only compares as equal or not. Every call may raise Away, and
does so within `LIMIT_SECONDS` if the store says nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fairlead.model.errors import Conflict, Invalid, Unavailable

ABSENT = 0
"""The version of a key that does not exist."""

LIMIT_SECONDS = 5.0
"""How long any call may take, tries at every server included."""

LARGEST_VALUE_BYTES = 380_000
"""A little less than Consul takes in a transaction, which is the least of all."""


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

AtOnce = Callable[[Sequence[Entry]], Awaitable[None]]
"""Writes several keys whose versions are still those, all or none. Raises Changed.

Together their values are no larger than one may be.
"""


class Away(Unavailable):
    """The store does not answer, or has no leader: nothing is known to have been done."""


class Changed(Conflict):
    """Somebody else wrote the key since it was read."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} was changed meanwhile")


def writable(key: str, value: bytes) -> None:
    """Refuses what one of the stores could not hold. Raises Invalid."""
    if not key or key != key.strip("/") or "//" in key or "\0" in key:
        raise Invalid(f"{key!r} is no key of a cluster's store")
    if not 0 < len(value) <= LARGEST_VALUE_BYTES:
        raise Invalid(
            f"{key} cannot hold {len(value)} bytes",
            hint=f"a value has one byte at least and {LARGEST_VALUE_BYTES} at most",
        )


class SharedStore(Protocol):
    """What a cluster agrees on."""

    name: str
    """What people call it, and where it is: ``etcd://192.0.2.1:2379``."""

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one request; None where the store cannot."""

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix (a folder: ``a/b`` has ``a/b/c``, not ``a/bc``)."""

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that (`ABSENT`: make it). Raises Changed.

        What a key holds already need not be a change: Consul leaves its version and tells nobody.
        """

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that. Raises Changed, also when it is gone."""

    def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it; ends only when closed (`aclosing`).

        It begins with a Snapshot, and may begin again with one whenever something may
        have been missed. An interruption is raised as Away, after which the caller watches
        anew. Changes that follow each other quickly may come as one, what went first: of
        each key the last state always comes, and never an older one after a newer.
        """

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs, and that goes at most so long after us.

        A block that is cancelled leaves it to its time where the store can (not ZooKeeper).

        It is kept alive by itself and made again if the store lost it, an absence of the
        store included; entering raises Away. Whatever the key held before is replaced.
        """

    async def close(self) -> None:
        """Let go of connections; nothing is removed."""
