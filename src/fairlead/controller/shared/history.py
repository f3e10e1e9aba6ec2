"""history: which addresses of the cluster were given out last, and which were released lately.

An address that comes back to life with another owner too soon is still in somebody's
memory: a neighbour entry in a container, an entry on a host that has not heard yet. So
addresses are given out in turn, and one that was released rests for a while. A daemon that
is started again goes on where it was: what it saw is kept on a trail of lines
``<seconds since 1970> <+ given, - released> <address>/<prefix>``.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from ipaddress import ip_interface

from fairlead.cluster.pools import PoolId
from fairlead.model.state import IPAddress, IPInterface, IPNetwork
from fairlead.store.trail import Trail

QUARANTINE_SECONDS = 120.0
"""Longer than a neighbour entry in a container is believed without asking again."""
MOST = 10_000
"""Addresses that are remembered at most, and lines that a trail grows by before it is cut."""
GIVEN, RELEASED = "+", "-"


class History:
    """What this host saw of the cluster's addresses. `clock` and `date` in seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        trail: Trail | None = None,
        date: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._trail = trail
        self._date = date
        self._last: dict[IPNetwork, IPInterface] = {}
        self._released: OrderedDict[IPInterface, float] = OrderedDict()
        self._grown = 0
        if trail is not None:
            for line in trail.lines():
                self._recall(line)
            trail.begin_anew(self._lines())

    def given(self, address: IPInterface) -> None:
        """Somebody got an address."""
        if self._last.get(address.network) != address or address in self._released:
            self._give(address)
            self._keep(GIVEN, address)

    def found(self, address: IPInterface) -> None:
        """Somebody has an address, nobody knows since when: lower ones were given before it."""
        last = self._last.get(address.network)
        if last is None or last.ip < address.ip:  # type: ignore[operator]  # of one network
            self.given(address)
        self._released.pop(address, None)

    def released(self, address: IPInterface) -> None:
        """Somebody gave an address back."""
        self._release(address, self._clock())
        self._keep(RELEASED, address)

    def last(self, pool: PoolId) -> IPAddress | None:
        """The address of a pool that was given out last, as far as this host saw."""
        found = self._last.get(pool.subnet)
        return None if found is None else found.ip

    def resting(self) -> tuple[IPAddress, ...]:
        """The addresses that were released lately, oldest first."""
        until = self._clock() - QUARANTINE_SECONDS
        while self._released and next(iter(self._released.values())) < until:
            self._released.popitem(last=False)
        return tuple(address.ip for address in self._released)

    def _give(self, address: IPInterface) -> None:
        self._last[address.network] = address
        self._released.pop(address, None)

    def _release(self, address: IPInterface, when: float) -> None:
        self._released.pop(address, None)
        self._released[address] = when
        while len(self._released) > MOST:
            self._released.popitem(last=False)

    def _keep(self, what: str, address: IPInterface) -> None:
        if self._trail is None:
            return
        self._grown += 1
        if self._grown > MOST:
            self._trail.begin_anew(self._lines())
            self._grown = 0
        else:
            self._trail.add(f"{self._date():.0f} {what} {address}")

    def _lines(self) -> Iterator[str]:
        """All that is known, as lines that say so."""
        now, date = self._clock(), self._date()
        for address in self._last.values():
            yield f"{date:.0f} {GIVEN} {address}"
        for address, when in self._released.items():
            yield f"{date - (now - when):.0f} {RELEASED} {address}"

    def _recall(self, line: str) -> None:
        """A line of the trail. What the host's clock cannot have meant happened now."""
        date, _, rest = line.partition(" ")
        what, _, text = rest.partition(" ")
        try:
            age, address = self._date() - int(date), ip_interface(text)
        except ValueError:
            # Cut short by the power's end, or not ours.
            return
        if what == GIVEN:
            self._give(address)
        elif what == RELEASED and age < QUARANTINE_SECONDS:
            self._release(address, self._clock() - max(0.0, age))
