"""seal: this host's part in the keyring, as long as somebody here is on an encrypted network.

::

    first container ─► join: born ─► the world has the ring ─► SAs
                                          │      ▲
              somebody turned, joined, left ─────┘
    last container gone ─► (a while) ─► leave; the ring is forgotten here

The store is the truth about the ring, the world what this host goes by while the store is
away. What is heard of by watching is read again before it is used, under one lock with what
this host writes: so it never goes back to an older ring, and no SA is made a second time.

A host is born again whenever SAs that it sent by were gone (`controller.seals`) or the
store has an older ring than it had: then all keys from and to it are new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from fairlead.cluster.keyring import FIRST_GENERATION, PERIOD_SECONDS, due
from fairlead.controller.shared.keyring import Keys
from fairlead.controller.shared.networks import Networks
from fairlead.model.errors import Conflict, FairleadError, NotFound
from fairlead.model.keyring import Keyring
from fairlead.model.state import IPAddress
from fairlead.model.world import Change, World
from fairlead.store.shared import Away


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a host looks, how long it stays without need, and how long a key is used."""

    tick_seconds: float = 5.0
    linger_seconds: float = 300.0
    """Each birth costs all others new SAs: not one for every container that comes back."""
    period_seconds: int = PERIOD_SECONDS
    by_hand_seconds: float = 5.0
    """Between two turns that are asked for: a host may miss one, and not two at once."""
    pause_seconds: float = 1.0
    """Before the store is tried again."""


USUAL = Pace()


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of a wish for new keys."""

    generation: int
    """Of the keyring; 0: there is none yet."""
    hosts: int
    """How many take part in it."""
    gossip: bool
    """The key of gossip was replaced as well."""


class Seal:
    """Keeps this host in the keyring, and the keyring in this host's world."""

    def __init__(
        self,
        keys: Keys,
        networks: Networks,
        dead: Callable[[IPAddress], bool] = lambda host: False,
        pace: Pace = USUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._networks = networks
        self._dead = dead
        self._pace = pace
        self._clock = clock
        self._lock = asyncio.Lock()
        self._look = asyncio.Event()
        self._stale = True
        """The store may have another ring than the world."""
        self._used = True
        """There may have been SAs of this birth, which are gone when there are none now."""
        self._needed = clock()
        self._seen: tuple[int, float] = (0, clock())
        """A generation, and since when it is known here."""
        self._complaint = ""

    async def join(self) -> None:
        """Take part: before the first container here is known to be on such a network.

        Raises Invalid or Conflict when the keyring cannot be used, and Away.
        """
        async with self._lock:
            self._needed = self._clock()
            ring = self._networks.world.ring
            if not self._is_spent() and ring is not None and self._keys.own in ring.members:
                return
            await self._take(await self._join(self._is_spent()))

    async def turn(self) -> Keyring:
        """Turn the keyring now. Raises NotFound when there is none, and Conflict too soon."""
        async with self._lock:
            ring = await self._keys.find()
            if ring is None:
                raise NotFound(
                    "the cluster has no keys of networks yet",
                    hint="the first container on an encrypted network makes them",
                )
            age = self._keys.date() - ring.since
            if ring.generation > FIRST_GENERATION and 0 <= age < self._pace.by_hand_seconds:
                raise Conflict(
                    "the keys were turned a moment ago, and hosts may still be catching up",
                    hint=f"wait {self._pace.by_hand_seconds:g} seconds",
                )
            return await self._turn(ring)

    def heed(self) -> None:
        """Something of this host has changed."""
        if inhabited(self._networks.world):
            self._used = True
            self._needed = self._clock()

    async def run(self) -> None:
        """Follow the keyring; returns only when cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            tasks.create_task(self._keep())

    async def _watch(self) -> None:
        folder = self._keys.place.keys.keyring.rpartition("/")[0]
        while True:
            try:
                async with aclosing(self._keys.place.store.watch(folder)) as events:
                    async for _ in events:
                        self._stale = True
                        self._look.set()
            except Away:
                # The member says so, and the ring that is known is gone by meanwhile.
                await asyncio.sleep(self._pace.pause_seconds)

    async def _keep(self) -> None:
        while True:
            # Nobody tells of what is due.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.tick_seconds):
                    await self._look.wait()
            self._look.clear()
            try:
                await self.look()
                self._complaint = ""
            except Away:
                await asyncio.sleep(self._pace.pause_seconds)
            except (FairleadError, ExceptionGroup) as error:
                self._complain(str(error))

    async def look(self) -> None:
        """Do what is to be done now. Raises Away, and what is wrong with the keyring."""
        async with self._lock:
            world = self._networks.world
            if inhabited(world):
                self._needed, self._used = self._clock(), True
                await self._follow(world.ring)
            elif world.ring is not None and not self._networks.promised:
                # Nobody is about to come, either.
                await self._rest(world.ring)

    async def _follow(self, had: Keyring | None) -> None:
        if had is None or self._keys.own not in had.members or self._networks.unsealed:
            had = await self._join(again=True)
            await self._take(had)
        elif self._stale:
            self._stale = False
            try:
                found = await self._keys.find()
                if found is None or self._is_older(found, had):
                    found = await self._join(again=True)
                await self._take(found)
            except BaseException:
                self._stale = True
                raise
            had = found
        self._meet(had)
        now = int(self._keys.date())
        if due(had, now, self._seen_seconds(), self._pace.period_seconds):
            await self._turn(had)

    async def _rest(self, ring: Keyring) -> None:
        """Nobody needs it: leave after a while."""
        if self._clock() - self._needed >= self._pace.linger_seconds:
            await self._keys.leave()
            await self._networks.learn(lambda world: _without(world, ring))

    def _is_spent(self) -> bool:
        """Whether keys of this birth are not to be used, or not any more."""
        gone = self._used and not inhabited(self._networks.world)
        return gone or self._networks.unsealed

    def _is_older(self, found: Keyring, had: Keyring) -> bool:
        """Whether the store went back, or we were put out of the ring."""
        own = self._keys.own
        return found.generation < had.generation or found.members.get(own) != had.members[own]

    async def _join(self, again: bool) -> Keyring:
        self._used = self._used and not again
        return await self._keys.join(again)

    async def _turn(self, ring: Keyring) -> Keyring:
        dead = [host for host in ring.members if host != self._keys.own and self._dead(host)]
        found = await self._keys.turn(ring.generation, dead)
        if found is None:
            raise NotFound("the cluster's keys are gone", hint="they are made again; try later")
        if inhabited(self._networks.world):
            await self._take(found)
        self._meet(found)
        return found

    async def _take(self, ring: Keyring) -> None:
        """Let the world have it."""
        try:
            await self._networks.learn(lambda world: _with(world, ring))
        except BaseException:
            self._stale = True
            raise
        self._used = self._used or inhabited(self._networks.world)
        self._meet(ring)

    def _meet(self, ring: Keyring) -> None:
        if ring.generation != self._seen[0]:
            self._seen = (ring.generation, self._clock())

    def _seen_seconds(self) -> float:
        return self._clock() - self._seen[1]

    def _complain(self, text: str) -> None:
        """Say once what is wrong."""
        if text != self._complaint:
            self._complaint = text
            self._networks.warn(f"keys of encrypted networks: {text}")


def inhabited(world: World) -> bool:
    """Whether somebody here is on an encrypted network."""
    return any(net.encrypted and world.on_network(net.id) for net in world.spanning())


def _with(world: World, ring: Keyring) -> Change:
    return Change() if world.ring == ring else Change(put=(ring,))


def _without(world: World, ring: Keyring) -> Change:
    # Somebody may have come meanwhile, and needs it.
    return Change(drop=(ring,)) if world.ring == ring and not inhabited(world) else Change()
