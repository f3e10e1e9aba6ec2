"""Changes of networks in which somebody else has a say: draft, ask, commit. See `ask`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead.controller import facts, requests
from fairlead.controller.ask import Alone, Declined, Outside, Say
from fairlead.controller.commit import Committer
from fairlead.controller.courier import Courier
from fairlead.controller.join import Draw, free_name, own_mac, ways
from fairlead.controller.maker import Maker
from fairlead.controller.start import Settings
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errand import Due, Errand, parting
from fairlead.model.errors import FairleadError, Forbidden, NotFound, Unavailable
from fairlead.model.network import Network, NetworkRequest, Pool, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPInterface
from fairlead.model.world import Change, Thing, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft:
    """An endpoint to be, what was asked for, and who has a say in it."""

    net: Network
    request: EndpointRequest
    ep: Endpoint
    say: Say


class Asker(Maker):
    """Asks others before a change is committed, and tells them after one."""

    def __init__(
        self, committer: Committer, settings: Settings, resolv_conf: Path, draw: Draw
    ) -> None:
        super().__init__(committer, settings, resolv_conf)
        self.outside: Outside = Alone()
        self.courier = Courier(lambda: self.outside, lambda: self.world, self._strike, self.warn)
        self._draw = draw
        self._promised: dict[str, Thing] = {}
        self._questions: set[asyncio.Future[Any]] = set()
        self._closing = False

    def _expected(self) -> World:
        """The world with what is promised: what is given out next must fit into that."""
        if not self._promised:
            return self.world
        boxes = self.world.sandboxes
        news = [thing for id_, thing in self._promised.items() if id_ not in boxes]
        return self.world.after(Change(put=tuple(news)))

    async def _says(self, refs: Iterable[str]) -> Mapping[str, Say]:
        """Who has a say in networks, by id; in most nobody has. Before the lock is taken."""
        found: dict[str, Say] = {}
        for ref in refs:
            net = self._known(ref)
            if net is not None and self.outside.foreign(net):
                found[net.id] = await self.outside.find(net)
        return found

    def _known(self, ref: str) -> Network | None:
        try:
            return requests.lookup(self.world, ref)
        except FairleadError:
            # Whoever takes the lock says what is wrong with it.
            return None

    def _resume(self) -> None:
        """After a start: tell others what there is, and what is owed to them."""
        nets = [n for n in self.world.networks.values() if self.outside.foreign(n)]
        if nets or self.world.errands:
            self.courier.start(nets)

    async def _hush(self) -> None:
        """Wait for no answer any more: what takes back the questions is on disk."""
        self._closing = True
        await self.courier.close()
        for question in self._questions:
            question.cancel()

    async def _answer(self, asked: Coroutine[Any, Any, T]) -> T:
        """What somebody else answers. Raises Unavailable if we end before they do."""
        question = asyncio.ensure_future(asked)
        self._questions.add(question)
        try:
            return await question
        except asyncio.CancelledError:
            if not self._closing:
                raise
            raise Unavailable("the daemon is stopping", hint="ask again when it is back") from None
        finally:
            self._questions.discard(question)

    # Networks

    async def _create_asked(self, request: NetworkRequest, draft: Network, say: Say) -> Network:
        """Ask for a network that is promised already, and commit it."""
        async with self._asking((draft,)) as owed:
            alone = say.scope is Scope.GLOBAL and not say.common
            net = replace(draft, scope=say.scope, alone=alone)
            if say.ledger is not None:
                net = replace(net, pools=await self._answer(say.ledger.pools(net, request)))
            given = net.pools if say.ledger is not None else ()
            dues = [self._errand(Due.POOL, net, pool=pool) for pool in given]
            try:
                facts.check_network(self._expected(), net)
            except FairleadError:
                await self._owe(owed, dues)
                raise
            gone = self._errand(Due.DELETE, net)
            await self._owe(owed, [*dues, gone] if say.parties else dues)
            self._promised[net.id] = net
            if say.parties:
                net = await self._unless_declined(owed, gone, self._built(net, say))
            async with self._lock:
                await self._commit(Change(put=(net,), drop=tuple(owed)))
                self._redeemed((net,), owed)
        return net

    async def _built(self, net: Network, say: Say) -> Network:
        for party in say.parties:
            net = await party.create(net)
        return net

    def _ending(self, net: Network) -> tuple[Errand, ...]:
        """What is owed when a network ends."""
        if not self.outside.foreign(net):
            return ()
        pools = (self._errand(Due.POOL, net, pool=pool) for pool in net.pools)
        return (self._errand(Due.DELETE, net), *pools)

    async def _let_go(self, net: Network) -> tuple[Errand, ...]:
        """A network in common with others ends there; what is owed if it does not end here.

        Raises Forbidden, with nothing changed, when somebody is on it there.
        """
        # Somebody else's program hears of it even if we die before it ends here.
        owed: tuple[Errand, ...] = ()
        if net.remote:
            owed = self._ending(net)
            await self._owe([], owed)
        try:
            await self._answer(self.outside.let_go(net))
        except Forbidden:
            await self._strike(owed)
            self.courier.held.difference_update(errand.id for errand in owed)
            raise
        except FairleadError:
            # It ends here all the same: they are told once more, and what is wrong is warned of.
            if self._closing:
                raise
        return owed

    # Endpoints

    async def _join_asked(
        self, box: Sandbox, drafts: Sequence[Draft], place: Path, fresh: bool
    ) -> tuple[Sandbox, tuple[Endpoint, ...]]:
        """Ask for endpoints that are promised already, and commit them with their sandbox."""
        promised = (*((box,) if fresh else ()), *(draft.ep for draft in drafts))
        async with self._asking(promised) as owed:
            found = []
            for draft in drafts:
                ep = await self._asked(owed, box, draft, place)
                self._promised[ep.id] = ep
                found.append((draft.net, ep))
            async with self._lock:
                if not fresh:
                    if box.id not in self.world.sandboxes:
                        raise NotFound(f"sandbox {box.id} not found", hint="it ended meanwhile")
                    box = self.world.sandboxes[box.id]
                before = self.world
                for net, _ in found:
                    if net.id not in before.networks:
                        raise NotFound(f"network {net.name} not found", hint="it ended meanwhile")
                endpoints = tuple([await self._fitted(net, ep) for net, ep in found])
                box = await self._commit_sandbox(box, put=endpoints, drop=tuple(owed))
                self._redeemed(promised, owed)
        try:
            await self._follow(before, box.id)
        except FairleadError:
            await self._part(box, endpoints, fresh)
            raise
        return box, endpoints

    async def _asked(self, owed: list[Errand], box: Sandbox, draft: Draft, place: Path) -> Endpoint:
        net, ep, say = draft.net, draft.ep, draft.say
        if say.ledger is not None:
            given = await self._answer(say.ledger.addresses(net, ep, draft.request))
            dues = [self._errand(Due.ADDRESS, net, ep, address=a) for a in given]
            await self._owe(owed, dues)
            own = own_mac(net, box, draft.request, ep.id, given)
            ep = replace(ep, addresses=given, mac=own, gateways=ways(net, box, given))
            facts.check_endpoint(self._expected(), net, ep)
            self._promised[ep.id] = ep
        if say.lessor is not None:
            ep = await self._answer(say.lessor.let(net, box, ep, draft.request))
            dues = [self._errand(Due.ADDRESS, net, ep, address=a) for a in ep.addresses]
            await self._owe(owed, dues)
            ep = replace(ep, gateways=ways(net, box, ep.addresses, ep.lease))
            facts.check_endpoint(self._expected(), net, ep)
            self._promised[ep.id] = ep
        if say.parties:
            gone = self._errand(Due.LEAVE, net, ep)
            await self._owe(owed, [gone])

            async def joined() -> Endpoint:
                found = ep
                for party in say.parties:
                    found = await party.join(net, box, found, place, box.publish)
                return found

            ep = await self._unless_declined(owed, gone, joined())
        return ep

    async def _fitted(self, net: Network, ep: Endpoint) -> Endpoint:
        """An endpoint as it can be now: what was answered is checked, its interface has a name."""
        expected = self._expected()
        facts.check_endpoint(expected, net, ep)
        if ep.source:
            kernel, name = self._committer.kernel, ep.source
            found = await self._committer.on_thread(lambda: kernel.host_link(name))
            ep = facts.check_link(expected, net, ep, found)
            assert found is not None
            ep = replace(ep, mac=ep.mac or found.mac)
        if ep.prefix:
            others = {e.inside for e in expected.in_sandbox(ep.sandbox) if e.id != ep.id}
            ep = replace(ep, inside=free_name(ep.prefix, others))
        self._promised[ep.id] = ep
        return ep

    async def _follow(self, before: World, box: str) -> None:
        """Tell drivers that a sandbox now reaches the world through them, or no longer."""
        after = self.world
        old, new = before.gateway(box), after.gateway(box)
        if (old.id if old else "") == (new.id if new else ""):
            return
        if old is not None and old.id in after.endpoints:
            await self._conceal(before.networks[old.network], old)
        if new is not None and after.networks[new.network].remote:
            net = after.networks[new.network]
            say = await self.outside.find(net)
            for party in say.parties:
                await party.expose(net, new, after.sandboxes[box].publish)

    async def _conceal(self, net: Network, ep: Endpoint) -> None:
        if net.remote:
            errand = self._errand(Due.CONCEAL, net, ep)
            async with self._lock:
                await self._commit(Change(put=(errand,)))
            await self.courier.run([errand])

    def _parting(self, before: World, gone: Iterable[Endpoint]) -> tuple[Errand, ...]:
        """What is owed when endpoints end."""
        found: list[Errand] = []
        for ep in gone:
            net = before.networks[ep.network]
            if not self.outside.foreign(net):
                continue
            way = before.gateway(ep.sandbox)
            if net.remote and way is not None and way.id == ep.id:
                found.append(self._errand(Due.CONCEAL, net, ep))
            found += parting(net, ep, lambda: self._draw(16), time.time_ns())
        return tuple(found)

    async def _part(self, box: Sandbox, gone: tuple[Endpoint, ...], whole_box: bool) -> None:
        """Take back a join that was committed."""
        async with self._lock:
            owed = self._parting(self.world, gone)
            self.courier.held.update(errand.id for errand in owed)
            if whole_box:
                drop = self.world.in_sandbox(box.id)
                await self._commit(Change(put=owed, drop=(*drop, box)))
            else:
                await self._commit_sandbox(self.world.sandboxes[box.id], put=owed, drop=gone)
        await self.courier.run(owed)
        self._reap_soon()

    # Promises and errands

    @asynccontextmanager
    async def _asking(self, promised: Sequence[Thing]) -> AsyncIterator[list[Errand]]:
        """While others are asked: what was promised is, and if it fails all is taken back."""
        owed: list[Errand] = []
        try:
            yield owed
        except BaseException as error:
            for thing in promised:
                self._promised.pop(thing.id, None)
            if self._closing:
                raise
            back = sorted(owed, key=lambda e: (list(Due).index(e.due), e.created))
            if owed and not await self.courier.run(back) and isinstance(error, FairleadError):
                more = "what was asked for already is taken back when the plugin answers"
                error.hint = f"{error.hint}; {more}" if error.hint else more
            raise

    def _promise(self, *things: Thing) -> None:
        """Under the lock: nobody else is to be given what these have."""
        self._promised.update({thing.id: thing for thing in things})

    def _redeemed(self, promised: Sequence[Thing], owed: list[Errand]) -> None:
        """It is in the world now."""
        for thing in promised:
            self._promised.pop(thing.id, None)
        self.courier.held.difference_update(errand.id for errand in owed)
        owed.clear()

    async def _unless_declined(
        self, owed: list[Errand], errand: Errand, asked: Coroutine[Any, Any, T]
    ) -> T:
        """An answer; whoever declines has nothing to take back."""
        try:
            return await self._answer(asked)
        except Declined:
            owed.remove(errand)
            await self._strike([errand])
            raise

    def _errand(
        self,
        due: Due,
        net: Network,
        ep: Endpoint | None = None,
        address: IPInterface | None = None,
        pool: Pool | None = None,
    ) -> Errand:
        return Errand(self._draw(16), due, net, time.time_ns(), ep, address, pool)

    async def _owe(self, owed: list[Errand], more: Collection[Errand]) -> None:
        """Write down what takes back that which is about to be asked for."""
        owed += more
        self.courier.held.update(errand.id for errand in more)
        async with self._lock:
            await self._commit(Change(put=tuple(more)))

    async def _strike(self, done: Collection[Errand]) -> None:
        async with self._lock:
            there = tuple(e for e in done if e.id in self.world.errands)
            if there:
                await self._commit(Change(drop=there))
