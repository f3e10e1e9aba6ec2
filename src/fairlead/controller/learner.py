"""Taking in what the other hosts of a cluster have made of the world."""

from __future__ import annotations

from collections.abc import Callable, Collection

from fairlead.controller.asker import Asker
from fairlead.controller.maker import whole
from fairlead.model.keyring import Member
from fairlead.model.network import Network
from fairlead.model.state import IPAddress, IPNetwork
from fairlead.model.world import Change, World


class Learner(Asker):
    """Commits what is decided elsewhere, like any other change."""

    @property
    def promised(self) -> Collection[str]:
        """The ids of what others are being asked for, and what is not in the world yet."""
        return self._promised.keys()

    @property
    def unsealed(self) -> bool:
        """Whether SAs are gone that are not made again before this host is born again."""
        return self._committer.seals.lost

    @whole
    async def learn(self, make: Callable[[World], Change]) -> None:
        """Commit what others have made of the world; `make` sees it as it is then."""
        async with self._lock:
            before, change = self.world, make(self.world)
            if not change.put and not change.drop:
                return
            await self._commit(change)
            here = self._committer.host.underlay
            if here is not None and _birth(before, here) != _birth(self.world, here):
                self._committer.seals.lost = False
        for thing in change.put:
            # Of one that is just being made here, whoever makes it tells.
            known = thing.id in before.networks or thing.id in self._promised
            if isinstance(thing, Network) and not known:
                self._tell("create", thing)
        gone = [thing for thing in change.drop if isinstance(thing, Network)]
        for net in gone:
            self._tell("destroy", net)
        if gone:
            self._reap_soon()

    async def occupied(self) -> tuple[IPNetwork, ...]:
        """What this host reaches elsewhere or has given to networks: not free for others."""
        kernel = self._committer.kernel
        routes = (await self._committer.on_thread(kernel.surroundings)).routes
        taken = (pool.subnet for net in self._expected().networks.values() for pool in net.pools)
        return (*routes, *taken)


def _birth(world: World, host: IPAddress) -> Member | None:
    """As whom a host takes part in the keyring; others may change that, and it stays."""
    return None if world.ring is None else world.ring.members.get(host)
