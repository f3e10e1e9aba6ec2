"""Zones: the names of each network, put in and taken out endpoint by endpoint.

Rule: what a zone says depends on who is in it and in which order they joined,
and on nothing that was there before. An endpoint whose names or addresses
change keeps its place.

Of several endpoints that share a name, those of the asker's own project answer
if there are any; else the one whose own name it is; else all of them, in turns.

Every change gets the next number of one count. So `epoch`, the latest change
to any of some zones, rises whenever one of them may say something else, also
where a zone comes, goes or comes back; whoever keeps ready replies compares it.
"""

from __future__ import annotations

from bisect import bisect, bisect_left
from dataclasses import dataclass, replace
from typing import TypeVar

from fairlead.dns.message import IP

K = TypeVar("K")


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one endpoint is called and where it is; `place` tells who joined first."""

    place: int
    names: tuple[str, ...]
    addresses: tuple[IP, ...]
    target: str
    own: tuple[str, ...] = ()
    """Those of its names that are more than aliases."""
    project: str = ""

    def says(self, other: Entry) -> bool:
        """Whether it says the same as another, wherever their places are."""
        mine = (self.names, self.addresses, self.target, self.own, self.project)
        return mine == (other.names, other.addresses, other.target, other.own, other.project)


class Zone:
    """Names to addresses and back. Several endpoints may share a name: oldest first."""

    def __init__(self) -> None:
        self.epoch = 0
        self._entries: dict[str, Entry] = {}
        # Nearly all have one holder, and a tuple of one is the smallest there is.
        self._names: dict[str, tuple[Entry, ...]] = {}
        self._addresses: dict[IP, tuple[Entry, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def endpoints(self) -> frozenset[str]:
        return frozenset(self._entries)

    def put(self, endpoint: str, entry: Entry) -> None:
        """Enter an endpoint, in place of what it was entered as before; its place is the epoch."""
        old = self._entries.get(endpoint)
        if old is not None and old.says(entry):
            return
        self.epoch = entry.place
        if old is not None:
            self._take_out(old)
            entry = replace(entry, place=old.place)
        self._entries[endpoint] = entry
        for name in dict.fromkeys(entry.names):
            _add(self._names, name, entry)
        for address in dict.fromkeys(entry.addresses):
            _add(self._addresses, address, entry)

    def drop(self, epoch: int, endpoint: str) -> None:
        """Take an endpoint out; no error if it is not there."""
        entry = self._entries.pop(endpoint, None)
        if entry is not None:
            self.epoch = epoch
            self._take_out(entry)

    def addresses(self, name: str, project: str = "") -> tuple[IP, ...] | None:
        """The addresses of a name, as one of some project hears it; None if nobody has it."""
        holders = self._names.get(name)
        if holders is None:
            return None
        if len(holders) == 1:
            return holders[0].addresses
        if project:
            holders = tuple(entry for entry in holders if entry.project == project) or holders
        holders = tuple(entry for entry in holders if name in entry.own) or holders
        return tuple(address for entry in holders for address in entry.addresses)

    def target(self, address: IP) -> str | None:
        """The name of an address; of several holders the oldest."""
        holders = self._addresses.get(address)
        return None if holders is None else holders[0].target

    def _take_out(self, entry: Entry) -> None:
        for name in dict.fromkeys(entry.names):
            _remove(self._names, name, entry)
        for address in dict.fromkeys(entry.addresses):
            _remove(self._addresses, address, entry)


class Zones:
    """Zones by network; one that nobody is in is not there."""

    def __init__(self) -> None:
        self._zones: dict[str, Zone] = {}
        self._changes = 0
        self._gone = 0

    def put(
        self,
        zone: str,
        endpoint: str,
        names: tuple[str, ...],
        addresses: tuple[IP, ...],
        target: str,
        own: tuple[str, ...] = (),
        project: str = "",
    ) -> None:
        """Enter an endpoint in a zone, in place of what it was entered as before."""
        self._changes += 1
        found = self._zones.setdefault(zone, Zone())
        found.put(endpoint, Entry(self._changes, names, addresses, target, own, project))

    def drop(self, zone: str, endpoint: str) -> None:
        """Take an endpoint out of a zone; no error if it is not there."""
        found = self._zones.get(zone)
        if found is None:
            return
        self._changes += 1
        found.drop(self._changes, endpoint)
        if not found:
            del self._zones[zone]
            self._gone = self._changes

    def within(self, zones: tuple[str, ...]) -> list[Zone]:
        """Those of some zones that are there, in the order given."""
        return [self._zones[zone] for zone in zones if zone in self._zones]

    def epoch(self, zones: tuple[str, ...]) -> int:
        """The latest change to any of some zones."""
        # A zone that is gone has no epoch left, so going counts for everybody: it is rare.
        latest = self._gone
        for id_ in zones:
            zone = self._zones.get(id_)
            if zone is not None and zone.epoch > latest:
                latest = zone.epoch
        return latest

    def endpoints(self) -> dict[str, frozenset[str]]:
        """Who is in each zone."""
        return {id_: zone.endpoints for id_, zone in self._zones.items()}


def _add(table: dict[K, tuple[Entry, ...]], key: K, entry: Entry) -> None:
    holders = table.get(key, ())
    at = bisect(holders, entry.place, key=_place)
    table[key] = (*holders[:at], entry, *holders[at:])


def _remove(table: dict[K, tuple[Entry, ...]], key: K, entry: Entry) -> None:
    holders = table[key]
    at = bisect_left(holders, entry.place, key=_place)
    left = holders[:at] + holders[at + 1 :]
    if left:
        table[key] = left
    else:
        del table[key]


def _place(entry: Entry) -> int:
    return entry.place
