"""member: this host as a member of a cluster.

::

    lease ──► the store ──► events ──► view ──► change of the world ──► kernel, names
                 ▲                                      │
                 └────────── tidy ◄─────────────────────┘

What others have done arrives as events and is folded into a view; what of it concerns this
host becomes a change of the world, committed like any other. What the store says of this
host itself is kept as this host is. While the store is away nothing is forgotten: what was
known last goes on, and so do the peers of hosts whose lives nobody could tell of.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import aclosing

from fairlead.cluster.gossip import PeerEvent
from fairlead.cluster.leaks import Leak, aged
from fairlead.cluster.view import View, changed
from fairlead.controller.ask import Outside, Several
from fairlead.controller.shared import fold
from fairlead.controller.shared.access import Access
from fairlead.controller.shared.asked import Asked
from fairlead.controller.shared.contact import Contact, Heard
from fairlead.controller.shared.fold import Sight
from fairlead.controller.shared.history import History
from fairlead.controller.shared.keyring import Keys
from fairlead.controller.shared.lives import Lives
from fairlead.controller.shared.membership import Membership, Told
from fairlead.controller.shared.networks import Networks
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.plugged import PluggedSays, left_alone
from fairlead.controller.shared.repair import Mine, repair
from fairlead.controller.shared.say import ClusterSays, SharedLedger, SharedParty
from fairlead.controller.shared.seal import Seal
from fairlead.controller.shared.tidy import tidy, untidy
from fairlead.gossip.gossip import Gossip, Lookup, in_use
from fairlead.gossip.roster import MemberEvent
from fairlead.model.endpoint import Endpoint
from fairlead.model.errand import Errand
from fairlead.model.errors import FairleadError
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import Change
from fairlead.store.shared import Entry, Event, Snapshot

TIDY_SECONDS = 20.0
REPAIR_SECONDS = 60.0
LEAK_SECONDS = 300.0
"""What lies in the store for nobody so long, nobody is busy with."""
DOUBT_SECONDS = 10.0
"""So long hosts have at least to say again who is there, after the store has lost some of it."""
AGAIN_SECONDS = 5.0
"""What could not be done here is tried again so much later."""
SETTLE_SECONDS = 0.5
"""After a change that concerns this host: what is being written is mostly complete by then."""


class Member:
    """Follows the store of a cluster and keeps this host's part of it."""

    def __init__(
        self,
        place: Place,
        who: Membership,
        networks: Networks,
        gossip: Gossip | None = None,
        clock: Callable[[], float] = time.monotonic,
        history: History | None = None,
    ) -> None:
        self.view = View(place.keys)
        self.ready = asyncio.Event()
        """What the store says has been heard once."""
        self.met: list[Callable[[IPAddress, bool], None]] = []
        """Who hears of every host that came (True) or went."""
        self.seal = Seal(Keys(place, who.node.address, who.secret), networks, self._dead, who.pace)
        self._doubted: dict[str, float] = {}
        """Networks of which the store has lost something, and until when that matters."""
        self._missed: float | None = None
        """When to take in again what could not be done here."""
        self._place = place
        self._who = who
        self._networks = networks
        self._gossip = gossip
        self._asked = Asked(gossip, self.own, networks.warn)
        self._clock = clock
        self._history = history if history is not None else History(clock)
        self._lives = Lives(who.ttl_seconds, clock)
        self._alive: frozenset[IPAddress] = frozenset()
        self._contact = Contact(place, who.node, who.ttl_seconds, networks.warn, self._lost)
        self._untidy = asyncio.Event()
        self._access = Access(
            networks, who.name or str(who.node.address), self.ready, lambda: bool(self.trouble)
        )
        self._hidden: set[str] = set()
        self._complaints: set[tuple[str, str]] = set()

    @property
    def own(self) -> IPAddress:
        """The address by which other hosts reach this one."""
        return self._who.node.address

    @property
    def trouble(self) -> str:
        """Why the store cannot be used at the moment."""
        return self._contact.trouble

    def says(self, plugins: Outside) -> Outside:
        """Who has a say in overlays, and in networks of plugins."""
        ledger = SharedLedger(self._place, self._history, self._networks.occupied)
        tell, learn, seal = self._tell, self._learn_vnis, self.seal.join
        party = SharedParty(self._place, ledger, self.own, tell, learn, seal)
        return Several(ClusterSays(ledger, party), PluggedSays(plugins, ledger, party))

    async def run(self) -> None:
        """Be a member; returns only when cancelled."""
        self._lives.spare(peer.host for peer in self._networks.world.peers.values())
        for text in left_alone(self._networks.world):
            self._networks.warn(text)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._contact.run())
            tasks.create_task(self._fold())
            tasks.create_task(self._keep_tidy())
            tasks.create_task(self._access.run())
            tasks.create_task(self._repair())
            tasks.create_task(self.seal.run())
            if self._gossip is not None:
                tasks.create_task(self._listen(self._gossip))

    def heed(self, change: Change) -> None:
        """Something of this host's has changed: let the store say so soon."""
        if any(isinstance(thing, Errand) for thing in change.drop):
            self._untidy.set()
        if any(isinstance(thing, Sandbox | Endpoint) for thing in (*change.put, *change.drop)):
            self._untidy.set()
            self.seal.heed()
            self._access.due.set()

    def told(self) -> Told:
        """What people are told of it."""
        world = self._networks.world
        return Told(
            store=self._place.store.name,
            advertised=str(self._who.node),
            address=self.own,
            hears=in_use(self._gossip),
            hosts=tuple(sorted(map(str, self._alive | {self.own}))),
            networks=sum(net.shared for net in world.networks.values()),
            peers=len(world.peers),
            trouble=self.trouble,
        )

    # The store

    def _lost(self) -> None:
        """Others cannot say that they live, either."""
        self._lives.spare(self._alive)

    async def _fold(self) -> None:
        while True:
            batch = await self._next()
            before = self.view
            for folder, event in batch:
                self.view = await _after(self.view, folder, event)
            if self._contact.complete:
                whole = any(isinstance(event, Snapshot) for _, event in batch)
                await self._take_in(before, whole or not self.ready.is_set())
                self.ready.set()

    async def _next(self) -> list[Heard]:
        """What was heard next; what is due before it is done."""
        while True:
            ends = (self._lives.next_end(), self._missed, *self._doubted.values())
            due = [end for end in ends if end is not None]
            try:
                wait = max(0.0, min(due) - self._clock()) + 0.01 if due else None
                async with asyncio.timeout(wait):
                    return await self._contact.next()
            except TimeoutError:
                missed = self._missed is not None and self._missed <= self._clock()
                if self.ready.is_set() and (missed or not self.trouble):
                    await self._take_in(self.view, whole=missed)

    async def _take_in(self, before: View, whole: bool) -> None:
        """Let the world be as the view says now."""
        # A daemon that is started again makes its key anew, in some stores after removing it.
        self._lives.spare(before.hosts - self.view.hosts, self._who.heartbeat_seconds)
        if not self.ready.is_set():
            self._catch_up()
        for was, now in changed(before, self.view):
            if self.ready.is_set():
                self._remember(was, now)
            await self._asked.changed(was, now, self._lives.gossiping)
            if self.own in {peer.host for peer in (was, now) if peer is not None}:
                self._untidy.set()
                self._doubt(was, now)
        met, sure = self._meet_hosts(), self._sure()
        if whole:
            nets = fold.every_network(self.view, self._networks.world)
            members = fold.every_member(self.view, self._networks.world, nets)
        else:
            nets = fold.networks_between(before, self.view)
            members = fold.members_between(before, self.view) | fold.members_on(self.view, met)
            members |= fold.every_member(self.view, self._networks.world, sure)
        if whole or nets:
            self._untidy.set()
        self._missed = None if whole else self._missed
        if nets or members:
            await self._learn(nets, members)
        self._access.due.set()
        self._complain()
        if (whole or met) and self._gossip is not None:
            await self._join(self._gossip)

    def _meet_hosts(self) -> frozenset[IPAddress]:
        """The hosts that came or went since, after telling who asked to hear of them."""
        alive = self._lives.with_those(self.view.hosts)
        met = alive ^ self._alive
        self._alive = alive
        for host in sorted(met, key=str):
            for listener in self.met:
                listener(host, host in alive)
        return met

    async def _learn(self, nets: frozenset[str], members: fold.Members) -> None:
        sight = Sight(self.view, self.own, self._alive, frozenset(self._doubted))
        try:
            await self._networks.learn(lambda world: fold.change(world, sight, nets, members))
        except (FairleadError, ExceptionGroup) as error:
            if self._missed is None:
                self._networks.warn(f"what the cluster says cannot be done here: {error}")
            self._missed = self._clock() + AGAIN_SECONDS

    def _doubt(self, was: Peer | None, now: Peer | None) -> None:
        """What this host has said only this host takes back: else it was lost, and more with it."""
        if was is not None and now is None and was.id in self._networks.world.endpoints:
            patience = max(DOUBT_SECONDS, self._who.ttl_seconds)
            self._doubted[was.network] = self._clock() + patience

    def _sure(self) -> frozenset[str]:
        """The networks that are doubted no longer."""
        now = self._clock()
        sure = frozenset(net for net, until in self._doubted.items() if until <= now)
        self._doubted = {net: t for net, t in self._doubted.items() if net not in sure}
        return sure

    def _catch_up(self) -> None:
        """The first that is heard: what was known at the end, and is no more, ended meanwhile."""
        for peer in self._networks.world.peers.values():
            if self.view.endpoints(peer.network).get(peer.id) is None:
                self._remember(peer, None)
        for network in self.view.networks:
            for peer in self.view.endpoints(network).values():
                for address in peer.addresses:
                    self._history.found(address)

    def _remember(self, was: Peer | None, now: Peer | None) -> None:
        had = frozenset(was.addresses if was is not None else ())
        has = frozenset(now.addresses if now is not None else ())
        for address in had - has:
            self._history.released(address)
        for address in has - had:
            self._history.given(address)

    def _complain(self) -> None:
        """Say once what was refused, and which networks cannot be shown."""
        found = {(key, reason) for key, reason in self.view.complaints.items()}
        for key, reason in sorted(found - self._complaints):
            self._networks.warn(f"the cluster's store has a bad value, not used: {key}: {reason}")
        self._complaints = found
        names = {net.name for net in fold.hidden(self.view, self._networks.world)}
        for name in sorted(names - self._hidden):
            self._networks.warn(
                f"network {name} of the cluster is not shown: this host has one of that name"
            )
        self._hidden = names

    def _dead(self, host: IPAddress) -> bool:
        alive = self._lives.with_those(self.view.hosts)
        return self.ready.is_set() and not self.trouble and host not in alive

    # This host's part

    async def _keep_tidy(self) -> None:
        await self.ready.wait()
        wait = TIDY_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._untidy.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._untidy.clear()
            wait = TIDY_SECONDS if self.trouble or await self._tidy() else AGAIN_SECONDS

    async def _tidy(self) -> bool:
        """Whether the store says of this host what it should, and this host has what is there."""
        networks = self._networks
        amiss = fold.networks_amiss(self.view, networks.world)
        if amiss:
            await self._learn(amiss, frozenset())
        what = untidy(networks.world, self.view, self.own, networks.promised)
        for ep in what.yielding:
            net, box = networks.world.networks[ep.network], networks.world.sandboxes[ep.sandbox]
            networks.warn(
                f"{box.name} leaves network {net.name}: another endpoint of the cluster has "
                f"{', '.join(str(a.ip) for a in ep.addresses)}; connect it again"
            )
            try:
                await networks.leave(box.id, net.id)
            except FairleadError as error:
                networks.warn(f"{box.name} could not leave network {net.name}: {error.message}")
        return await tidy(self._place, what, self.own, networks.warn)

    async def _repair(self) -> None:
        """Give back, now and then, what hosts that died have left; one host does it for all."""
        seen: dict[Leak, float] = {}
        old: frozenset[Leak] = frozenset()
        while True:
            await asyncio.sleep(REPAIR_SECONDS)
            if self.trouble or self.own != min(self._alive | {self.own}, key=str):
                seen, old = {}, frozenset()
                continue
            ours = {*self._networks.world.endpoints, *self._networks.promised}
            try:
                found = await repair(self._place, Mine(self.own, ours, old))
            except FairleadError as error:
                self._networks.warn(f"the cluster's store cannot be looked at: {error.message}")
                continue
            seen, old = aged(seen, found.left, self._clock(), LEAK_SECONDS)
            for fault in found.faults:
                self._networks.warn(f"the cluster's store cannot be put right: {fault}")

    async def _learn_vnis(self, network: str, vnis: tuple[int, ...]) -> None:
        await self._networks.learn(lambda world: fold.with_vnis(world, network, vnis))

    # Gossip

    async def _tell(self, event: PeerEvent) -> None:
        if self._gossip is not None:
            await self._gossip.tell(event)

    async def _join(self, gossip: Gossip) -> None:
        try:
            await gossip.join(self.view.hosts - {self.own})
        except FairleadError as error:
            self._networks.warn(f"gossip: {error.message}")

    async def _listen(self, gossip: Gossip) -> None:
        async with aclosing(gossip.heard()) as heard:
            async for word in heard:
                match word:
                    case Lookup():
                        await self._asked.answer(
                            word, self._networks.world, self.view, self._lives.gossiping
                        )
                    case MemberEvent():
                        await self._gossip_of(word)
                    case PeerEvent():
                        # The store says the same, and is the truth.
                        continue

    async def _gossip_of(self, event: MemberEvent) -> None:
        """Somebody came or went: whoever gossips lives, whatever became of its daemon."""
        if event.member.alive:
            self._lives.gossiping.add(event.member.address)
        else:
            self._lives.gossiping.discard(event.member.address)
        if self.ready.is_set():
            await self._take_in(self.view, whole=False)


async def _after(view: View, folder: str, event: Event) -> View:
    if not isinstance(event, Snapshot):
        return view.after(event.key, event.value if isinstance(event, Entry) else None)
    reading = view.renewing(folder, [(each.key, each.value) for each in event.entries])
    while True:
        try:
            next(reading)
        except StopIteration as end:
            found: View = end.value
            return found
        await asyncio.sleep(0)
