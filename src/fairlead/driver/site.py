"""Where a network stands: what a driver may know of this host."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Site:
    """The host as one network finds it.

    `underlay` is the address by which other hosts reach this one, if it is in a cluster;
    `inhabited` says whether anybody here is on the network.
    """

    underlay: IPAddress | None = None
    inhabited: bool = False


NOWHERE = Site()
