"""Kernel state as values: what a resource is, those of namespaces and bridges, their order.

A resource is one thing that the kernel holds for us: a namespace, a link, an
address, a firewall chain. It has an identity (`key`), says what must exist
before it (`needs`), and which of its fields the kernel can change while it
stands (`IN_PLACE`); every other difference means delete and make anew.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
Namespace             netns, name                         itself
Bridge                link, namespace, name               itself
Veth                  link, namespace, name               its peer's namespace
Lent                  link, HOST, its name there          its namespace
Address               addr, namespace, link, address      its link
Route                 route, namespace, destination,      its link
                      table unless it is the main one
Neighbour             neigh, namespace, link, address     its link
Proxy                 proxy, namespace, link, address     its link
DnsRedirect           dns, namespace                      its namespace
Sysctl                sysctl, namespace, path             never: see below
====================  ==================================  ====================

Other kinds have modules of their own: `iptables`, `lookup`, `nftables`, `tunnel`,
`underlay`, `xfrm`, `zone`.

Settings (`Sysctl`, and `Policy` of iptables) have no creator: the kernel always has a
value. They are `LASTING`: no longer wanting one leaves it as it is.

A resource holds only fields that fairlead sets, so that what the kernel
reports can be projected onto it and compared with ``==``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import ClassVar, Protocol, runtime_checkable

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

Key = tuple[str, ...]

EVERYWHERE: dict[int, IPNetwork] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
"""Where default routes lead."""
HOST = ""
"""The namespace in which the daemon runs; every other one has a name."""


class Rank(IntEnum):
    """Order of creation; removal goes backwards.

    The firewall stands before the first link is up, so that no packet arrives
    earlier than the rules that judge it. Neighbours are known before the first address
    answers: who cannot say at once where an answer goes asks by ARP, and asks again a second later.
    Tables of nftables come before those of iptables: beside these they hold what closes.
    """

    NETNS = 0
    TABLE = 1
    SET = 2
    ELEMENT = 3
    CHAIN = 4
    RULE = 5
    POLICY = 6
    ZONE = 7
    BRIDGE = 8
    LINK = 9
    SYSCTL = 10
    NEIGH = 11
    ADDR = 12
    ROUTE = 13


@runtime_checkable
class Resource(Protocol):
    """One thing in the kernel that fairlead owns: frozen, slotted, comparable."""

    RANK: ClassVar[Rank]
    IN_PLACE: ClassVar[frozenset[str]]
    LASTING: ClassVar[bool]

    @property
    def key(self) -> Key: ...
    @property
    def needs(self) -> tuple[Key, ...]: ...
    @property
    def provides(self) -> tuple[Key, ...]: ...


class Plain:
    """Defaults: nothing changes in place, nothing is needed, it can be removed."""

    __slots__ = ()
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()
    LASTING: ClassVar[bool] = False

    @property
    def needs(self) -> tuple[Key, ...]:
        return ()

    @property
    def provides(self) -> tuple[Key, ...]:
        """Other keys under which resources that need this one know it."""
        return ()


def inside(namespace: str) -> tuple[Key, ...]:
    """What is needed of where a resource is: the host's own namespace is always there."""
    return (("netns", namespace),) if namespace != HOST else ()


@dataclass(frozen=True, slots=True)
class Namespace(Plain):
    """A pinned network namespace: loopback up, IPv6 off on interfaces to come.

    One with an `identity` is somebody else's, found at `source`: we only pin it, and
    letting go of it takes nothing along that is in it.
    """

    name: str
    identity: str = ""
    source: str = field(default="", compare=False)
    RANK: ClassVar[Rank] = Rank.NETNS
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"source"})

    @property
    def key(self) -> Key:
        return ("netns", self.name)


@dataclass(frozen=True, slots=True)
class DnsRedirect(Plain):
    """127.0.0.11 port 53 in a namespace leads to the resolver's port there."""

    namespace: str
    RANK: ClassVar[Rank] = Rank.RULE

    @property
    def key(self) -> Key:
        return ("dns", self.namespace)

    @property
    def needs(self) -> tuple[Key, ...]:
        return inside(self.namespace)


@dataclass(frozen=True, slots=True)
class Bridge(Plain):
    """A Linux bridge. `mtu` in bytes."""

    namespace: str
    name: str
    mac: str
    mtu: int
    up: bool = True
    RANK: ClassVar[Rank] = Rank.BRIDGE
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mtu", "mac", "up"})

    @property
    def key(self) -> Key:
        return ("link", self.namespace, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        return inside(self.namespace)


@dataclass(frozen=True, slots=True)
class Veth(Plain):
    """A cable from a bridge port to an interface in a sandbox.

    The bridge is on the host, or in the `namespace` of its network. `mac` is the
    address of the end in the sandbox; `mtu` (bytes) and `up` are of both ends;
    with `hairpin` the bridge also sends back what came from it.
    A veth cannot be handed to another namespace in place: the name may be
    taken there, and addresses and routes are lost on the way.
    """

    name: str
    master: str
    peer_namespace: str
    peer: str
    mac: str
    mtu: int
    up: bool = True
    hairpin: bool = False
    namespace: str = HOST
    RANK: ClassVar[Rank] = Rank.LINK
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mtu", "master", "mac", "up", "hairpin"})

    @property
    def key(self) -> Key:
        return ("link", self.namespace, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        port = (("link", self.namespace, self.master),) if self.master else ()
        return (*port, *inside(self.namespace), *inside(self.peer_namespace))

    @property
    def provides(self) -> tuple[Key, ...]:
        return (("link", self.peer_namespace, self.peer),)


@dataclass(frozen=True, slots=True)
class Lent(Plain):
    """A link that somebody else made on the host, moved into a sandbox under another name.

    It goes back under its old name. It is never made nor deleted by us: whoever made it
    may delete it at any time.
    """

    name: str
    namespace: str
    inside: str
    mac: str
    up: bool = True
    RANK: ClassVar[Rank] = Rank.LINK
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mac", "up"})

    @property
    def key(self) -> Key:
        return ("link", HOST, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("netns", self.namespace),)

    @property
    def provides(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.inside),)


@dataclass(frozen=True, slots=True)
class Sysctl(Plain):
    """A kernel setting below /proc/sys, by its path there."""

    namespace: str
    path: str
    value: str
    link: str = ""
    RANK: ClassVar[Rank] = Rank.SYSCTL
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"value"})
    LASTING: ClassVar[bool] = True

    @property
    def key(self) -> Key:
        return ("sysctl", self.namespace, self.path, self.link)

    @property
    def needs(self) -> tuple[Key, ...]:
        if self.link:
            return (("link", self.namespace, self.link),)
        return inside(self.namespace)


@dataclass(frozen=True, slots=True)
class Address(Plain):
    """An address with its prefix on a link."""

    namespace: str
    link: str
    address: IPInterface
    RANK: ClassVar[Rank] = Rank.ADDR

    @property
    def key(self) -> Key:
        return ("addr", self.namespace, self.link, str(self.address.ip))

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.link),)


@dataclass(frozen=True, slots=True)
class Route(Plain):
    """A route through a link; 0.0.0.0/0 or ::/0 is the default route.

    `source` is the address that the host itself speaks with, where it is to choose that one.
    `table` is one that only some packets go by (`model.lookup`); 0 is the main one.
    """

    namespace: str
    destination: IPNetwork
    via: IPAddress | None
    link: str
    source: IPAddress | None = None
    table: int = 0
    RANK: ClassVar[Rank] = Rank.ROUTE

    @property
    def key(self) -> Key:
        apart = (str(self.table),) if self.table else ()
        return ("route", self.namespace, str(self.destination), *apart)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.link),)


@dataclass(frozen=True, slots=True)
class Neighbour(Plain):
    """A permanent neighbour entry: this address is at that MAC."""

    namespace: str
    link: str
    address: IPAddress
    mac: str
    RANK: ClassVar[Rank] = Rank.NEIGH
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mac"})

    @property
    def key(self) -> Key:
        return ("neigh", self.namespace, self.link, str(self.address))

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.link),)


@dataclass(frozen=True, slots=True)
class Proxy(Plain):
    """Who asks on a link for this address is told the link's own: it is reached from here."""

    namespace: str
    link: str
    address: IPAddress
    RANK: ClassVar[Rank] = Rank.NEIGH

    @property
    def key(self) -> Key:
        return ("proxy", self.namespace, self.link, str(self.address))

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.link),)


State = Mapping[Key, Resource]


@dataclass(frozen=True, slots=True)
class Scope:
    """What `observe` looks at.

    `settings` are keys of lasting resources to read: they carry no mark, so
    they are reported only to whoever asks for them. `namespaces` limits the
    view to some sandboxes, and the host if `HOST` is among them (None: all, and
    the host). Without `rules` the host's firewall is not looked at.
    """

    settings: frozenset[Key] = frozenset()
    namespaces: frozenset[str] | None = None
    rules: bool = True


def state(resources: Mapping[Key, Resource] | list[Resource] | tuple[Resource, ...]) -> State:
    """A state from resources. Two different ones with one key are an error: ValueError."""
    if isinstance(resources, Mapping):
        return resources
    found: dict[Key, Resource] = {}
    for resource in resources:
        if found.setdefault(resource.key, resource) != resource:
            raise ValueError(f"two owners of {resource.key}: {found[resource.key]} and {resource}")
    return found


def changed_fields(before: Resource, after: Resource) -> frozenset[str]:
    """The names of the fields in which two resources of one key differ."""
    if type(before) is not type(after):
        return frozenset({"type"})
    names = (f.name for f in fields(before))  # type: ignore[arg-type]
    return frozenset(n for n in names if getattr(before, n) != getattr(after, n))
