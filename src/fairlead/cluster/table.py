"""Tables that never change: a changed one shares nearly all it has with the one before.

Entries lie in a fixed number of shards; a change copies one of them. Two tables that came
of each other are compared by looking only at shards that are not the same. Many changes at
once are made to a draft, which copies a shard only the first time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

SHARDS = 128

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")


class _Sharded(Generic[K, V]):
    """Entries in shards, to be read."""

    __slots__ = ("_length", "_shards")

    _shards: Sequence[dict[K, V]]
    _length: int

    @overload
    def get(self, key: K, /) -> V | None: ...

    @overload
    def get(self, key: K, /, default: V | D) -> V | D: ...

    def get(self, key: K, /, default: object = None) -> object:
        """What is under a key. (What is inherited raises and catches an error when nothing is.)"""
        return self._shards[hash(key) % SHARDS].get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._shards[hash(key) % SHARDS]

    def __iter__(self) -> Iterator[K]:
        for shard in self._shards:
            yield from shard

    def __len__(self) -> int:
        return self._length


class Table(_Sharded[K, V], Mapping[K, V]):
    """An immutable mapping that is cheap to change; in no order."""

    __slots__ = ()

    def __init__(self, shards: Sequence[dict[K, V]] = ({},) * SHARDS, length: int = 0) -> None:
        self._shards = shards
        self._length = length

    def __getitem__(self, key: K) -> V:
        return self._shards[hash(key) % SHARDS][key]

    def __eq__(self, other: object) -> bool:
        # Comparing shards passes over those that are shared.
        return self._shards == other._shards if isinstance(other, Table) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # what it holds may not be hashable

    def __repr__(self) -> str:
        return f"Table({dict(self)!r})"

    def put(self, key: K, value: V) -> Table[K, V]:
        """With an entry, new or in place of another."""
        at = hash(key) % SHARDS
        old = self._shards[at]
        if key in old and old[key] is value:
            return self
        shard = {**old, key: value}
        return self._with(at, shard)

    def drop(self, key: K) -> Table[K, V]:
        """Without an entry, if it is there."""
        at = hash(key) % SHARDS
        old = self._shards[at]
        if key not in old:
            return self
        shard = dict(old)
        del shard[key]
        return self._with(at, shard)

    def differing(self, other: Table[K, V]) -> Iterator[K]:
        """The keys under which the two do not hold the same."""
        for mine, theirs in zip(self._shards, other._shards, strict=True):
            if mine is theirs:
                continue
            for key in mine.keys() | theirs.keys():
                if key in mine and key in theirs:
                    one, other_one = mine[key], theirs[key]
                    # Nearly all are the very same; to compare their fields takes long.
                    if one is other_one or one == other_one:
                        continue
                yield key

    def draft(self) -> Draft[K, V]:
        """A draft of the table that comes of it."""
        return Draft(self, self._shards)

    def _with(self, at: int, shard: dict[K, V]) -> Table[K, V]:
        length = self._length + len(shard) - len(self._shards[at])
        return Table((*self._shards[:at], shard, *self._shards[at + 1 :]), length)


class Draft(_Sharded[K, V]):
    """A table while it changes."""

    __slots__ = ("_before", "_own")

    _shards: list[dict[K, V]]

    def __init__(self, before: Table[K, V], shards: Sequence[dict[K, V]]) -> None:
        self._before = before
        self._shards = list(shards)
        self._own: set[int] = set()
        self._length = len(before)

    def put(self, key: K, value: V) -> None:
        """An entry, new or in place of another."""
        at = hash(key) % SHARDS
        shard = self._shards[at]
        if key in shard:
            if shard[key] is value:
                return
        else:
            self._length += 1
        if at not in self._own:
            shard = self._copied(at)
        shard[key] = value

    def drop(self, key: K) -> None:
        """Without an entry, if it is there."""
        at = hash(key) % SHARDS
        shard = self._shards[at]
        if key in shard:
            self._length -= 1
            if at not in self._own:
                shard = self._copied(at)
            del shard[key]

    def table(self) -> Table[K, V]:
        """The table as it is now; the very one that it came of if nothing was changed."""
        if not self._own:
            return self._before
        self._before = Table(tuple(self._shards), self._length)
        self._own.clear()
        return self._before

    def _copied(self, at: int) -> dict[K, V]:
        self._own.add(at)
        shard = self._shards[at] = dict(self._shards[at])
        return shard
