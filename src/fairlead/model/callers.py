"""callers: who may come to a sandbox's published ports. Derived from the world.

The nearest word counts: the port's own, else what was said at the sandbox's endpoints,
else that of the network through which it is published.

- What is said at an endpoint goes for all ports of the sandbox, wherever its way out is: a
  container that joins another network, and is published through that one then, is not open
  to everybody for it. Who has several such words is open to whoever is on each list.
- A network speaks for the ports that are published through it, for the other family of
  addresses as well if the sandbox is reached in no other way in that one.
"""

from __future__ import annotations

from fairlead.model.endpoint import Port
from fairlead.model.network import Network
from fairlead.model.prefixes import PUBLISH_FROM, listed, shared
from fairlead.model.state import IPNetwork
from fairlead.model.trait import Trait
from fairlead.model.world import World


def callers(world: World, box: str, port: Port) -> tuple[IPNetwork, ...] | None:
    """The networks from which a port of a sandbox is reached; None: from everywhere."""
    if port.sources:
        return port.sources
    if not world.bearing(Trait.CALLED):
        return None
    said = [e.options for e in world.joined(box) if PUBLISH_FROM in e.options]
    if not said:
        net = through(world, box, port)
        said = [net.options] if net is not None and PUBLISH_FROM in net.options else []
    return shared(listed(o[PUBLISH_FROM], PUBLISH_FROM) for o in said) if said else None


def through(world: World, box: str, port: Port) -> Network | None:
    """The network through which a port is published: that of its family, else of the other."""
    version = port.host_ip.version
    ways = (world.gateway(box, family) for family in (version, 10 - version))
    way = next((way for way in ways if way is not None), None)
    net = world.networks[way.network] if way is not None else None
    return net if net is not None and net.driver == "bridge" else None
