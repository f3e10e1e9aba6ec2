"""crier: says of those who have come which addresses they have, as often as their network wants.

Neighbours may remember who had an address before, for a minute and longer. As with Docker
the first word is said at once and others follow, for a frame may be lost; and they stop when
the endpoint ends, or has another address.

They are the daemon's own: one task for each endpoint, which ends after seconds. A daemon that
dies in these has said it once at least; the process that outlives it would need a socket in
each sandbox to go on, for a word that hardly ever is the one that counts. Nobody waits for any
of it, and the kernel thread is needed for less than a millisecond a time.

On networks that span hosts it is the bridges that tell (`news`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from fairlead.controller.commit import Committer
from fairlead.model.advertising import Advertising, advertising
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.step import Announce
from fairlead.model.world import Change, World

PAUSES_SECONDS = (0.005, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""Between looks whether a bridge has opened a port: not for as long as STP may take."""


class House(Protocol):
    """What it needs of the controller."""

    @property
    def world(self) -> World: ...
    def warn(self, text: str) -> None:
        """Say something to people."""


class Crier:
    """Announces the addresses of endpoints."""

    def __init__(self, committer: Committer, house: House) -> None:
        self._committer = committer
        self._house = house
        self._known = World()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Who is there now came before us."""
        self._known = self._house.world

    def heed(self, change: Change) -> None:
        """Announce what is new."""
        before, after = self._known, self._house.world
        self._known = after
        for thing in change.put:
            if isinstance(thing, Endpoint) and arrived(before, after, thing.id):
                pace = advertising(after.networks[thing.network].options)
                task = asyncio.ensure_future(self._run(thing.id, pace))
                self._tasks.add(task)
                task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Say no more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever stopped it must not stay unknown: nobody waits for it."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.warn(f"an address is not announced: {error}")

    async def _run(self, endpoint: str, pace: Advertising) -> None:
        said = announced(self._house.world, endpoint)
        for number in range(pace.messages):
            if number:
                await asyncio.sleep(pace.interval_ms / 1000)
            # Whoever ended, or has another address, has nothing more to say of this one.
            if announced(self._house.world, endpoint) != said:
                return
            await self._say(said)

    async def _say(self, items: Sequence[Announce]) -> None:
        """Once, as soon as it can be heard. If a bridge takes too long it is said to the wall."""
        kernel = self._committer.kernel
        for pause in PAUSES_SECONDS:
            items = await self._committer.on_thread(partial(kernel.announce, items))
            if not items:
                return
            await asyncio.sleep(pause)
        last = [replace(item, port="") for item in items]
        await self._committer.on_thread(partial(kernel.announce, last))


def arrived(before: World, after: World, endpoint: str) -> bool:
    """Whether an endpoint has something to announce that it had not before."""
    found = announced(after, endpoint)
    return bool(found) and found != announced(before, endpoint)


def announced(world: World, endpoint: str) -> tuple[Announce, ...]:
    """What an endpoint says of itself."""
    ep = world.endpoints.get(endpoint)
    if ep is None or not ep.cable:
        return ()
    net, box = world.networks[ep.network], world.sandboxes[ep.sandbox]
    if box.host or not _speaks(net):
        return ()
    port = ep.ifname if net.driver == "bridge" else ""
    return tuple(Announce(box.namespace, ep.inside, a.ip, port=port) for a in ep.addresses)


def _speaks(net: Network) -> bool:
    """Whether a network's links tell their neighbours: by device, nobody asks for a MAC."""
    if net.on_parent:
        return not net.underlay.by_device
    return net.driver == "bridge" or net.remote
