"""Where a network stands: what a driver may know of this host."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.ground import Ground
from fairlead.model.state import IPAddress, IPInterface

UNKNOWN = Ground()


@dataclass(frozen=True, slots=True)
class Site:
    """The host as one network finds it.

    `underlay` is the address by which other hosts reach this one, if it is in a cluster;
    `inhabited` says whether anybody here is on the network, `own` what addresses the host
    itself has there, `ground` which other hosts share a segment with it.
    """

    underlay: IPAddress | None = None
    inhabited: bool = False
    own: tuple[IPInterface, ...] = ()
    ground: Ground = UNKNOWN


NOWHERE = Site()
