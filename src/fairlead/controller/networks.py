"""Networks: made, found and removed, planned from the world as it is under the lock."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

from fairlead.controller import (
    parents,
    requests,
)
from fairlead.controller.access import without_access
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.commit import Committer
from fairlead.controller.defaults import completed
from fairlead.controller.join import Draw
from fairlead.controller.learner import Learner
from fairlead.controller.maker import whole
from fairlead.controller.start import Settings
from fairlead.ipam.pool import unique_local
from fairlead.model.errors import Unsupported
from fairlead.model.network import Network, NetworkRequest, Pool, bridge_name
from fairlead.model.options import bridge_options
from fairlead.model.step import Step
from fairlead.model.world import Change


class Networks(Learner):
    """The networks of one host."""

    def __init__(
        self, committer: Committer, settings: Settings, resolv_conf: Path, draw: Draw
    ) -> None:
        super().__init__(committer, settings, resolv_conf, draw)
        self.unique_local = unique_local(bytes(5))

    def network(self, ref: str) -> Network:
        """A network by name, id or start of an id. Raises NotFound."""
        return requests.lookup(self.world, ref)

    @whole
    async def create_network(self, request: NetworkRequest) -> Network:
        """Make a network. Raises Invalid, Forbidden or Conflict in Docker's words."""
        say = await self._say_of(request)
        async with self._lock:
            net = await self._new_network(request, say)
            await self._check_encryption(net)
            if say is NOBODY:
                await self._commit(Change(put=(net,)))
            else:
                self._promise(net)
        if say is not NOBODY:
            net = await self._create_asked(request, net, say)
        self._tell("create", net)
        return net

    async def plan_create_network(self, request: NetworkRequest) -> tuple[Step, ...]:
        """The steps that making it would take; nothing is changed."""
        if self.outside.foreign(request):
            raise Unsupported("a network that somebody else makes cannot be planned here")
        async with self._lock:
            change = Change(put=(await self._new_network(request),))
            return self._committer.plan(self.world, self.world.after(change), change)

    @whole
    async def remove_network(self, ref: str) -> Network:
        """Remove a network that nobody is on, here or elsewhere. Raises Forbidden."""
        net = self.network(ref)
        requests.check_removable(self._expected(), net)
        had = await self._let_go(net) if net.shared else ()
        try:
            async with self._lock:
                # That others have let go of it may have been learnt here already.
                learnt = net.shared and net.id not in self.world.networks
                if not learnt:
                    net = self.network(net.id)
                    requests.check_removable(self._expected(), net)
                ends, boxes = without_access(self.world, net)
                # Who left it is told before its end: so that is owed anew, behind this.
                owed = (*self._parting(self.world, ends), *self._ending(net))
                self.courier.held.update(errand.id for errand in owed)
                gone = (*ends, *boxes, *(() if learnt else (net,)))
                await self._commit(Change(put=owed, drop=(*had, *gone)))
        finally:
            # It is gone elsewhere: if it does not end here, they are told of that all the same.
            self.courier.release(had)
        self._reap_soon()
        await self.courier.run(owed)
        if not learnt:
            self._tell("destroy", net)
        return net

    async def plan_remove_network(self, ref: str) -> tuple[Step, ...]:
        """The steps that removing it would take."""
        net = self.network(ref)
        requests.check_removable(self.world, net)
        ends, boxes = without_access(self.world, net)
        change = Change(drop=(*ends, *boxes, net))
        return self._committer.plan(self.world, self.world.after(change), change)

    async def _say_of(self, request: NetworkRequest) -> Say:
        """Who has a say in a network to be; nobody is asked for one that cannot be."""
        if not self.outside.foreign(request):
            return NOBODY
        requests.check_request(
            self._expected(), requests.settled(self.world, request), foreign=True
        )
        return await self.outside.find(request)

    async def _new_network(self, request: NetworkRequest, say: Say = NOBODY) -> Network:
        world = self._expected()
        request = completed(request, self.settings.network_defaults)
        request = requests.settled(world, request)
        requests.check_request(world, request, foreign=say is not NOBODY)
        if not say.remote:
            requests.check_enforced(request.options, self._committer.host.firewall)
        kernel = self._committer.kernel
        id_ = self._draw(32)
        options = {} if say.remote else request.options
        name = bridge_options(options).name or bridge_name(id_)
        # All questions in one trip to the kernel thread.
        surroundings, there = await self._committer.on_thread(
            lambda: (kernel.surroundings(), kernel.is_bridge(name))
        )
        if not say.remote:
            between = self._committer.host.underlay_mtu
            outer = between if request.driver == "overlay" and between else surroundings.mtu
            request = requests.with_mtu(request, outer)
        bases = (*self.settings.bases, self.unique_local)
        avoided = (*surroundings.routes, *map(ip_network, self._upstreams()))
        found: tuple[Pool, ...] = ()
        if say.ledger is None:
            found = requests.pools(world, request, bases, avoided, say.remote, say.gateways)
        net = requests.network(request, id_, time.time_ns(), found, say.remote)
        if net.on_parent:
            names = parents.asked(net)
            footing = await self._committer.on_thread(
                lambda: kernel.footing(names, parents.OPTIONS)
            )
            return parents.checked(world, net, footing)
        return requests.check_bridge(world, net, there)

    async def _check_encryption(self, *nets: Network) -> None:
        """Whether this host can encrypt what it is asked to. Raises CannotEncrypt."""
        committer = self._committer
        underlay = committer.host.underlay
        if underlay is not None and any(net.encrypted for net in nets):
            await committer.on_thread(lambda: committer.kernel.check_encryption(underlay.version))
