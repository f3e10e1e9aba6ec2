"""Endpoints: a sandbox's place in a network. And the ports it is published on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.model.lease import Lease
from fairlead.model.state import IPAddress, IPInterface, IPNetwork


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A container port to publish: on `host_port`, the first free of a range, or (0) any port."""

    protocol: str
    container_port: int
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0
    sources: tuple[IPNetwork, ...] = ()
    """Who may come to it; empty: its networks have the word (`model.callers`)."""


@dataclass(frozen=True, slots=True)
class Port:
    """A published port: this host address and port lead to that container port.

    Host port 0 means none: the container's own port is open to the world, on a routed network.
    """

    protocol: str
    container_port: int
    host_ip: IPAddress
    host_port: int
    sources: tuple[IPNetwork, ...] = ()

    @property
    def id(self) -> str:
        """One name for it everywhere: ``tcp/0.0.0.0:8080``."""
        host = f"[{self.host_ip}]" if self.host_ip.version == 6 else str(self.host_ip)
        return f"{self.protocol}/{host}:{self.host_port}"

    @property
    def routed(self) -> bool:
        """Whether it is reached at the container's address and not at the host's."""
        return self.host_port == 0


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """How a sandbox asks to join a network. Texts are checked on the way in."""

    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    link_local: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A way that a driver wants in the sandbox: through `via`, or (None) on the link itself."""

    destination: IPNetwork
    via: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox in a network: interface `inside` there, veth `ifname` on the host."""

    id: str
    network: str
    sandbox: str
    ifname: str
    inside: str
    mac: str
    addresses: tuple[IPInterface, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    """Where what is for elsewhere goes; an unspecified address stands for the link itself."""
    link_local: tuple[IPInterface, ...] = ()
    """More addresses on the interface, that nobody else hears of."""
    aliases: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Pairs of alias and the sandbox's name it stands for, for this sandbox alone."""
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    order: int = 0
    """Counts joins of the sandbox: the first network comes first in everything."""
    fixed: bool = False
    """The address was asked for, not chosen."""
    cable: bool = True
    """Whether it has an interface at all (host and null have none)."""
    service: bool = False
    """It is there to give the sandbox a way out; the container did not ask for that network."""
    source: str = ""
    """The link of the host that somebody else made for it, and that is moved into the sandbox."""
    prefix: str = ""
    """What its interface is called in there but for the number, where a driver says."""
    routes: tuple[StaticRoute, ...] = ()
    """More ways through its interface, as a driver that is not ours wants them."""
    alone: bool = False
    """Its driver wants no other way out to be given to the sandbox."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What its driver tells of it, for people."""
    lease: Lease | None = None
    """What its address rests on, where a DHCP server gave it."""

    @property
    def ipv4(self) -> IPInterface | None:
        return next((a for a in self.addresses if a.version == 4), None)

    @property
    def ipv6(self) -> IPInterface | None:
        return next((a for a in self.addresses if a.version == 6), None)

    def gateway(self, version: int) -> IPAddress | None:
        return next((g for g in self.gateways if g.version == version), None)
