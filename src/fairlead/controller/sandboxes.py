"""Sandboxes: opened, joined to networks and closed, each in one commit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fairlead.controller import (
    adoption,
    facts,
    gateway,
    requests,
)
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.asker import Draft
from fairlead.controller.commit import Committer
from fairlead.controller.join import Draw, Held, Joiner, nothing_held, ways
from fairlead.controller.maker import whole
from fairlead.controller.networks import Networks
from fairlead.controller.start import Settings
from fairlead.driver.interface import DRIVERS
from fairlead.kernel.port import Place
from fairlead.model.endpoint import Endpoint, EndpointRequest, Port, PortRequest
from fairlead.model.errors import Conflict, Failed, Forbidden, NotFound, Unsupported
from fairlead.model.lease import Lease
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.step import Step
from fairlead.model.world import Change, Thing


class Sandboxes(Networks):
    """The sandboxes of one host, and their endpoints. `folder` is where they are pinned."""

    def __init__(
        self,
        committer: Committer,
        settings: Settings,
        folder: Path,
        resolv_conf: Path,
        draw: Draw,
    ) -> None:
        super().__init__(committer, settings, resolv_conf, draw)
        self.held: Held = nothing_held
        self._folder = folder

    def netns_path(self, sandbox: str) -> Path:
        """Where a sandbox's namespace is pinned."""
        box = self.world.sandboxes.get(sandbox)
        return self._folder / (box.namespace if box is not None else sandbox[:12])

    @whole
    async def open_sandbox(
        self,
        request: SandboxRequest,
        joins: Sequence[tuple[str, EndpointRequest]] = (),
        publish: Sequence[PortRequest] = (),
    ) -> Sandbox:
        """Make a sandbox with its endpoints and ports in one commit: all of it or nothing.

        One that was closed but kept is taken up again.
        """
        says = await self._says(ref for ref, _ in joins)
        async with self._lock:
            expected = self._expected()
            old = expected.sandboxes.get(request.id)
            if old is not None and (
                old.container != request.container or expected.in_sandbox(old.id)
            ):
                raise Conflict(f"sandbox {request.id} exists")
            if request.free and any(b.name == request.name for b in expected.sandboxes.values()):
                raise Conflict(f"sandbox {request.name} exists", hint="choose another name")
            place = await self._look(request)
            box = Sandbox(
                id=request.id,
                container=request.container,
                name=request.name,
                hostname=request.hostname,
                domainname=request.domainname,
                dns=tuple(request.dns),
                dns_search=tuple(request.dns_search),
                dns_options=tuple(request.dns_options),
                host=request.host,
                exposed=request.exposed,
                created=time.time_ns(),
                publish=tuple(publish),
                project=request.project,
                free=request.free,
                source=request.source,
                identity=place.identity if place else "",
                routed=place.routed if place else (),
                access=request.access,
                dns_default=request.dns_default,
            )
            joiner = Joiner(
                expected, box, self._draw, self.held, place.links if place else frozenset()
            )
            nets = [self._joinable(ref) for ref, _ in joins]
            await self._check_encryption(*nets)
            drafts = [
                self._draft(joiner, net, wanted, says)
                for net, (_, wanted) in zip(nets, joins, strict=True)
            ]
            if not says:
                box = await self._commit_sandbox(box, put=joiner.endpoints)
            else:
                self._promise(box, *joiner.endpoints)
        if says:
            box, _ = await self._join_asked(box, drafts, self._folder / box.namespace, fresh=True)
        for net in nets if not box.access else ():
            self._tell("connect", net, box.container)
        return box

    @whole
    async def close_sandbox(self, sandbox: str, keep: bool = False) -> None:
        """Leave every network and let the namespace go. An unknown sandbox is no error.

        `keep` holds on to the namespace alone, for those who share it.
        """
        async with self._lock:
            box = self.world.sandboxes.get(sandbox)
            if box is None:
                return
            gone = self.world.in_sandbox(sandbox)
            nets = [self.world.networks[e.network] for e in self.world.joined(sandbox)]
            owed = self._parting(self.world, gone)
            self.courier.held.update(errand.id for errand in owed)
            if keep:
                bare = replace(box, publish=(), ports=())
                await self._commit(Change(put=(bare, *owed), drop=gone))
            else:
                await self._commit(Change(put=owed, drop=(*gone, box)))
        self._reap_soon()
        await self.courier.run(owed)
        for net in nets if not box.access else ():
            self._tell("disconnect", net, box.container)

    @whole
    async def join(self, sandbox: str, network: str, request: EndpointRequest) -> Endpoint:
        """Put a running sandbox on one more network."""
        says = await self._says((network,))
        async with self._lock:
            before = self.world
            box, net = self._box(sandbox), self._joinable(network)
            await self._check_encryption(net)
            joiner = Joiner(self._expected(), box, self._draw, self.held, await self._links(box))
            draft = self._draft(joiner, net, request, says)
            endpoint = draft.ep
            if says:
                self._promise(endpoint)
            else:
                await self._commit_sandbox(box, put=(endpoint,))
        if says:
            path = self._folder / box.namespace
            _, (endpoint,) = await self._join_asked(box, [draft], path, fresh=False)
        else:
            await self._follow(before, sandbox)
        self._tell("connect", net, box.container)
        return endpoint

    async def plan_join(
        self, sandbox: str, network: str, request: EndpointRequest
    ) -> tuple[Step, ...]:
        """The steps that joining would take."""
        box, net = self._box(sandbox), self._joinable(network)
        if self.outside.foreign(net):
            raise Unsupported("a join that somebody else has a say in cannot be planned here")
        joiner = Joiner(self._expected(), box, self._draw, self.held, await self._links(box))
        endpoint = joiner.join(net, request)
        change = Change(put=(endpoint,))
        return self._committer.plan(self.world, self.world.after(change), change)

    @whole
    async def leave(self, sandbox: str, network: str) -> None:
        """Take a running sandbox off a network."""
        async with self._lock:
            box, net = self._box(sandbox), self.network(network)
            mine = [e for e in self.world.joined(sandbox) if e.network == net.id]
            if not mine:
                raise Failed(f"container {box.container} is not connected to network {net.name}")
            before, owed = self.world, self._parting(self.world, mine)
            self.courier.held.update(errand.id for errand in owed)
            await self._commit_sandbox(box, put=owed, drop=tuple(mine))
        self._reap_soon()
        await self.courier.run(owed)
        await self._follow(before, sandbox)
        self._tell("disconnect", net, box.container)

    @whole
    async def publish(self, sandbox: str, wanted: Sequence[PortRequest]) -> tuple[Port, ...]:
        """Replace the ports that a running sandbox is published on."""
        async with self._lock:
            box = replace(self._box(sandbox), publish=tuple(wanted))
            return (await self._commit_sandbox(box)).ports

    @whole
    async def rename(self, sandbox: str, name: str) -> None:
        """Give a sandbox another name; the others resolve it at once."""
        async with self._lock:
            box = replace(self._box(sandbox), name=name)
            await self._commit(Change(put=(box,)))

    @whole
    async def relet(self, endpoint: str, lease: Lease) -> None:
        """Write an endpoint anew with another lease; its address and ways follow from that.

        Raises Failed for a lease that cannot be, beside what there is. One that is gone by now
        is no error.
        """
        async with self._lock:
            ep = self.world.endpoints.get(endpoint)
            if ep is None:
                return
            box, net = self.world.sandboxes[ep.sandbox], self.world.networks[ep.network]
            found = (lease.address,)
            way = ways(net, box, found, lease)
            new = replace(ep, addresses=found, gateways=way, lease=lease)
            facts.check_endpoint(self.world, net, new)
            if (ep.addresses, ep.gateways) == (found, way):
                await self._commit(Change(put=(new,)))
            else:
                await self._commit_sandbox(box, put=(new,))
        if new.addresses != ep.addresses:
            self._tell("update", net, box.container)

    # Inside

    async def _commit_sandbox(
        self, box: Sandbox, put: tuple[Thing, ...] = (), drop: tuple[Thing, ...] = ()
    ) -> Sandbox:
        """Commit a sandbox; with a way out of its own if none of its networks is one."""
        after = self.world.after(Change(put=(box, *put), drop=drop))
        lacking, has = gateway.lacks_way_out(after, box), gateway.served(after, box)
        if has is not None and not lacking:
            drop = (*drop, has)
        elif lacking and has is None:
            net = self.world.called(gateway.GATEWAY) or await self._new_network(gateway.REQUEST)
            links = await self._links(box)
            joiner = Joiner(after.after(Change(put=(net,))), box, self._draw, self.held, links)
            way = replace(joiner.join(net, EndpointRequest()), service=True)
            put = (*put, net, way)
        box = await super()._commit_sandbox(box, put, drop)
        if drop:
            self._reap_soon()
        return box

    def _box(self, sandbox: str) -> Sandbox:
        try:
            return self.world.sandboxes[sandbox]
        except KeyError:
            raise NotFound(f"sandbox {sandbox} not found") from None

    async def _look(self, request: SandboxRequest) -> Place | None:
        """The namespace that a sandbox is to adopt, if it is to adopt one."""
        if not request.source:
            return None
        kernel, world = self._committer.kernel, self.world
        return await self._committer.on_thread(
            lambda: adoption.found(kernel, world, request.source)
        )

    async def _links(self, box: Sandbox) -> frozenset[str]:
        """The interfaces in a sandbox that other programs may put some into."""
        if not box.free:
            return frozenset()
        kernel = self._committer.kernel
        return await self._committer.on_thread(lambda: kernel.look(box.namespace).links)

    def _draft(
        self,
        joiner: Joiner,
        net: Network,
        request: EndpointRequest,
        says: Mapping[str, Say],
    ) -> Draft:
        """An endpoint to be, with those who have a say in it."""
        say = says.get(net.id, NOBODY)
        if say is NOBODY and self.outside.foreign(net):
            raise Conflict(f"network {net.name} was made anew meanwhile", hint="try again")
        requests.check_enforced(request.options, self._committer.host.firewall)
        return Draft(net, request, joiner.join(net, request, say.ledger is None), say)

    def _joinable(self, ref: str) -> Network:
        net = self.network(ref)
        if net.config_only:
            raise Forbidden("cannot create endpoint on configuration-only network")
        if net.driver not in DRIVERS and not net.remote:
            raise Forbidden(f"network {net.name} has no driver here")
        return net
