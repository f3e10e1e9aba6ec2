"""commit: one change of the world, made durable, made real, made known.

::

    intent on disk → steps in the kernel → dataplane → done on disk → the new world

Names and views, which can be taken back, are told the dataplane while the kernel
is at work; it is done when both have been done.

All that blocks happens on one thread, the kernel thread: RTNL is one lock, and
a thread that may stand in a foreign namespace must be one that nobody else
uses. A refusal undoes the steps that were taken, in reverse. If the kernel was
not as the world says (somebody deleted something of ours), the host is repaired
once and the change tried again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar

from fairlead.controller import documents, dropping, flows, serving, want
from fairlead.controller.extent import Extent, extent
from fairlead.controller.ground import survey
from fairlead.controller.mending import View, mend, standing
from fairlead.controller.news import news
from fairlead.controller.seals import Seals
from fairlead.controller.serving import Serving
from fairlead.controller.telling import Sockets, Telling, dataplane_changes, shut
from fairlead.controller.want import Claim
from fairlead.dataplane.client import Dataplane
from fairlead.firewall.policy import Policy, policy
from fairlead.firewall.renderer import Firewall
from fairlead.kernel.errors import Refused
from fairlead.kernel.port import Kernel
from fairlead.kernel.sockets import hear
from fairlead.model.errors import Unavailable
from fairlead.model.state import (
    HOST,
    Bridge,
    IPAddress,
    Key,
    Lent,
    Namespace,
    Resource,
    Scope,
    State,
    Veth,
)
from fairlead.model.step import Effect, Step
from fairlead.model.trait import Trait
from fairlead.model.underlay import Underlay
from fairlead.model.world import Change, World
from fairlead.plan.diff import diff
from fairlead.store.sqlite import Store

T = TypeVar("T")
ROUNDS = 4
"""A repair looks again after it acted; more rounds than this never helped anybody."""


class Committer:
    """Takes the host from one world to the next."""

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        dataplane: Dataplane,
        walls: Firewall,
        host: want.Host,
    ) -> None:
        self.store = store
        self.kernel = kernel
        self.dataplane = dataplane
        self.walls = walls
        self.host = host
        self._policies: tuple[tuple[World, Policy], ...] = ()
        self._written: tuple[tuple[Policy, want.Host, tuple[Claim, ...]], ...] = ()
        self._thread = ThreadPoolExecutor(1, "fairlead-kernel")
        self._shaken = False
        self.seals = Seals(kernel, host)
        self._number = max((number for number, _, _ in store.intents()), default=0)

    async def on_thread(self, work: Callable[[], T]) -> T:
        """Run something that blocks on the kernel thread. Finishes even if nobody waits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        self._thread.shutdown(wait=True)

    def plan(self, before: World, after: World, change: Change) -> tuple[Step, ...]:
        """The steps of a change, from what the world says is there."""
        return self._steps(before, after, extent(before, after, change))

    def _steps(self, before: World, after: World, what: Extent) -> tuple[Step, ...]:
        rules = self._policy(before)
        changed = rules.after(after, what.nets, what.boxes)
        self._policies = ((before, rules), (after, changed))
        ports = self.walls.whole and rules.ports != changed.ports
        everywhere = what.walls or ports or rules.links != changed.links
        old = self._part(before, what, rules if everywhere else None)
        new = self._part(after, what, changed if everywhere else None)
        steps = diff(new, old)
        effects: tuple[Effect, ...] = (
            *flows.forgotten(before, after, what.boxes, (rules, changed)),
            *news(before, after, what, self.host),
        )
        if not steps or not effects:
            return steps
        return (*steps[:-1], replace(steps[-1], then=effects))

    def _policy(self, world: World) -> Policy:
        """What a world allows; of the last two it is known."""
        for known, rules in self._policies:
            if known is world:
                return rules
        return policy(world)

    async def commit(
        self,
        before: World,
        change: Change,
        upstreams: tuple[IPAddress, ...],
        held: dict[str, socket.socket] | None = None,
        revive: Callable[[World], Awaitable[Sequence[str]]] | None = None,
    ) -> World:
        """Make a change real; the world after it. All or nothing.

        `held` are sockets that hold the ports which the change publishes; `revive`
        starts a dataplane that has died and tells it all about a world.
        """
        after = before.after(change)
        what = extent(before, after, change)
        wide = serving.touched(before, after, what.boxes)
        had = serving.serving(before, upstreams, wide, self.host.proxy, what.peers)
        has = serving.serving(after, upstreams, wide, self.host.proxy, what.peers)
        fresh = has.views.keys() - had.views.keys()
        done = documents.documents(change)
        if before.bearing(Trait.CALLED):
            await shut(self.dataplane, had.ports.keys() - has.ports.keys())
        with ExitStack() as stack:
            sockets = Sockets(ports=held or {})
            stack.callback(sockets.close)

            telling = self._tell_early(had, has) if not held and not fresh else None

            def program() -> int | None:
                number = self._program(before, after, what, change, fresh, sockets)
                if held or fresh or (had != has and (telling is None or not telling.heard())):
                    return number
                # Nobody else has to hear of it: one trip to the thread is enough.
                try:
                    self.store.finish(number, done)
                except BaseException:
                    self._undo(before, after, what, number)
                    raise
                return None

            try:
                number = await self.on_thread(program)
            except BaseException:
                if telling is not None:
                    await telling.take_back(dataplane_changes(has, had, sockets))
                raise
            if number is None:
                return after
            try:
                try:
                    if telling is not None:
                        await telling.task
                    else:
                        await self.dataplane.apply(dataplane_changes(had, has, sockets))
                except Unavailable:
                    if revive is None:
                        raise
                    # Its successor gets sockets of its own, in the places of these.
                    sockets.close()
                    if lost := await revive(after):
                        raise Unavailable(lost[0]) from None
                await self.on_thread(lambda: self.store.finish(number, done))
            except BaseException:
                undo = self.on_thread(lambda: self._undo(before, after, what, number))
                await asyncio.shield(undo)
                raise
        return after

    def _tell_early(self, had: Serving, has: Serving) -> Telling | None:
        """Tell the dataplane while the kernel is at work, where it can be taken back.

        Sockets cannot: they are made when their namespace is there, and closed for good.
        """
        same = had.views.keys() == has.views.keys() and had.ports.keys() == has.ports.keys()
        if had == has or not same:
            return None
        return Telling(self.dataplane, dataplane_changes(had, has, Sockets()))

    def _undo(self, before: World, after: World, what: Extent, number: int) -> None:
        """Take back a change that the kernel has made."""
        self._take_back(self._steps(before, after, what))
        self.store.abandon(number)

    def _program(
        self,
        before: World,
        after: World,
        what: Extent,
        change: Change,
        fresh: Collection[str],
        sockets: Sockets,
    ) -> int:
        """The part on the kernel thread: intent, steps, sockets in `fresh` sandboxes."""
        self._survey(before, after, what)
        steps = self._steps(before, after, what)
        self._number += 1
        number = self._number
        put, gone = documents.encode_things(change.put), documents.encode_ids(change.drop)
        dropping.note(self.store, (step.after for step in steps))
        self.store.begin(number, put, gone)
        try:
            self._apply(steps, before)
            try:
                for held in sockets.ports.values() if after.bearing(Trait.CALLED) else ():
                    hear(held)
                for box in fresh:
                    space = after.sandboxes[box].namespace
                    sockets.resolvers[box] = self.kernel.resolver_sockets(space)
            except BaseException:
                self._take_back(steps)
                raise
        except BaseException:
            self.store.abandon(number)
            raise
        return number

    def survey(self, world: World, hosts: Collection[IPAddress] | None = None) -> tuple[Step, ...]:
        """Find out where hosts are, and, if it is all, firewalld; the steps that news call for."""
        zoned = self.host.firewall and self.kernel.zoned() if hosts is None else self.host.zoned
        if zoned != self.host.zoned:
            self.host = replace(self.host, zoned=zoned)
        self.host, steps = survey(self.kernel, world, self.walls, self.host, hosts)
        return steps

    def _survey(self, before: World, after: World, what: Extent) -> None:
        """Know where the hosts are that a change is about; what stood on other ground goes."""
        routed = {net.id for net in after.spanning() if net.routed}
        if not routed:
            return
        steps = self.survey(before, {there for id_, there in what.hosts if id_ in routed})
        if steps:
            try:
                self.kernel.apply(steps)
            except Refused:
                self._settle(before)

    def _apply(self, steps: Sequence[Step], before: World) -> None:
        """Apply, or leave no trace; once more after a repair if the kernel surprised us."""
        if self._shaken:
            self._settle(before)
        try:
            self._try(steps)
        except Refused:
            # All is undone; something of ours must have been gone. What people changed stays.
            self.kernel.reap()
            mend(self.kernel, self.seals.spared(self.wanted(before)), View())
        except ExceptionGroup:
            # What could not be undone, because its ground is gone as well, the repair restores.
            self._settle(before)
        else:
            return
        try:
            self._try(steps)
        except ExceptionGroup as group:
            # A kernel that refuses what it granted a moment ago: put it right, and say why.
            self._settle(before)
            raise group.exceptions[0] from group

    def _settle(self, world: World) -> None:
        """Put the host right. If not even that can be done now, the next change begins with it."""
        self._shaken = True
        self.kernel.reap()
        self.repair(world)
        self._shaken = False

    def _take_back(self, steps: Sequence[Step]) -> None:
        self._shaken = True
        self.seals.taken_back(steps)
        # What was removed comes back under its name, which a link that waits to go still has.
        self.kernel.reap()
        self.kernel.apply([step.undo() for step in reversed(steps)])
        self._shaken = False

    def _try(self, steps: Sequence[Step]) -> None:
        try:
            self.kernel.apply(steps)
        except Refused as refused:
            undo = [step.undo() for step in reversed(refused.applied)]
            try:
                self.kernel.reap()
                self.kernel.apply(undo)
            except Refused as second:
                raise ExceptionGroup(str(refused), [refused, second]) from refused
            raise

    def repair(self, world: World, whole: State | None = None) -> tuple[Step, ...]:
        """Make the kernel what the world says it is; the steps that this took.

        `whole` is all that the world wants, if the caller surveyed and worked it out already.
        """
        if whole is None:
            self.survey(world)
            whole = self.wanted(world)
        wanted = self.seals.spared(standing(self.kernel, whole))
        dropping.note(self.store, wanted.values())
        scope = Scope(settings=frozenset(k for k, r in wanted.items() if r.LASTING))
        have = self.kernel.observe(scope)
        wanted = self._possible(wanted, have)
        taken: list[Step] = []
        for _ in range(ROUNDS):
            steps = diff(wanted, have)
            if not steps:
                break
            self.kernel.apply(steps)
            taken += steps
            have = self._again(scope, have, steps)
        else:
            return tuple(taken)
        self.kernel.settle(intact=True)
        return tuple(taken)

    def _possible(self, wanted: State, have: State) -> State:
        """What is wanted, without links of others that these have taken away, and what is on them.

        Only they could make them again. Whoever is on such a network is told by its plugin.
        """
        lent = [r for r in wanted.values() if isinstance(r, Lent) and r.key not in have]
        gone = [r for r in lent if self.kernel.host_link(r.name) is None]
        if not gone:
            return wanted
        lost = {key for link in gone for key in (link.key, *link.provides)}
        return {k: r for k, r in wanted.items() if k not in lost and lost.isdisjoint(r.needs)}

    def _again(self, scope: Scope, had: State, steps: Sequence[Step]) -> State:
        """What is there after steps; what they could not touch is not looked at once more."""
        if not all(_of_host(step.resource) for step in steps):
            return self.kernel.observe(scope)
        inside = {
            k: r
            for k, r in had.items()
            if not _of_host(r)
            and k not in scope.settings
            and not (isinstance(r, Bridge) and r.namespace == HOST)
        }
        return {**inside, **self.kernel.observe(replace(scope, namespaces=frozenset({HOST})))}

    def claimed(self, world: World) -> tuple[State, dict[Key, str]]:
        """All that a world wants of the kernel, and who wants it."""
        return want.states(want.claims(world, self.walls, self.host))

    def wanted(self, world: World) -> State:
        """All that a world wants of the kernel."""
        return self.claimed(world)[0]

    def _part(self, world: World, what: Extent, rules: Policy | None) -> State:
        walls, host = self.walls, self.host
        found: list[Claim] = []
        for net in (world.networks[n] for n in what.nets if n in world.networks):
            found += want.network(world, net, walls, host)
        for box in (world.sandboxes[b] for b in what.boxes if b in world.sandboxes):
            found += want.sandbox(world, box, walls, host)
        for who in (world.peers[p] for p in what.peers if p in world.peers):
            found += want.peer(world, who, walls, host)
        for id_, there in what.hosts:
            found += want.heard(world, id_, there, walls, host)
        if what.seals:
            found += want.sealed(world, host, what.seals)
        if rules is not None:
            found += self._walled(world, rules)
        wanted, _ = want.states(found)
        return wanted

    def _walled(self, world: World, rules: Policy) -> tuple[Claim, ...]:
        """The rules that speak of everything; of the last two policies they are known."""
        for known, host, claims in self._written:
            if known is rules and host is self.host:
                return claims
        claims = tuple(want.firewall(world, self.walls, self.host, rules))
        self._written = (*self._written[-1:], (rules, self.host, claims))
        return claims


def _of_host(resource: Resource) -> bool:
    """Whether it is on the host alone, where no sandbox stands on it."""
    sandboxed = isinstance(resource, Namespace | Veth | Bridge | Underlay)
    return not sandboxed and getattr(resource, "namespace", HOST) == HOST
