"""lives: which hosts of a cluster are taken to be alive.

A host is dead only when somebody who could tell has told: the store, while it is there, or
gossip. Whoever had no time yet to say that it lives is spared until it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fairlead.model.state import IPAddress


class Lives:
    """Who lives. `ttl_seconds` is how long a host may be silent; `clock` in seconds."""

    def __init__(self, ttl_seconds: float, clock: Callable[[], float]) -> None:
        self.gossiping: set[IPAddress] = set()
        """Hosts that gossip live, whatever became of their daemons."""
        self._ttl = ttl_seconds
        self._clock = clock
        self._spared: dict[IPAddress, float] = {}

    def with_those(self, said: frozenset[IPAddress]) -> frozenset[IPAddress]:
        """All hosts that live, where the store says so of some."""
        now = self._clock()
        self._spared = {host: until for host, until in self._spared.items() if until > now}
        return said | self.gossiping | self._spared.keys()

    def spare(self, hosts: Iterable[IPAddress], seconds: float | None = None) -> None:
        """Hosts that live until they had time to say so: seconds, or a time to live."""
        until = self._clock() + (self._ttl if seconds is None else seconds)
        for host in hosts:
            self._spared[host] = max(until, self._spared.get(host, until))

    def next_end(self) -> float | None:
        """When somebody has been spared long enough; None if nobody is spared."""
        now = self._clock()
        return min((until for until in self._spared.values() if until > now), default=None)
