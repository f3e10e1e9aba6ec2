"""seals: what encrypts between hosts, as it may come back when somebody took it away.

An SA by which this host was sending is never made twice: its packets would be numbered
from 1 again, and be taken for old ones. Whoever lost one is born again (`shared.seal`),
and gets others; until then what goes to that host is dropped.
"""

from __future__ import annotations

from fairlead.cluster import sealing
from fairlead.controller import want
from fairlead.kernel.port import Kernel
from fairlead.model.state import IPAddress, State
from fairlead.model.world import World
from fairlead.model.xfrm import XfrmState


def wanted(world: World, host: want.Host) -> State:
    """All of IPsec that a world calls for."""
    if host.underlay is None or not want.sealing_here(world, host):
        return {}
    found = [claim.resource for claim in want.sealed(world, host)]
    found += sealing.base(host.underlay.version)
    return {resource.key: resource for resource in found}


def spared(kernel: Kernel, wanted: State, here: IPAddress | None) -> State:
    """A state without the SAs that this host sent by and that are gone."""
    if here is None or not any(isinstance(item, XfrmState) for item in wanted.values()):
        return wanted
    gone = sealing.lost(wanted, kernel.associations(), here)
    return {key: item for key, item in wanted.items() if key not in gone} if gone else wanted
