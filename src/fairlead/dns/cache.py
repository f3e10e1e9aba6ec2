"""Replies that were heard, for all who would ask the same servers the same.

Rule: pure; it knows no clock. It never holds more than its room. When that is
full, whoever has most in it gives way with what he put in first, so that one who
asks for a million names pushes out his own and nobody else's.

Who may see what lies in the key: it begins with whom the question would be put
to. A sandbox that may not ask looks nothing up.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from fairlead.dns.kept import Kept

ROOM_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A reply, who had it put in, and until when nobody need try to renew it."""

    kept: Kept
    owner: str
    rest_until: float = 0.0


class Cache:
    """Kept replies by question; those that have expired stay while there is room."""

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._entries: dict[Hashable, Entry] = {}
        self._owned: dict[str, dict[Hashable, None]] = {}
        self._owned_bytes: dict[str, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Entry | None:
        """What is kept for a question, expired or not."""
        return self._entries.get(key)

    def put(self, key: Hashable, kept: Kept, owner: str) -> None:
        """Keep a reply in place of an older one."""
        self.drop(key)
        if kept.cost_bytes > self._room_bytes // 8:
            return
        self._entries[key] = Entry(kept, owner)
        self._owned.setdefault(owner, {})[key] = None
        self._owned_bytes[owner] = self._owned_bytes.get(owner, 0) + kept.cost_bytes
        self.bytes += kept.cost_bytes
        while self.bytes > self._room_bytes:
            most = max(self._owned_bytes, key=self._owned_bytes.__getitem__)
            self.drop(next(iter(self._owned[most])))

    def rest(self, key: Hashable, until: float) -> None:
        """Nobody could renew it: it will do as it is until then."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries[key] = replace(entry, rest_until=until)

    def drop(self, key: Hashable) -> None:
        """Forget one reply; no error if it is not there."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        owner = entry.owner
        self.bytes -= entry.kept.cost_bytes
        self._owned_bytes[owner] -= entry.kept.cost_bytes
        del self._owned[owner][key]
        if not self._owned[owner]:
            del self._owned[owner], self._owned_bytes[owner]

    def forget(self, owner: str) -> None:
        """Drop all that one owner had put in."""
        for key in list(self._owned.get(owner, ())):
            self.drop(key)
