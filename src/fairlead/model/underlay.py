"""Resources of a network that uses the network of the host: links on a parent of the host's.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
Dummy                 link, host, name                    itself
Vlan                  link, host, name                    its parent
Sublink               link, namespace, name               its parent
====================  ==================================  ====================

A parent may be somebody else's, mostly an Ethernet card: what stands on it needs
it all the same, and is gone when it goes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

from fairlead.model.state import HOST, Key, Plain, Rank, State, inside

ON_HOST = "fl-"
"""How the name of a link begins that the host itself has on a network's parent."""


@dataclass(frozen=True, slots=True)
class Dummy(Plain):
    """A parent that leads nowhere: what stands on it reaches only each other."""

    name: str
    up: bool = True
    RANK: ClassVar[Rank] = Rank.BRIDGE
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"up"})

    @property
    def key(self) -> Key:
        return ("link", HOST, self.name)


@dataclass(frozen=True, slots=True)
class Vlan(Plain):
    """An 802.1Q sub-interface of a link of the host's: frames with its number, both ways."""

    name: str
    parent: str
    vlan_id: int
    up: bool = True
    RANK: ClassVar[Rank] = Rank.BRIDGE
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"up"})

    @property
    def key(self) -> Key:
        return ("link", HOST, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", HOST, self.parent),)


@dataclass(frozen=True, slots=True)
class Sublink(Plain):
    """A macvlan or ipvlan: one more link on a parent, in a sandbox or (`HOST`) on the host.

    `mode` and `flag` are the kernel's words for who reaches whom. `mac` is empty
    where the link has that of its parent (ipvlan, passthru). `mtu` is in bytes; 0 is
    that of the parent, also when the parent gets another.
    """

    namespace: str
    name: str
    parent: str
    kind: str
    mode: str
    flag: str = ""
    mac: str = ""
    mtu: int = 0
    up: bool = True
    RANK: ClassVar[Rank] = Rank.LINK
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mac", "mtu", "up"})

    @property
    def key(self) -> Key:
        return ("link", self.namespace, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", HOST, self.parent), *inside(self.namespace))

    @property
    def provides(self) -> tuple[Key, ...]:
        return (self.key,)


Underlay = Dummy | Vlan | Sublink


def parents(wanted: State) -> frozenset[str]:
    """The links of the host that resources stand on and that are not among them."""
    found = {r.parent for r in wanted.values() if isinstance(r, Vlan | Sublink)}
    return frozenset(name for name in found if ("link", HOST, name) not in wanted)


def grounded(wanted: State, missing: Collection[str]) -> State:
    """What of a state can stand although some links of the host are missing."""
    if not missing:
        return wanted
    lost: set[Key] = {("link", HOST, name) for name in missing}
    found = {}
    for key, resource in sorted(wanted.items(), key=lambda item: item[1].RANK):
        if lost.isdisjoint(resource.needs):
            found[key] = resource
        else:
            lost |= {key, *resource.provides}
    return found
