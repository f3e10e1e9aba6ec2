"""Traits: what one network or sandbox is that something for the whole host follows from.

Whether any of a thousand networks has IPv6, or wants its containers' addresses guarded, is
asked for every change. A world keeps who bears which trait, so that nobody goes through all
of them to find out.
"""

from __future__ import annotations

from enum import Enum, auto

from fairlead.model.network import Network
from fairlead.model.options import ANTISPOOF
from fairlead.model.sandbox import Sandbox


class Trait(Enum):
    """What a network or sandbox may be."""

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


def traits(thing: Network | Sandbox) -> frozenset[Trait]:
    """What of these it is."""
    if isinstance(thing, Sandbox):
        return frozenset({Trait.ACCESS} if thing.access else ())
    found = set()
    if thing.vnis or thing.routed:
        found.add(Trait.SPANNING)
    if thing.driver == "bridge":
        if thing.enable_ipv6:
            found.add(Trait.SIX)
        if ANTISPOOF in thing.options and thing.bridge.antispoof:
            found.add(Trait.GUARDED)
        if thing.default_bridge and not thing.bridge.icc:
            found.add(Trait.LINKED)
    return frozenset(found)
