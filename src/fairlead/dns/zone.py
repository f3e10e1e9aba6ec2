"""A zone: the names of one network, put in and taken out endpoint by endpoint.

`epoch` grows with every change, so that whoever keeps ready replies can tell
that they are stale without being told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from fairlead.dns.message import IP

K = TypeVar("K")
V = TypeVar("V")


class Zone:
    """Names to addresses and back. Several endpoints may share a name: oldest first."""

    def __init__(self) -> None:
        self.epoch = 0
        self._entries: dict[str, tuple[tuple[str, ...], tuple[IP, ...], str]] = {}
        self._names: dict[str, dict[str, tuple[IP, ...]]] = {}
        self._targets: dict[IP, dict[str, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def endpoints(self) -> frozenset[str]:
        return frozenset(self._entries)

    def put(
        self, endpoint: str, names: tuple[str, ...], addresses: tuple[IP, ...], target: str
    ) -> None:
        """Enter an endpoint, in place of what it was entered as before."""
        old = self._entries.get(endpoint)
        if old == (names, addresses, target):
            return
        kept = frozenset(names) if old is not None and old[1] == addresses else frozenset()
        self._take_out(endpoint, kept)
        self.epoch += 1
        self._entries[endpoint] = (names, addresses, target)
        for name in names:
            self._names.setdefault(name, {})[endpoint] = addresses
        for address in addresses:
            self._targets.setdefault(address, {})[endpoint] = target

    def drop(self, endpoint: str) -> None:
        """Take an endpoint out; no error if it is not there."""
        if endpoint in self._entries:
            self._take_out(endpoint, frozenset())
            self.epoch += 1

    def addresses(self, name: str) -> tuple[IP, ...] | None:
        """The addresses of a name; None if nobody has it."""
        holders = self._names.get(name)
        if holders is None:
            return None
        return tuple(address for found in holders.values() for address in found)

    def target(self, address: IP) -> str | None:
        """The name of an address; of several holders the oldest."""
        return next(iter(self._targets.get(address, {}).values()), None)

    def _take_out(self, endpoint: str, kept: frozenset[str]) -> None:
        names, addresses, _ = self._entries.pop(endpoint, ((), (), ""))
        for name in names:
            if name not in kept:
                _remove(self._names, name, endpoint)
        for address in addresses:
            _remove(self._targets, address, endpoint)


Zones = Mapping[str, Zone]


def _remove(table: dict[K, dict[str, V]], key: K, endpoint: str) -> None:
    holders = table[key]
    del holders[endpoint]
    if not holders:
        del table[key]
