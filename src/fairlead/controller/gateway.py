"""The way out of sandboxes whose networks have none: an interface on docker_gwbridge. Pure.

An overlay leads to other containers and nowhere else. Whoever is on such networks only
gets one more interface, on a bridge network that is made when it is needed first: default
route and published ports go there, and nobody reaches a neighbour through it. A user who
made a network of that name before has it used as it is.
"""

from __future__ import annotations

from fairlead.driver.interface import driver
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import NetworkRequest
from fairlead.model.options import ICC, MASQUERADE, NAME
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import World

GATEWAY = "docker_gwbridge"
REQUEST = NetworkRequest(GATEWAY, options={NAME: GATEWAY, ICC: "false", MASQUERADE: "true"})
"""The network, if nobody made it."""


def lacks_way_out(world: World, box: Sandbox) -> bool:
    """Whether none of the networks that a sandbox asked for leads to the world, though one may."""
    if box.access:
        return False
    ends = [e for e in world.joined(box.id) if e.cable]
    if any(_leads_out(e) and not world.networks[e.network].internal for e in ends):
        return False
    if any(e.alone for e in ends):
        return False
    nets = (world.networks[e.network] for e in ends)
    return any(not driver(net).WAY_OUT and not net.internal for net in nets)


def _leads_out(endpoint: Endpoint) -> bool:
    return bool(endpoint.gateways) or any(not r.destination.prefixlen for r in endpoint.routes)


def served(world: World, box: Sandbox) -> Endpoint | None:
    """The endpoint that gives a sandbox its way out, if it has such a one."""
    return next((e for e in world.in_sandbox(box.id) if e.service), None)


def name(box: Sandbox) -> str:
    """What a sandbox is called on that network."""
    return f"gateway_{box.id[:12]}"
