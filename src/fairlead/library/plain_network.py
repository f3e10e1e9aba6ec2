"""Networks for programs without an event loop. Pairs with aio_network.py, method for method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fairlead.library.aio_network import AsyncNetwork, AsyncNetworks
from fairlead.library.boxes import Boxes
from fairlead.library.loop import Loop
from fairlead.library.requests import Address, Subnet
from fairlead.library.values import Plan
from fairlead.library.views import NetworkView


class Network(NetworkView):
    """A bridge that sandboxes join."""

    def __init__(self, boxes: Boxes, id_: str, loop: Loop) -> None:
        super().__init__(boxes, id_)
        self._loop = loop
        self._awaited = AsyncNetwork(boxes, id_)

    def remove(self) -> None:
        """Remove it. Raises Forbidden while somebody is on it."""
        self._loop.call(self._awaited.remove())

    def plan_remove(self) -> Plan:
        """What removing it would do; nothing is changed."""
        return self._loop.call(self._awaited.plan_remove())


class Networks:
    """All networks of a host, by name."""

    def __init__(self, boxes: Boxes, loop: Loop) -> None:
        self._boxes = boxes
        self._loop = loop
        self._awaited = AsyncNetworks(boxes)

    def create(
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
    ) -> Network:
        """Make a network; without a subnet it gets the first that is free. `mtu` in bytes."""
        made = self._loop.call(
            self._awaited.create(
                name,
                subnet=subnet,
                gateway=gateway,
                internal=internal,
                ipv4=ipv4,
                ipv6=ipv6,
                mtu=mtu,
                labels=labels,
                options=options,
            )
        )
        return self._plain(made)

    def plan_create(
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
        return self._loop.call(
            self._awaited.plan_create(
                name,
                subnet=subnet,
                gateway=gateway,
                internal=internal,
                ipv4=ipv4,
                ipv6=ipv6,
                mtu=mtu,
                labels=labels,
                options=options,
            )
        )

    def __getitem__(self, ref: str) -> Network:
        """One by name or id. Raises NotFound."""
        return self._plain(self._awaited[ref])

    def __contains__(self, ref: str) -> bool:
        return ref in self._awaited

    def __iter__(self) -> Iterator[Network]:
        return iter([self._plain(net) for net in self._awaited])

    def __len__(self) -> int:
        return len(self._awaited)

    def _plain(self, network: AsyncNetwork) -> Network:
        return Network(self._boxes, network.id, self._loop)
