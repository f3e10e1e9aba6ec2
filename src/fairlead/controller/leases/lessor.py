"""lessor: networks whose addresses a DHCP server lets, as others that have a say (`ask`).

An address is asked for under the MAC that the endpoint will have, before there is an
interface with it; so a container starts with its address, or does not start. Which address
its container had last is asked for again.

Leases are on disk with their endpoints, and renewed by the daemon (`keeper`): a lease lasts
hours and a daemon is away for moments, and only it may change an interface if another
address is given. Giving one back is an errand, like all that is owed to others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Protocol

from fairlead.controller import leased
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.join import Held
from fairlead.controller.leases import exchange
from fairlead.controller.leases.keeper import House, Keeper
from fairlead.dhcp import client as states
from fairlead.ipam.bitmap import parse
from fairlead.kernel.segment import Segment
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Failed
from fairlead.model.network import Network, NetworkRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import Change

PATIENCE_SECONDS = 10.0
"""How long a start waits for a server. Some look for 3 s whether anybody has the address."""


class Holding(House, Protocol):
    """What it needs of the controller."""

    held: Held


class Leases:
    """Asks servers for addresses, and sees to it that they are kept."""

    def __init__(self, house: Holding, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._house = house
        self._patience_seconds = patience_seconds
        self._keeper = Keeper(house)

    # Who has a say

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether its addresses come by DHCP."""
        return leased.is_leased(net)

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """We ask for them."""
        return Say(lessor=self) if self.foreign(net) else NOBODY

    async def let_go(self, net: Network) -> None:
        """A segment is there without us."""

    async def names(self) -> Collection[str]:
        """No drivers."""
        return ()

    # Addresses

    async def let(
        self, net: Network, box: Sandbox, ep: Endpoint, request: EndpointRequest
    ) -> Endpoint:
        """The endpoint with a lease. Raises Failed when no server grants one."""
        wish, fixed = self._wish(net, box, request), bool(request.ipv4)
        with Segment(net.parent, _mac(ep)) as segment:
            who = exchange.identity(net, box, ep.mac, segment.mac)
            client = states.begun(who, exchange.now(), exchange.dice, wish, fixed)
            try:
                async with asyncio.timeout(self._patience_seconds):
                    client = await exchange.settle(client, segment)
            except TimeoutError:
                raise Failed(
                    f"no DHCP server answered on {net.parent}",
                    hint=f"nobody granted an address within {self._patience_seconds:g} s; is there "
                    "a server on that segment, with addresses left?",
                ) from None
            lease = client.lease
            if lease is None:
                raise Failed(
                    f"the address {wish} cannot be had on {net.parent}: {client.refusal}",
                    hint="only its DHCP server gives addresses there; leave --ip out",
                )
            holder = self._house.world.taken(net.id, 4).get(int(lease.address.ip))
            if holder is not None:
                # It has it by the same server: to give it back would take it from who has it.
                raise Failed(
                    f"the DHCP server {lease.server} on {net.parent} gave {lease.address.ip}, "
                    f"which endpoint {holder[:12]} has",
                    hint="look at its list of leases, and at how it tells clients apart",
                )
        return replace(ep, addresses=(lease.address,), lease=lease)

    def _wish(self, net: Network, box: Sandbox, request: EndpointRequest) -> IPv4Address | None:
        """The address that is asked for: the user's, else the one it had."""
        if request.ipv4:
            found = parse(request.ipv4)
        else:
            holds = self._house.held(net).items()
            found = next((a for a, hold in holds if hold.container == box.container), None)
        return found if isinstance(found, IPv4Address) else None

    async def give_back(self, net: Network, ep: Endpoint) -> None:
        """Tell the server, as long as it would remember. Raises Unavailable without the link."""
        if ep.lease is None or ep.lease.over(exchange.now()):
            return
        with Segment(net.parent) as segment:
            exchange.release(segment, ep.lease)

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """Go on renewing what was let before we started."""
        for ep in endpoints:
            self._keeper.keep(ep)

    def heed(self, change: Change) -> None:
        """Keep what was let just now, and no longer what has ended."""
        for thing in change.put:
            if isinstance(thing, Endpoint):
                self._keeper.keep(thing)
        for thing in change.drop:
            if isinstance(thing, Endpoint):
                self._keeper.drop(thing)

    async def close(self) -> None:
        """Stop; what is let is on disk."""
        await self._keeper.close()


def _mac(ep: Endpoint) -> bytes:
    return bytes.fromhex(ep.mac.replace(":", ""))
