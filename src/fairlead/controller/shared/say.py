"""say: what the cluster has to say in an overlay network, by its store.

The ledger gives out pools and addresses, the party makes networks and endpoints known and
gives networks their VNIs. Both are asked outside the controller's lock, and whatever they
took is taken back by errands if the change comes to nothing (`controller.ask`).

An errand may be run twice, when we die after it was done and before that was on disk; what
it gives back may be somebody else's by then. So what belongs to a network or an endpoint
that was written is given back by the one who removes that from the store, once; and what
was not written yet, only by the process that took it. What a crash leaves in between is
found by its age (`shared.repair`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_interface
from pathlib import Path

from fairlead.cluster.gossip import PeerEvent
from fairlead.cluster.pools import PoolId
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.shared.allocate import (
    DEFAULT_BASES,
    NoAddress,
    release_address,
    release_pool,
    request_address,
    request_pools,
)
from fairlead.controller.shared.history import History
from fairlead.controller.shared.place import Place, all_or_nothing
from fairlead.controller.shared.register import (
    put_endpoint,
    put_network,
    remove_endpoint,
    remove_network,
)
from fairlead.controller.shared.vnis import obtain_vni
from fairlead.driver.overlay import segments
from fairlead.ipam.bitmap import parse
from fairlead.ipam.pool import Base
from fairlead.model.endpoint import Endpoint, EndpointRequest, PortRequest
from fairlead.model.errors import Failed, Invalid, NotFound
from fairlead.model.network import Network, NetworkRequest, Pool, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, IPInterface, IPNetwork
from fairlead.store.shared import Away

Tell = Callable[[PeerEvent], Awaitable[None]]
Learn = Callable[[str, tuple[int, ...]], Awaitable[None]]
"""Takes the VNIs of a network into the world."""
Blocked = Callable[[], Awaitable[Sequence[IPNetwork]]]
"""The networks that this host reaches elsewhere: not to be chosen for an overlay."""


class SharedLedger:
    """Gives out pools and addresses of the whole cluster."""

    def __init__(
        self,
        place: Place,
        history: History,
        blocked: Blocked,
        bases: Callable[[], Sequence[Base]] = lambda: DEFAULT_BASES,
    ) -> None:
        self._place = place
        self._history = history
        self._blocked = blocked
        self._bases = bases
        self._given: set[tuple[str, PoolId | IPAddress]] = set()

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """The pools of a network to be: the ones asked for, else the next of the cluster's."""
        if not request.enable_ipv4:
            raise Invalid(
                f"a network of the whole cluster ({net.driver}) needs IPv4",
                hint="leave --ipv4=false out; IPv6 can be there beside it",
            )
        found = await request_pools(
            self._place,
            request.pools,
            bases=self._bases(),
            blocked=await self._blocked(),
            ipv6=request.enable_ipv6,
        )
        self._given.update((net.id, PoolId(pool.subnet, pool.ip_range)) for pool in found)
        return found

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """A pool is free again, if its network was never written: else it goes with that."""
        mine = PoolId(pool.subnet, pool.ip_range)
        if (net.id, mine) in self._given:
            await release_pool(self._place, mine)
            self._given.discard((net.id, mine))

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """One address of each family, of one segment: the first with room that has what is asked.

        All or none. A segment that lacks a family gives none of it.
        """
        full: NoAddress | None = None
        for pools in _places(net, request):
            try:
                return await self._of_segment(net, ep, request, pools)
            except NoAddress as error:
                full = full or error
        assert full is not None, "a network has a segment"
        raise full

    async def _of_segment(
        self, net: Network, ep: Endpoint, request: EndpointRequest, segment: Sequence[Pool]
    ) -> tuple[IPInterface, ...]:
        found: list[IPInterface] = []
        async with all_or_nothing() as undo:
            for version in sorted({pool.subnet.version for pool in segment}):
                given = await self._address(segment, request, version)
                found.append(given)
                self._given.add((ep.id, given.ip))
                undo(partial(self.release, net, ep, given))
                self._history.given(given)
        return tuple(found)

    async def _address(
        self, segment: Sequence[Pool], request: EndpointRequest, version: int
    ) -> IPInterface:
        asked = _asked(request, version)
        full: NoAddress | None = None
        for pool in segment:
            if pool.subnet.version != version or (asked and asked not in pool.subnet):
                continue
            id_ = PoolId(pool.subnet, pool.ip_range)
            try:
                given = await request_address(
                    self._place,
                    id_ if asked is None else id_.whole,
                    asked,
                    after=self._history.last(id_),
                    quarantine=self._history.resting(),
                )
            except NoAddress as error:
                full = error
                continue
            return ip_interface(f"{given}/{pool.subnet.prefixlen}")
        assert full is not None, "a segment that was chosen has what is asked for"
        raise full

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """An address is free again, if its endpoint was never written: else it goes with that."""
        self._history.released(address)
        mine = PoolId(address.network)
        if (ep.id, address.ip) in self._given:
            await release_address(self._place, mine, address.ip)
            self._given.discard((ep.id, address.ip))

    def written(self, id_: str) -> None:
        """A network or an endpoint is in the store, and what was given for it belongs to that."""
        self._given = {given for given in self._given if given[0] != id_}

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """Its pools lie in the store as they did."""


class SharedParty:
    """Makes networks and endpoints of this host known to the others."""

    def __init__(
        self,
        place: Place,
        ledger: SharedLedger,
        host: IPAddress,
        tell: Tell,
        learn: Learn,
        seal: Callable[[], Awaitable[None]],
    ) -> None:
        self._place = place
        self._ledger = ledger
        self._host = host
        self._tell = tell
        self._learn = learn
        self._seal = seal
        self._gone: set[str] = set()
        """Networks that were let go of before they ended here."""

    async def create(self, net: Network) -> Network:
        """Known to all hosts, with its VNIs."""
        async with all_or_nothing() as undo:
            undo(lambda: self.delete(net))
            vnis = await put_network(self._place, net, with_vnis=True)
            self._ledger.written(net.id)
            return replace(net, vnis=vnis)

    async def let_go(self, net: Network) -> None:
        """Known to nobody from here on, with all that was taken for it. Raises Forbidden."""
        await self._remove(net)
        self._gone.add(net.id)

    async def delete(self, net: Network) -> None:
        """The same, unless that was done. Raises Forbidden when it is in use."""
        if net.id not in self._gone:
            await self._remove(net)
        self._gone.discard(net.id)

    async def _remove(self, net: Network) -> None:
        try:
            await _wholly(remove_network(self._place, net.id, self._host))
        except NotFound:
            # It never was, or another host was faster.
            return

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """Known to all hosts before the first packet can leave it."""
        if net.driver == "overlay" and not net.vnis and not net.routed:
            await self._learn(net.id, await self._vnis(net))
        if net.encrypted:
            await self._seal()
        if not ep.addresses:
            # Others have nothing to reach it by.
            return ep
        published = replace(box, publish=tuple(publish))
        await put_endpoint(self._place, net, ep, published, self._host)
        self._ledger.written(ep.id)
        await self._announce(net, ep, joined=True)
        return ep

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """Known to nobody; its addresses are free again."""
        await self._announce(net, ep, joined=False)
        await _wholly(remove_endpoint(self._place, net, ep))

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """The store knows of them, or is told when it is there (`shared.tidy`)."""

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """Ports are published elsewhere."""

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """Ports are published elsewhere."""

    async def _vnis(self, net: Network) -> tuple[int, ...]:
        """A VNI for each segment of an overlay, given now to those that have none."""
        if net.driver != "overlay" or net.routed:
            return ()
        found: list[int] = []
        for pools in segments(net):
            last = max(found, default=0)
            found.append(await obtain_vni(self._place, net.id, pools[0].subnet, after=last))
        return tuple(found)

    async def _announce(self, net: Network, ep: Endpoint, joined: bool) -> None:
        if net.driver != "overlay":
            # Who else is on it, Docker hosts hear from the store.
            return
        for address in ep.addresses:
            event = PeerEvent(joined, self._host, net.id, ep.id, address, ep.mac)
            await self._tell(event)


def _asked(request: EndpointRequest, version: int) -> IPAddress | None:
    """The address of a family that is asked for, if any."""
    return parse(request.ipv4 if version == 4 else request.ipv6)


def _places(net: Network, request: EndpointRequest) -> Sequence[Sequence[Pool]]:
    """The segments that have all addresses that are asked for. Raises Invalid if none has."""
    asked = [a for a in (_asked(request, 4), _asked(request, 6)) if a is not None]
    found = [
        pools
        for pools in segments(net)
        if all(any(address in pool.subnet for pool in pools) for address in asked)
    ]
    for address in () if found else asked:
        if not any(address in pool.subnet for pool in net.pools):
            raise Invalid(f"no configured subnet or ip-range contain the IP address {address}")
    if not found:
        first, second = asked
        raise Invalid(
            f"{first} and {second} are in subnets of different segments",
            hint="the lowest IPv6 subnet goes with the lowest IPv4 subnet, and so on",
        )
    return found


async def _wholly(removal: Awaitable[None]) -> None:
    """A removal of which the store's absence alone is worth another try."""
    try:
        await removal
    except ExceptionGroup as group:
        away = group.subgroup(Away)
        if away is not None:
            raise away.exceptions[0] from group
        # What is left is given back when it is old enough.
        raise Failed(f"{group.message}: {group.exceptions[0]}") from group


class ClusterSays:
    """Says who has a say in overlays: the cluster."""

    def __init__(self, ledger: SharedLedger, party: SharedParty) -> None:
        self._party = party
        self._say = Say(ledger, (party,), Scope.GLOBAL, common=True)

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether a network is the cluster's."""
        return net.driver == "overlay"

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """The store, of overlays."""
        if not self.foreign(net):
            return NOBODY
        if net.ipam_driver not in ("", "default"):
            raise Invalid(
                f"an overlay network's addresses are the cluster's, not of {net.ipam_driver}",
                hint="leave --ipam-driver out",
            )
        return self._say

    async def let_go(self, net: Network) -> None:
        """Gone from the store."""
        await self._party.let_go(net)

    async def names(self) -> Collection[str]:
        """Overlays are ours."""
        return ()
