"""Networks and their address pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fairlead.model.lease import DHCP
from fairlead.model.options import TRUE, BridgeOptions, Mode, bridge_options
from fairlead.model.parent import HOST_ACCESS, KINDS, ParentOptions, parent_name, parent_options
from fairlead.model.prefixes import EGRESS, destinations
from fairlead.model.state import IPAddress, IPNetwork

ENCAPSULATION, VXLAN, UNWRAPPED = "fairlead.encapsulation", "vxlan", "none"
"""The option that says how frames of a network travel between hosts, and what it may say."""


class Scope(StrEnum):
    """Who knows a network: this host, or every host of the cluster."""

    LOCAL = "local"
    GLOBAL = "global"


Block = tuple[int, int]
"""The first and the last of addresses that follow each other, as numbers."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet, the part of it that containers get, and the addresses kept back."""

    subnet: IPNetwork
    gateway: IPAddress | None = None
    ip_range: IPNetwork | None = None
    auxiliary: Mapping[str, IPAddress] = field(default_factory=dict)
    id: str = ""
    """What a ledger that is not ours calls it."""
    space: str = ""
    """The address space that it is of, there."""

    @property
    def way_out(self) -> IPAddress | None:
        """Where containers send what is for elsewhere: a router set aside, else the gateway."""
        return self.auxiliary.get(f"DefaultGatewayIPv{self.subnet.version}", self.gateway)


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A pool as a user asks for it: text, checked by the IPAM. Empty means: choose."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """A network as a user asks for it."""

    name: str
    driver: str = "bridge"
    pools: tuple[PoolRequest, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] | None = None
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    scope: str = ""
    config_only: bool = False
    config_from: str = ""
    decided: frozenset[int] = frozenset()
    """The families of which the user said whether it has them: no default changes that."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network that exists. `created` is in nanoseconds since the epoch."""

    id: str
    name: str
    driver: str
    created: int
    pools: tuple[Pool, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] | None = None
    scope: Scope = Scope.LOCAL
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    predefined: bool = False
    config_only: bool = False
    """It only holds settings for networks that name it; nothing stands for it."""
    config_from: str = ""
    """The name of the network whose settings it took."""
    adopted: bool = False
    """The bridge, or the parent, stood before us; it is used and never changed or removed."""
    vnis: tuple[int, ...] = ()
    """Of one that spans hosts: the VXLAN number of each of its segments, once it has them."""
    remote: bool = False
    """Its driver is somebody else's program: what stands for it on the host is not ours."""
    alone: bool = False
    """Made while this host was in no cluster: whatever its scope, no other host knows it."""

    @property
    def bridge(self) -> BridgeOptions:
        """The options of a bridge network; they were checked when it was made."""
        # What is said to a driver that is not ours is none of our business.
        return bridge_options({} if self.remote else self.options)

    @property
    def egress(self) -> tuple[IPNetwork, ...] | None:
        """Where outside it leads; None: anywhere."""
        text = self.options.get(EGRESS) if self.driver == "bridge" else None
        return None if text is None else destinations(text)

    def gateway_reserved(self, version: int) -> bool:
        """Whether an address of each pool is set aside for the bridge or a router."""
        return gateway_reserved(self.bridge, self.internal, version)

    @property
    def ifname(self) -> str:
        """The name of its bridge on the host, if it has one there."""
        if self.routed:
            return bridge_name(self.id)
        if self.driver != "bridge":
            return ""
        return self.options.get("com.docker.network.bridge.name") or bridge_name(self.id)

    @property
    def underlay(self) -> ParentOptions:
        """The options of a network on a parent; they were checked when it was made."""
        return parent_options(self.driver, self.options)

    @property
    def on_parent(self) -> bool:
        """Whether its endpoints are links on a parent, past the host's bridges and firewall."""
        return self.driver in KINDS and not self.remote

    @property
    def parent(self) -> str:
        """The link of the host on which it stands; empty for a network that has its own."""
        return parent_name(self.driver, self.options, self.id) if self.on_parent else ""

    @property
    def leased(self) -> bool:
        """Whether its addresses come from a DHCP server on its parent's segment."""
        return self.ipam_driver == DHCP and self.on_parent

    @property
    def default_bridge(self) -> bool:
        """Whether it is the network that containers get when they ask for none."""
        return self.predefined and self.driver == "bridge"

    @property
    def shared(self) -> bool:
        """Whether every host of the cluster knows it."""
        return self.scope is Scope.GLOBAL and not self.alone

    @property
    def encrypted(self) -> bool:
        """Whether nothing of it may be on the way between hosts in the clear.

        As with Docker the option only has to be there, whatever its value.
        """
        return self.driver == "overlay" and "encrypted" in self.options

    @property
    def essence(self) -> object:
        """What of it cannot change while somebody is on it, whoever says so."""
        return self.name, self.driver, self.pools, self.internal, self.encrypted, self.routed

    @property
    def routed(self) -> bool:
        """Whether it spans hosts by routes between them, and has no tunnels.

        One that is encrypted as well, which only a store can say, is not: what has to be
        encrypted travels in a tunnel or not at all.
        """
        unwrapped = self.driver == "overlay" and self.options.get(ENCAPSULATION) == UNWRAPPED
        return unwrapped and not self.encrypted

    @property
    def host_access(self) -> bool:
        """Whether each host has an address of it, and a way into it."""
        if self.on_parent:
            return self.underlay.host_access
        return self.driver == "overlay" and self.options.get(HOST_ACCESS) in TRUE

    @property
    def user_defined(self) -> bool:
        return not self.predefined


def gateway_reserved(options: BridgeOptions, internal: bool, version: int) -> bool:
    """Not where nobody would answer at it: an isolated network, or an inhibited internal one."""
    inhibited = options.inhibit_ipv4 and version == 4
    return options.mode(version) is not Mode.ISOLATED and not (internal and inhibited)


SPAN = "1-"
"""How the name of the namespace begins that a network has which spans hosts."""


def span(id_: str) -> str:
    """The namespace in which a network that spans hosts has its bridge on each of them."""
    return f"{SPAN}{id_[:10]}"


def is_span(namespace: str) -> bool:
    """Whether a namespace is one of a network, and no sandbox."""
    return namespace.startswith(SPAN)


def bridge_name(id_: str) -> str:
    """The name of a network's bridge when nobody chose one."""
    return f"br-{id_[:12]}"
