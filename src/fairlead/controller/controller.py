"""The controller: the only writer of networks, and the library's face.

Reads take no lock: the world is immutable and swapped whole. A change asks the
outside world first, then takes the one lock, plans from the world as it is then
and commits.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import ParamSpec, TypeVar

from fairlead.controller import (
    adoption,
    gateway,
    names,
    parents,
    requests,
    upkeep,
    upstreams,
    want,
)
from fairlead.controller.access import without_access
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.asker import Draft
from fairlead.controller.commit import Committer
from fairlead.controller.defaults import completed
from fairlead.controller.doctor import Doctor
from fairlead.controller.healing import Healer
from fairlead.controller.join import Draw, Held, Joiner, nothing_held
from fairlead.controller.learner import Learner
from fairlead.controller.maker import whole
from fairlead.controller.resume import resume
from fairlead.controller.start import Settings, start
from fairlead.driver.interface import DRIVERS
from fairlead.ipam.addresses import check_endpoint
from fairlead.ipam.pool import unique_local
from fairlead.kernel.port import Place
from fairlead.model.endpoint import Endpoint, EndpointRequest, Port, PortRequest
from fairlead.model.errors import Conflict, Failed, FairleadError, Forbidden, NotFound, Unsupported
from fairlead.model.network import Network, NetworkRequest, Pool, bridge_name
from fairlead.model.options import bridge_options
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.state import Step
from fairlead.model.world import Change, Thing, World
from fairlead.plan.explain import explain

P = ParamSpec("P")
T = TypeVar("T")
REAP_SECONDS = 0.02


class Controller(Learner):
    """Networks, sandboxes and endpoints of one host."""

    def __init__(
        self,
        committer: Committer,
        settings: Settings,
        folder: Path,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        draw: Draw = secrets.token_hex,
    ) -> None:
        super().__init__(committer, settings, resolv_conf, draw)
        self.unique_local = unique_local(bytes(5))
        self.held: Held = nothing_held
        self._folder = folder
        self.healer = Healer(
            committer, self._lock, lambda: self.world, self._warn, self._tell_overlap
        )
        self.doctor = Doctor(
            committer, self._lock, lambda: self.world, lambda: self.warnings, self._upstreams
        )

    async def start(self, alive: Callable[[Sandbox], bool] = lambda box: True) -> tuple[Step, ...]:
        """Load the world, drop sandboxes that are not alive, repair the host; the steps taken.

        Raises Conflict when a bridge or chain of our name belongs to somebody else.
        """
        async with self._lock:
            begun = await start(
                self._committer,
                self.settings,
                alive,
                self._upstreams(),
                self._draw,
                self.outside.foreign,
            )
        self.world = begun.world
        self.unique_local = begun.unique_local
        self.warnings = begun.warnings
        if begun.steps:
            # Nobody may ever remove anything else that would take these along.
            self._reap_soon()
        self._resume()
        return begun.steps

    async def close(self) -> None:
        """Stop; what runs goes on running."""
        await self._hush()
        await self.healer.close()
        await self._finish()
        self._committer.close()

    async def watch(self) -> None:
        """Start the dataplane again whenever it ends; returns only when cancelled."""
        while True:
            await self._committer.dataplane.gone()
            async with self._lock:
                self.warnings += await resume(self._committer, self.world, self._upstreams())

    async def follow_upstreams(self) -> None:
        """Let containers ask the host's name servers as they are; returns only when cancelled."""
        async for found in upstreams.changed(self._resolv_conf):
            async with self._lock:
                await upstreams.tell(self._committer.dataplane, self.world, found)

    # The whole host

    @whole
    async def repair(self) -> tuple[Step, ...]:
        """Make kernel and dataplane what the world says they are; the steps that this took."""
        async with self._lock:
            committer, world = self._committer, self.world
            steps = await committer.on_thread(lambda: committer.repair(world))
            self.warnings += await resume(committer, world, self._upstreams())
        return steps

    async def plan_repair(self) -> tuple[Step, ...]:
        """The steps with which a repair would begin."""
        async with self._lock:
            committer, world = self._committer, self.world
            return await committer.on_thread(lambda: upkeep.damage(committer, world))

    @whole
    async def erase(self) -> None:
        """Take everything of ours from the host, sandboxes with what runs in them, and stop."""
        async with self._lock:
            committer = self._committer
            await committer.on_thread(lambda: upkeep.erase(committer))
            self.world = World()
            await committer.dataplane.stop()

    # Networks

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
        """Remove a network that nobody is on."""
        async with self._lock:
            net = self.network(ref)
            requests.check_removable(self._expected(), net)
            ends, boxes = without_access(self.world, net)
            owed = (*self._parting(self.world, ends), *self._ending(net))
            self.courier.held.update(errand.id for errand in owed)
            await self._commit(Change(put=owed, drop=(*ends, *boxes, net)))
        self._reap_soon()
        await self.courier.run(owed)
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

    # Sandboxes

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

    # Reading

    def check_endpoint(self, network: str, request: EndpointRequest) -> None:
        """Whether a container may ask that of a network. Raises Invalid with every fault."""
        check_endpoint(self.network(network), request)

    def names(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The names of an endpoint on its network."""
        return names.dns_names(self.world, endpoint)

    def uses_resolver(self, sandbox: str) -> bool:
        """Whether 127.0.0.11 answers in a sandbox."""
        return want.uses_resolver(self.world, sandbox)

    def explain(self, ref: str) -> list[str]:
        """Each kernel object that stands for a network or a container, and why."""
        committer = self._committer
        found = want.claims(self.world, committer.walls, committer.host)
        state, owners = want.states(found)
        lines = explain(self.world, ref, state, owners)
        return lines + [f"  warning: {text}" for text in names.contests(self.world, ref)]

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

    def _known(self, ref: str) -> Network | None:
        try:
            return self.network(ref)
        except FairleadError:
            # Whoever takes the lock says what is wrong with it.
            return None

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
        return Draft(net, request, joiner.join(net, request, say.ledger is None), say)

    async def _check_encryption(self, *nets: Network) -> None:
        """Whether this host can encrypt what it is asked to. Raises CannotEncrypt."""
        committer = self._committer
        underlay = committer.host.underlay
        if underlay is not None and any(net.encrypted for net in nets):
            await committer.on_thread(lambda: committer.kernel.check_encryption(underlay.version))

    def _joinable(self, ref: str) -> Network:
        net = self.network(ref)
        if net.config_only:
            raise Forbidden("cannot create endpoint on configuration-only network")
        if net.driver not in DRIVERS and not net.remote:
            raise Forbidden(f"network {net.name} has no driver here")
        return net
