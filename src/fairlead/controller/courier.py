"""courier: runs errands, at once and later, until somebody has answered each.

A refusal is an answer, too: it is warned of. Who does not answer is asked again, at longer
and longer intervals, in the order in which things were owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from fairlead.controller.ask import Outside
from fairlead.model.errand import Due, Errand
from fairlead.model.errors import FairleadError, Forbidden, NotFound, Unavailable
from fairlead.model.network import Network, Scope
from fairlead.model.world import World

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0

Strike = Callable[[Collection[Errand]], Awaitable[None]]
"""Takes errands that are done out of the world."""


class Courier:
    """Runs errands. Those in `held` belong to a change that is being made, and are left alone."""

    def __init__(
        self,
        outside: Callable[[], Outside],
        world: Callable[[], World],
        strike: Strike,
        warn: Callable[[str], None],
    ) -> None:
        self.held: set[str] = set()
        self._outside = outside
        self._world = world
        self._strike = strike
        self._warn = warn
        self._silent: set[str] = set()
        self._kept: set[str] = set()
        """Networks that did not end, as somebody is on them elsewhere."""
        self._task: asyncio.Task[None] | None = None
        self._resuming: asyncio.Task[None] | None = None

    async def run(self, errands: Iterable[Errand]) -> bool:
        """Run them, in order; whether all were answered. What was not is left for later."""
        mine = list(errands)
        self.held.update(errand.id for errand in mine)
        silent: set[str] = set()
        done = []
        try:
            for errand in mine:
                # Of one network nothing is told out of its order.
                if errand.net.id in silent:
                    continue
                if await self._run(errand):
                    done.append(errand)
                else:
                    silent.add(errand.net.id)
        finally:
            self.held.difference_update(errand.id for errand in mine)
            if done:
                await self._strike(done)
        if silent:
            self.later()
        return not silent

    def release(self, errands: Collection[Errand]) -> None:
        """The change that they belonged to is over; those that it left are run."""
        self.held.difference_update(errand.id for errand in errands)
        if errands and any(errand.id in self._world().errands for errand in errands):
            self.later()

    def later(self) -> None:
        """Run what is owed in the background."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._deliver(), name="errands")

    def start(self, nets: Collection[Network]) -> None:
        """After a start of ours: tell of the networks that there are, and what is owed.

        What is of many hosts is not told again because one of them starts.
        """
        local = [net for net in nets if net.scope is not Scope.GLOBAL]
        self._resuming = asyncio.create_task(self._resume(local), name="networks of others")

    async def _resume(self, nets: Collection[Network]) -> None:
        async def tell(net: Network) -> None:
            endpoints = self._world().on_network(net.id)
            try:
                say = await self._outside().find(net, patient=False)
                if say.ledger is not None:
                    await say.ledger.resume(net, endpoints)
                if say.lessor is not None:
                    await say.lessor.resume(net, endpoints)
                for party in say.parties:
                    await party.resume(net, endpoints)
            except FairleadError as error:
                self._warn(f"network {net.name} ({net.driver}): {error.message}")

        await asyncio.gather(*(tell(net) for net in nets))
        self.later()

    async def close(self) -> None:
        """Stop; what is owed is on disk."""
        tasks = [task for task in (self._resuming, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self) -> None:
        pause = FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_SECONDS)
            owed = [e for e in self._world().errands.values() if e.id not in self.held]
            if not owed:
                return
            by_net: dict[str, list[Errand]] = {}
            for errand in sorted(owed, key=lambda e: e.created):
                by_net.setdefault(errand.net.id, []).append(errand)
            # A silent one is not waited for by the others.
            await asyncio.gather(*(self.run(errands) for errands in by_net.values()))

    async def _run(self, errand: Errand) -> bool:
        """One errand; whether it was answered."""
        try:
            await self._say(errand)
        except (Unavailable, NotFound) as error:
            if errand.id not in self._silent:
                self._silent.add(errand.id)
                self._warn(f"{_what(errand)}: {error.message}; told again until somebody answers")
            return False
        except FairleadError as error:
            self._warn(f"{_what(errand)}: {error.message}")
            if errand.due is Due.DELETE and isinstance(error, Forbidden):
                self._kept.add(errand.net.id)
        self._silent.discard(errand.id)
        return True

    async def _say(self, errand: Errand) -> None:
        say = await self._outside().find(errand.net, patient=False)
        net, ep = errand.net, errand.ep
        match errand.due:
            case Due.POOL if net.id in self._kept:
                # Others go on with the network, and it comes back.
                return
            case Due.POOL if say.ledger is not None and errand.pool is not None:
                await say.ledger.release_pool(net, errand.pool)
            case Due.ADDRESS if say.ledger is not None and ep is not None:
                assert errand.address is not None
                await say.ledger.release(net, ep, errand.address)
            case Due.ADDRESS if say.lessor is not None and ep is not None:
                await say.lessor.give_back(net, ep)
            case Due.DELETE:
                self._kept.discard(net.id)
                for party in reversed(say.parties):
                    await party.delete(net)
            case Due.LEAVE if ep is not None:
                for party in reversed(say.parties):
                    await party.leave(net, ep)
            case Due.CONCEAL if ep is not None:
                for party in reversed(say.parties):
                    await party.conceal(net, ep)
            case _:
                # Its ledger is ours: nobody has to be told.
                return


def _what(errand: Errand) -> str:
    of = f"endpoint {errand.ep.id[:12]} on network" if errand.ep is not None else "network"
    return f"{errand.due} of {of} {errand.net.name} ({errand.net.driver})"
