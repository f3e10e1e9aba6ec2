"""Traits: what one thing is that something for the whole host, or for others, follows from.

Whether any of a thousand networks has IPv6, or wants its containers' addresses guarded, is
asked for every change. A world keeps who bears which trait, so that nobody goes through all
of them to find out.
"""

from __future__ import annotations

from enum import Enum, auto

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.options import ANTISPOOF
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM
from fairlead.model.sandbox import Sandbox


class Trait(Enum):
    """What a network, sandbox or endpoint may be."""

    SIX = auto()
    """A bridge network with IPv6."""
    GUARDED = auto()
    """A bridge network whose containers may speak for their own addresses only."""
    LINKED = auto()
    """A network on which links open what it closes: of such kind is only the default bridge."""
    SPANNING = auto()
    """A network that spans hosts, by tunnels or by routes between them."""
    ACCESS = auto()
    """A sandbox that is the host itself."""
    LINKING = auto()
    """An endpoint whose sandbox calls others by names of its own."""
    CALLED = auto()
    """What has a word on who may come to published ports: a network, an endpoint, a port."""
    LIMITED = auto()
    """A bridge network that leads to some destinations only."""


def traits(thing: Network | Sandbox | Endpoint) -> frozenset[Trait]:
    """What of these it is."""
    found = set()
    if isinstance(thing, Endpoint):
        if thing.links:
            found.add(Trait.LINKING)
        if PUBLISH_FROM in thing.options:
            found.add(Trait.CALLED)
        return frozenset(found)
    if isinstance(thing, Sandbox):
        if thing.access:
            found.add(Trait.ACCESS)
        if any(port.sources for port in thing.ports):
            found.add(Trait.CALLED)
        return frozenset(found)
    if thing.vnis or thing.routed:
        found.add(Trait.SPANNING)
    if thing.driver == "bridge":
        if thing.enable_ipv6:
            found.add(Trait.SIX)
        if ANTISPOOF in thing.options and thing.bridge.antispoof:
            found.add(Trait.GUARDED)
        if thing.default_bridge and not thing.bridge.icc:
            found.add(Trait.LINKED)
        if PUBLISH_FROM in thing.options:
            found.add(Trait.CALLED)
        if EGRESS in thing.options:
            found.add(Trait.LIMITED)
    return frozenset(found)
