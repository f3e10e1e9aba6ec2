"""servers: whom a sandbox asks for names that nobody has here. Pure.

======================================  ===================
the first of these that there is        asked from
======================================  ===================
the container's own, ``--dns``          its own namespace
its network's, ``-o fairlead.dns``      its own namespace
the daemon's, ``--dns``                 its own namespace
those that a DHCP server told           its own namespace
the host's                              the host
======================================  ===================

Its network is the one that leads out, by IPv4 before IPv6; where none does, the first of its
networks that has servers.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.controller import names
from fairlead.dns.answer import Upstream
from fairlead.dns.files import RESOLVER
from fairlead.model import asking
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import World

MOST = 3


def servers(world: World, box: Sandbox, hosts: tuple[IPAddress, ...]) -> tuple[Upstream, ...]:
    """Whom a sandbox asks, `hosts` being the servers of the host."""
    inside = own(world, box) or _told(world, box)
    # One that asks us would ask in circles.
    found = [address for address in inside or hosts if str(address) != RESOLVER]
    return tuple(Upstream(address, inside=bool(inside)) for address in found[:MOST])


def own(world: World, box: Sandbox) -> tuple[IPAddress, ...]:
    """Those that somebody chose for it."""
    if box.dns and not box.dns_default:
        return names.given(box.dns)
    return of_network(world, box) or names.given(box.dns)


def of_network(world: World, box: Sandbox) -> tuple[IPAddress, ...]:
    """Those of its networks, if they have any."""
    found = (asking.servers(net.options) for net in _networks(world, box))
    return next(filter(None, found), ())


def may_ask(world: World, box: Sandbox) -> bool:
    """Whether questions may leave: what somebody chose is asked as far as packets go."""
    # What a DHCP server said leads out of no internal network.
    return bool(own(world, box)) or names.may_forward(world, box)


def single_labels(world: World, box: Sandbox) -> bool:
    """Whether it may ask others for names of a single label: if none of its networks minds."""
    nets = (world.networks[e.network] for e in world.in_sandbox(box.id))
    return all(asking.single_labels(net.options) for net in nets)


def _networks(world: World, box: Sandbox) -> Iterator[Network]:
    ways = [way for way in (world.gateway(box.id, version) for version in (4, 6)) if way]
    for end in ways or world.in_sandbox(box.id):
        yield world.networks[end.network]


def _told(world: World, box: Sandbox) -> tuple[IPAddress, ...]:
    return tuple(
        address
        for e in world.in_sandbox(box.id)
        if e.lease is not None and not world.networks[e.network].internal
        for address in e.lease.servers
    )
