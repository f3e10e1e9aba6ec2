"""seals: what encrypts between hosts, as it may come back when somebody took it away.

An SA by which this host was sending is never made twice: its packets would be numbered
from 1 again, and be taken for old ones. Whoever lost one is born again (`shared.seal`),
and gets others; until then what goes to that host is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from fairlead.cluster import sealing
from fairlead.controller import want
from fairlead.kernel.port import Kernel
from fairlead.model.state import State
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.model.xfrm import XfrmState


class Seals:
    """The SAs and policies of a host. To be asked on the kernel thread."""

    def __init__(self, kernel: Kernel, host: want.Host) -> None:
        self.lost = False
        """Some that this host sent by are gone, or were made twice: it has to be born again."""
        self._kernel = kernel
        self._host = host

    def spared(self, wanted: State) -> State:
        """A state without the SAs that this host sent by and that are gone."""
        here = self._host.underlay
        if here is None or not any(isinstance(item, XfrmState) for item in wanted.values()):
            return wanted
        gone = sealing.lost(wanted, self._kernel.associations(), here)
        if not gone:
            return wanted
        self.lost = True
        return {key: item for key, item in wanted.items() if key not in gone}

    def touched(self, world: World) -> bool:
        """Whether somebody has changed anything of what a world calls for."""
        here = self._host.underlay
        if here is None or not want.sealing_here(world, self._host):
            return False
        found = [claim.resource for claim in want.sealed(world, self._host)]
        found += sealing.base(here.version)
        wanted = self.spared({resource.key: resource for resource in found})
        return self._kernel.associations() != wanted

    def taken_back(self, steps: Iterable[Step]) -> None:
        """Steps are undone: what they removed is made again."""
        self.lost = self.lost or any(isinstance(step.before, XfrmState) for step in steps)
