"""The order in which steps are taken, and which are left to the kernel.

Neighbouring steps of one kind travel together; links stand on each other in waves. What
stands on something that goes in the same call falls by itself, which is quicker; what takes
the kernel long to delete is only cut off, and waits to be reaped with others.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fairlead.kernel.xfrm import XFRM
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.lookup import Lookup
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Key,
    Lent,
    Namespace,
    Neighbour,
    Proxy,
    Resource,
    Route,
    Veth,
)
from fairlead.model.step import Step
from fairlead.model.tunnel import Fdb, Vxlan
from fairlead.model.underlay import Dummy, Sublink, Underlay, Vlan

FIREWALL = (Chain, Rule, Policy)
NFT = (NftTable, NftSet, NftChain, NftElement)
NETLINK = (
    Bridge, Veth, Vxlan, Dummy, Vlan, Sublink, Address, Route, Lookup, Neighbour, Proxy, Fdb,
)  # fmt: skip
WAVES = (Dummy, Vlan, Bridge, Veth, Vxlan, Sublink)
"""Links by kind, in the order in which they may stand on each other."""


@dataclass(frozen=True, slots=True)
class Fall:
    """What goes with the ground of a call, and what of the ground waits to be reaped."""

    falling: frozenset[Key]
    condemned: frozenset[Key]

    def takes(self, step: Step) -> bool:
        """Whether the kernel does a step by itself, when what it stands on goes."""
        item = step.resource
        # The other end of a cable is in somebody's sandbox, who is to miss it at once; and a
        # tunnel's number is taken until the kernel comes round to clearing the namespace. A link
        # that was lent would be lost with the sandbox; one on a parent has an address there, which
        # nobody else could have in that time.
        if step.after is not None or isinstance(item, Namespace | Veth | Vxlan | Lent | Sublink):
            return False
        inside = ("netns", str(getattr(item, "namespace", HOST))) in self.falling
        return inside or (not _is_ground(item) and not self.falling.isdisjoint(item.needs))


def fall(steps: Sequence[Step]) -> Fall:
    """What falls in a call."""
    ground = [s.resource for s in steps if s.after is None and _is_ground(s.resource)]
    again = {s.resource.key for s in steps if s.after is not None}
    condemned = {item.key for item in ground if item.key not in again and _waits(item)}
    falling = {key for item in ground for key in (item.key, *item.provides)}
    # The addresses of a bridge that waits are gone at once.
    falling -= {item.key for item in ground if isinstance(item, Bridge)} & condemned
    return Fall(frozenset(falling), frozenset(condemned))


def kind(step: Step) -> str:
    """By what a step is taken; neighbours of one kind go together."""
    item = step.resource
    if isinstance(item, FIREWALL):
        return "firewall"
    if isinstance(item, NETLINK):
        return "netlink"
    if isinstance(item, NFT):
        return "nftables"
    if isinstance(item, XFRM):
        return "xfrm"
    return type(item).__name__


def place(step: Step) -> str:
    """The namespace in which a step of netlink is taken."""
    item = step.resource
    if isinstance(item, Vxlan | Underlay) and step.before is None:
        # Where it is made is where its packets travel.
        return HOST
    return str(getattr(item, "namespace", HOST))


def wave(step: Step) -> int:
    """Steps of one wave need no index that another of them brings about."""
    kind = type(step.resource)
    return WAVES.index(kind) if kind in WAVES else len(WAVES)


def grave(step: Step, condemned: Collection[Key]) -> str:
    """The namespace in which a cable is left to be reaped."""
    item = step.resource
    return item.namespace if isinstance(item, Veth) and item.key in condemned else HOST


def is_late(step: Step) -> bool:
    """Whether the far end is all that there is to be done."""
    return isinstance(step.after, Underlay) and step.before is None


def _is_ground(resource: Resource) -> bool:
    """Whether what stands on it goes with it: not so with a namespace that is somebody else's."""
    if isinstance(resource, Namespace):
        return not resource.identity
    return isinstance(resource, (*WAVES, Lent))


def _waits(item: Resource) -> bool:
    """Whether it may be left to be reaped: what the host has an address on goes at once."""
    return not (isinstance(item, Veth) and item.peer_namespace == HOST)
