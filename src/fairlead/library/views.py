"""What networks and sandboxes show of themselves, whether one waits for answers or not.

An object is a name for a thing: everything is read from the world when it is asked for,
and a thing that is gone answers with NotFound.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from fairlead.controller.controller import Controller
from fairlead.library.boxes import Boxes
from fairlead.library.values import Endpoint
from fairlead.model.endpoint import Endpoint as Record
from fairlead.model.endpoint import Port
from fairlead.model.errors import NotFound
from fairlead.model.network import Network as NetworkRecord
from fairlead.model.sandbox import Sandbox as SandboxRecord
from fairlead.model.state import IPAddress, IPNetwork


def endpoint(controller: Controller, record: Record) -> Endpoint:
    """An endpoint as users see it."""
    world = controller.world
    return Endpoint(
        id=record.id,
        network=world.networks[record.network].name,
        sandbox=world.sandboxes[record.sandbox].name,
        interface=record.inside,
        mac=record.mac,
        addresses=record.addresses,
        gateways=tuple(way for way in record.gateways if not way.is_unspecified),
        names=controller.names(record),
    )


def moment(nanoseconds: int) -> datetime:
    """A time of the model as Python has it."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


class NetworkView:
    """A network: its name, addresses and members."""

    def __init__(self, boxes: Boxes, id_: str) -> None:
        self._boxes = boxes
        self._id = id_

    def __repr__(self) -> str:
        found = self._boxes.controller.world.networks.get(self._id)
        return f"<network {found.name if found else 'removed'} {self._id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NetworkView) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    @property
    def _record(self) -> NetworkRecord:
        try:
            return self._boxes.controller.world.networks[self._id]
        except KeyError:
            raise NotFound(f"network {self._id[:12]} was removed") from None

    @property
    def id(self) -> str:
        """Its identity, 64 hexadecimal digits."""
        return self._id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._record.name

    @property
    def created(self) -> datetime:
        """When it was made."""
        return moment(self._record.created)

    @property
    def bridge(self) -> str:
        """The interface on the host that stands for it."""
        return self._record.ifname

    @property
    def internal(self) -> bool:
        """Whether it has no way out."""
        return self._record.internal

    @property
    def subnets(self) -> tuple[IPNetwork, ...]:
        """Its subnets, one or more of each family it has."""
        return tuple(pool.subnet for pool in self._record.pools)

    @property
    def gateways(self) -> tuple[IPAddress, ...]:
        """The host's addresses on it."""
        return tuple(p.gateway for p in self._record.pools if p.gateway is not None)

    @property
    def labels(self) -> Mapping[str, str]:
        """What its maker noted on it."""
        return dict(self._record.labels)

    @property
    def options(self) -> Mapping[str, str]:
        """The driver's options."""
        return dict(self._record.options)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Who is on it, oldest first."""
        controller = self._boxes.controller
        return tuple(endpoint(controller, e) for e in controller.world.on_network(self._record.id))


class SandboxView:
    """A sandbox: its name, namespace, endpoints and ports."""

    def __init__(self, boxes: Boxes, id_: str) -> None:
        self._boxes = boxes
        self._id = id_

    def __repr__(self) -> str:
        found = self._boxes.controller.world.sandboxes.get(self._id)
        return f"<sandbox {found.name if found else 'removed'} {self._id[:12]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SandboxView) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    @property
    def _record(self) -> SandboxRecord:
        try:
            return self._boxes.controller.world.sandboxes[self._id]
        except KeyError:
            raise NotFound(f"sandbox {self._id[:12]} was removed") from None

    @property
    def id(self) -> str:
        """Its identity, 64 hexadecimal digits."""
        return self._id

    @property
    def name(self) -> str:
        """What people, and others on its networks, call it."""
        return self._record.name

    @property
    def hostname(self) -> str:
        """What it calls itself."""
        return self._record.hostname

    @property
    def created(self) -> datetime:
        """When it was made or adopted."""
        return moment(self._record.created)

    @property
    def adopted(self) -> str:
        """Where its namespace was found; empty if fairlead made it."""
        return self._record.source

    @property
    def netns(self) -> Path:
        """Where its namespace is pinned: `nsenter --net=` and `setns` take it."""
        return self._boxes.controller.netns_path(self._record.id)

    @property
    def etc(self) -> Path:
        """The folder with its hosts and resolv.conf."""
        return self._boxes.etc.path(self._record.id)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Its places in networks, in the order in which it joined."""
        controller = self._boxes.controller
        return tuple(endpoint(controller, e) for e in controller.world.joined(self._record.id))

    @property
    def ports(self) -> tuple[Port, ...]:
        """The ports of the host that lead to it now."""
        return self._record.ports
