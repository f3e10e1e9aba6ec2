"""history: which addresses of the cluster were given out last, and which were released lately.

An address that comes back to life with another owner too soon is still in somebody's
memory: a neighbour entry in a container, an entry on a host that has not heard yet. So
addresses are given out in turn, and one that was released rests for a while.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from fairlead.cluster.pools import PoolId
from fairlead.model.state import IPAddress, IPInterface, IPNetwork

QUARANTINE_SECONDS = 120.0
"""Longer than a neighbour entry in a container is believed without asking again."""
MOST = 10_000
"""Addresses that are remembered at most."""


class History:
    """What this host saw of the cluster's addresses. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[IPNetwork, IPAddress] = {}
        self._released: OrderedDict[IPAddress, float] = OrderedDict()

    def given(self, address: IPInterface) -> None:
        """Somebody got an address."""
        self._last[address.network] = address.ip
        self._released.pop(address.ip, None)

    def released(self, address: IPInterface) -> None:
        """Somebody gave an address back."""
        self._released.pop(address.ip, None)
        self._released[address.ip] = self._clock()
        while len(self._released) > MOST:
            self._released.popitem(last=False)

    def last(self, pool: PoolId) -> IPAddress | None:
        """The address of a pool that was given out last, as far as this host saw."""
        return self._last.get(pool.subnet)

    def resting(self) -> tuple[IPAddress, ...]:
        """The addresses that were released lately, oldest first."""
        until = self._clock() - QUARANTINE_SECONDS
        while self._released and next(iter(self._released.values())) < until:
            self._released.popitem(last=False)
        return tuple(self._released)
