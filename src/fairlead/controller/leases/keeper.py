"""keeper: renews leases while their endpoints live.

One task for each lease sleeps until it is time, asks, and has the endpoint written anew with
what was granted. A lease that nobody renews is warned of and asked for again and again;
until another address is given the container keeps the one that it has.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Protocol

from fairlead.controller.leases import exchange
from fairlead.dhcp import client as states
from fairlead.dhcp.client import Client, Phase
from fairlead.kernel.segment import Segment
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import FairleadError
from fairlead.model.lease import Lease
from fairlead.model.world import World

AGAIN_SECONDS = 5.0
"""Between attempts on a link that is down or gone."""
LISTEN_SECONDS = 10.0
"""For an answer, before the link is left alone until it is time to ask again."""
NAP_SECONDS = 60.0
"""The longest sleep: a host that slept itself finds out soon after."""


class House(Protocol):
    """What it needs of the controller."""

    @property
    def world(self) -> World: ...
    async def relet(self, endpoint: str, lease: Lease) -> None:
        """Write an endpoint anew with another lease, and its address if that is another."""

    def warn(self, text: str) -> None:
        """Say something to people."""


@dataclass(slots=True)
class Kept:
    """A lease that is kept, and whether people were told that it is not renewed."""

    client: Client
    warned: bool = False


class Keeper:
    """Keeps the leases of endpoints."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def keep(self, ep: Endpoint) -> None:
        """Renew an endpoint's lease from now on, if it has one and nobody does."""
        if ep.lease is None or ep.lease.endless or ep.id in self._tasks:
            return
        task = asyncio.ensure_future(self._run(ep.id, ep.lease))
        self._tasks[ep.id] = task
        task.add_done_callback(lambda done: self._ended(ep.id, done))

    def drop(self, ep: Endpoint) -> None:
        """It is gone."""
        task = self._tasks.pop(ep.id, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop; what was granted is on disk."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, id_: str, task: asyncio.Task[None]) -> None:
        """It ends with its endpoint, or by a fault of ours that must not stay unknown."""
        if self._tasks.get(id_) is task:
            del self._tasks[id_]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._house.warn(f"the lease of endpoint {id_[:12]} is no longer renewed: {error!r}")

    async def _run(self, id_: str, lease: Lease) -> None:
        kept = Kept(states.resumed(lease, exchange.dice))
        while id_ in self._house.world.endpoints:
            left = kept.client.due - exchange.now()
            if left > 0:
                await asyncio.sleep(min(left, NAP_SECONDS))
                continue
            try:
                await self._ask(id_, kept)
            except FairleadError as error:
                self._warn(id_, kept, error.message)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self, id_: str, kept: Kept) -> None:
        """Ask once and listen for a while; what is granted is written down."""
        ep = self._house.world.endpoints[id_]
        net = self._house.world.networks[ep.network]
        with Segment(net.parent, kept.client.identity.mac) as segment:
            await self._listen(kept, segment)
        lease = kept.client.lease
        assert lease is not None
        if kept.client.phase is Phase.SELECTING:
            said = kept.client.refusal or "no server answers"
            self._warn(id_, kept, f"{said}; it asks on, for that or another address")
        elif kept.client.phase is Phase.BOUND and ep.lease != lease:
            await self._house.relet(id_, lease)
            self._tell(ep, lease.address, kept)

    async def _listen(self, kept: Kept, segment: Segment) -> None:
        """Until something is granted, or for as long as answers take."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_SECONDS):
                while True:
                    kept.client = await exchange.step(kept.client, segment)
                    if kept.client.phase is Phase.BOUND:
                        return

    def _tell(self, ep: Endpoint, address: IPv4Interface, kept: Kept) -> None:
        if address != ep.ipv4:
            text = f"{self._who(ep.id)} has the address {address} now, and no longer {ep.ipv4}"
            self._house.warn(f"{text}: the DHCP server gave it another")
        kept.warned = False

    def _warn(self, id_: str, kept: Kept, why: str) -> None:
        """Once for each lease that is in danger."""
        if not kept.warned and id_ in self._house.world.endpoints:
            kept.warned = True
            ep = self._house.world.endpoints[id_]
            self._house.warn(f"{self._who(id_)}: its lease of {ep.ipv4} is not renewed: {why}")

    def _who(self, id_: str) -> str:
        world = self._house.world
        ep = world.endpoints[id_]
        return f"{world.sandboxes[ep.sandbox].name} on network {world.networks[ep.network].name}"
