"""Networks for programs with an event loop. Pairs with plain_network.py, method for method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fairlead.library import requests
from fairlead.library.boxes import Boxes
from fairlead.library.requests import Address, Subnet
from fairlead.library.values import Plan
from fairlead.library.views import NetworkView
from fairlead.model.errors import NotFound


class AsyncNetwork(NetworkView):
    """A bridge that sandboxes join."""

    async def remove(self) -> None:
        """Remove it. Raises Forbidden while somebody is on it."""
        await self._boxes.controller.remove_network(self._record.id)

    async def plan_remove(self) -> Plan:
        """What removing it would do; nothing is changed."""
        return Plan(await self._boxes.controller.plan_remove_network(self._record.id))


class AsyncNetworks:
    """All networks of a host, by name."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes

    async def create(
        self,
        name: str,
        *,
        subnet: Subnet | Iterable[Subnet] = (),
        gateway: Address | Iterable[Address] = (),
        internal: bool = False,
        ipv4: bool = True,
        ipv6: bool = False,
        mtu: int | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> AsyncNetwork:
        """Make a network; without a subnet it gets the first that is free. `mtu` in bytes."""
        asked = requests.network_request(
            name,
            subnet,
            gateway,
            internal=internal,
            ipv4=ipv4,
            ipv6=ipv6,
            mtu=mtu,
            labels=labels,
            options=options,
        )
        return AsyncNetwork(self._boxes, (await self._boxes.controller.create_network(asked)).id)

    async def plan_create(
        self,
        name: str,
        *,
        subnet: Subnet | Iterable[Subnet] = (),
        gateway: Address | Iterable[Address] = (),
        internal: bool = False,
        ipv4: bool = True,
        ipv6: bool = False,
        mtu: int | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Plan:
        """What making it would do; nothing is changed."""
        asked = requests.network_request(
            name,
            subnet,
            gateway,
            internal=internal,
            ipv4=ipv4,
            ipv6=ipv6,
            mtu=mtu,
            labels=labels,
            options=options,
        )
        return Plan(await self._boxes.controller.plan_create_network(asked))

    def __getitem__(self, ref: str) -> AsyncNetwork:
        """One by name or id. Raises NotFound."""
        found = self._boxes.controller.network(ref)
        if not found.user_defined:
            raise NotFound(f"network {ref} not found")
        return AsyncNetwork(self._boxes, found.id)

    def __contains__(self, ref: str) -> bool:
        try:
            self[ref]
        except NotFound:
            return False
        return True

    def __iter__(self) -> Iterator[AsyncNetwork]:
        nets = [n for n in self._boxes.controller.world.networks.values() if n.user_defined]
        return iter([AsyncNetwork(self._boxes, net.id) for net in nets])

    def __len__(self) -> int:
        return sum(n.user_defined for n in self._boxes.controller.world.networks.values())
