"""The families a test of packets runs for: IPv4, IPv6 beside IPv4, and IPv6 alone.

What is asked of a family is spelled here, so that one test tells one story for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.docker.stage import eventually
from tests.lab import Machine


@dataclass(frozen=True, slots=True)
class Family:
    """One version of IP: how its networks are made, and who is where on the wire."""

    name: str
    version: int
    host: str
    neighbour: str
    second: str
    """An address that the host does not have yet."""
    loopback: str
    create: str = ""
    """Options that make a network of this family."""

    @property
    def prefix(self) -> int:
        """The length of the prefix on the wire."""
        return 24 if self.version == 4 else 64

    @property
    def ip(self) -> str:
        """The option that chooses a container's address."""
        return "--ip" if self.version == 4 else "--ip6"

    @property
    def route(self) -> str:
        """The command for this family's routes."""
        return f"ip -{self.version} route"

    def at(self, network: int, place: int) -> str:
        """An address on one of the tests' networks."""
        return (
            f"10.5.{network}.{place}" if self.version == 4 else f"fd00:5:{network + 1:x}::{place:x}"
        )

    def subnet(self, network: int, prefix: int | None = None) -> str:
        """The subnet of one of the tests' networks."""
        return f"{self.at(network, 0)}/{prefix or self.prefix}"

    def made(self, network: int) -> str:
        """Options that make one of the tests' networks."""
        return f"{self.create} --subnet {self.subnet(network)}"

    def shown(self, host: str) -> str:
        """An address as it stands before a port."""
        return f"[{host}]" if self.version == 6 else host

    def of(self, endpoint: Mapping[str, Any]) -> str:
        """The address of an endpoint."""
        return str(endpoint["IPAddress" if self.version == 4 else "GlobalIPv6Address"])

    def gateway(self, endpoint: Mapping[str, Any]) -> str:
        """The gateway of an endpoint, which is the host."""
        return str(endpoint["Gateway" if self.version == 4 else "IPv6Gateway"])


HOST6, NEIGHBOUR6 = "2001:db8:1::1", "2001:db8:1::2"
IPV4 = Family("ipv4", 4, "192.0.2.1", "192.0.2.2", "192.0.2.100", "127.0.0.1")
DUAL = Family("ipv6", 6, HOST6, NEIGHBOUR6, "2001:db8:1::100", "::1", "--ipv6")
ALONE = Family(
    "ipv6-only", 6, HOST6, NEIGHBOUR6, "2001:db8:1::100", "::1", "--ipv4=false --ipv6"
)  # fmt: skip
FAMILIES = (IPV4, DUAL, ALONE)

once = pytest.mark.parametrize("family", [IPV4], indirect=True, ids=lambda f: str(f.name))
"""For a test whose answer has no family."""


def wired(machine: Machine, address: str) -> Machine:
    """Gives a machine on the switch an address of IPv6, at once."""
    machine.shell(f"ip address add {address}/64 dev eth0 nodad")
    eventually(lambda: machine.shell("ip -6 address show tentative").stdout == "")
    return machine
