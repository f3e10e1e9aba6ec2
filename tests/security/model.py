"""Who reaches whom: the policy said a second time, from the user's point of view alone.

It knows networks, containers and published ports, and nothing of chains, rules or interfaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from tests.security.probe import Question

IP = IPv4Address | IPv6Address

SERVED = (80, 81)
"""What every container serves, over TCP and UDP."""
HOST_PORT = 90
"""What the host serves itself."""


@dataclass(slots=True)
class Net:
    """A network as its maker knows it."""

    name: str
    internal: bool = False
    icc: bool = True
    mode: str = "nat"
    gateways: dict[int, IP] = field(default_factory=dict)
    """By IP version; a network has those it has a gateway of."""


@dataclass(frozen=True, slots=True)
class Port:
    """A published port; `host_ip` "" is every address."""

    host_ip: str
    host_port: int
    protocol: str
    port: int


@dataclass(slots=True)
class Box:
    """A running container: its address for each network and version."""

    name: str
    ports: tuple[Port, ...] = ()
    addresses: dict[str, dict[int, IP]] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    """The world, and what follows from it."""

    hosts: dict[int, IP]
    neighbours: dict[int, IP]
    nets: dict[str, Net] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)

    def gateway(self, box: Box, version: int) -> Net | None:
        """The network by which a container reaches the world: the first by name that leads out."""
        ways = [
            self.nets[name]
            for name, found in box.addresses.items()
            if version in found and not self.nets[name].internal
        ]
        return min(ways, key=lambda net: net.name, default=None)

    def questions(self) -> Iterator[Question]:
        """Everything worth asking of this world."""
        for source in ("host", "neighbour", *self.boxes):
            for target in self._addresses():
                yield Question(source, target, "icmp")
                for protocol in ("tcp", "udp"):
                    for served in SERVED:
                        yield Question(source, target, protocol, served)
            for target in self._host_addresses(source):
                yield Question(source, target, "tcp", HOST_PORT)
                for box in self.boxes.values():
                    for port in box.ports:
                        yield Question(source, target, port.protocol, port.host_port)
        for box in self.boxes.values():
            for target in self.neighbours.values():
                yield Question(box.name, target, "udp", SERVED[0])

    def _addresses(self) -> Iterator[IP]:
        for box in self.boxes.values():
            for found in box.addresses.values():
                yield from found.values()

    def _host_addresses(self, source: str) -> Iterator[IP]:
        yield from self.hosts.values()
        if source == "host":
            yield from (IPv4Address("127.0.0.1"), IPv6Address("::1"))
        if source != "neighbour":
            for net in self.nets.values():
                yield from net.gateways.values()

    def answer(self, question: Question) -> str:
        """Who answers, as a server tells it, or ""."""
        if question.target in self.neighbours.values():
            way = self.gateway(self.boxes[question.source], question.target.version)
            return f"neighbour:{question.port}" if way is not None else ""
        owner = self._owner(question.target)
        if owner is not None:
            return self._own_address(question, *owner)
        return self._host(question)

    def _owner(self, address: IP) -> tuple[Box, str] | None:
        for box in self.boxes.values():
            for name, found in box.addresses.items():
                if address in found.values():
                    return box, name
        return None

    def _own_address(self, question: Question, box: Box, network: str) -> str:
        """What is answered at a container's own address."""
        net = self.nets[network]
        said = "echo" if question.protocol == "icmp" else f"{box.name}:{question.port}"
        if question.source in (box.name, "host"):
            return said
        asker = self.boxes.get(question.source)
        version = question.target.version
        if asker is not None and version in asker.addresses.get(network, {}):
            return said if net.icc else ""
        if net.internal or net.mode == "nat":
            return ""
        if asker is not None and self.gateway(asker, version) is None:
            return ""
        if net.mode == "nat-unprotected":
            return said if asker is None else ""
        if question.protocol == "icmp":
            return said
        published = {(p.protocol, p.port) for p in box.ports}
        way = self.gateway(box, version)
        door = way is net and (question.protocol, question.port) in published
        return said if door else ""

    def _host(self, question: Question) -> str:
        """What is answered at an address of the host."""
        version = question.target.version
        asker = self.boxes.get(question.source)
        if asker is not None:
            near = [
                self.nets[name]
                for name, found in asker.addresses.items()
                if version in found and self.nets[name].gateways.get(version) == question.target
            ]
            way = near[0] if near else self.gateway(asker, version)
            if way is None:
                return ""
            if question.port == HOST_PORT:
                return f"host:{HOST_PORT}"
            if way.internal:
                return ""
        if question.port == HOST_PORT:
            return f"host:{HOST_PORT}"
        for box in self.boxes.values():
            for port in box.ports:
                if (port.protocol, port.host_port) != (question.protocol, question.port):
                    continue
                if self.bound(box, port, version) and port.host_ip in ("", str(question.target)):
                    return f"{box.name}:{port.port}"
        return ""

    def bound(self, box: Box, port: Port, version: int) -> bool:
        """Whether the host listens for a published port in a family."""
        if port.host_ip and (":" in port.host_ip) != (version == 6):
            return False
        way = self.gateway(box, version)
        if way is not None:
            return way.mode != "routed"
        if version == 6 and not port.host_ip:
            # The proxy leads from IPv6 to a container that has IPv4 alone.
            way = self.gateway(box, 4)
            return way is not None and way.mode != "routed"
        return False
