"""Addresses that containers keep while they do not run.

An address that was asked for belongs to its container for life. One that was
chosen for it is kept as long as others are left. Nothing is counted: both
follow from the records of the containers there are, so that neither a crash
nor a removed network leaves a hold behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fairlead.engine.documents import IpamConfig
from fairlead.engine.record import Container
from fairlead.engine.shelf import Shelf
from fairlead.ipam.bitmap import parse
from fairlead.model.hold import Hold, Holds
from fairlead.model.network import Network
from fairlead.model.state import IPAddress
from fairlead.model.world import World


def holds(shelf: Shelf, network: Network) -> Holds:
    """What is kept on a network, and for whom."""
    found: dict[IPAddress, Hold] = {}
    for container in shelf.every():
        if container.plugged:
            # What it has the controller knows. There may be thousands.
            continue
        record = container.record
        settings = record.networks.get(network.name)
        if settings is None:
            continue
        for address in _addresses(record.addresses.get(network.id, ())):
            found.setdefault(address, Hold(record.id, record.name))
        ipam = settings.ipam_config or IpamConfig()
        for address in _addresses((ipam.ipv4_address, ipam.ipv6_address)):
            found[address] = Hold(record.id, record.name, fixed=True)
    return found


def _addresses(texts: Iterable[str]) -> Iterator[IPAddress]:
    # What is asked of a network that did not exist then was never checked.
    return (address for text in texts if (address := parse(text)) is not None)


def held(world: World, container: Container) -> dict[str, tuple[str, ...]]:
    """The addresses that a container has now, by network, as its record keeps them."""
    return {
        e.network: tuple(str(a.ip) for a in e.addresses)
        for e in world.joined(container.sandbox)
        if e.addresses
    }
