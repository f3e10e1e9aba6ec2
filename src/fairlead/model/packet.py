"""A packet on its way through a host: what it is, what it meets, who waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fairlead.model.state import IPAddress

PROTOCOLS = ("tcp", "udp")
"""Those whose way can be followed."""
PROBE_TABLE = "fairlead_trace"
"""Our table of nftables while packets are followed."""
DELIVERED, LEAVING = "c_delivered", "c_leaving"
"""Its chains at the end of a way: to this host, and to others."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Who sends what to whom. Port 0 of the source: any."""

    protocol: str
    source: IPAddress
    destination: IPAddress
    port: int
    source_port: int = 0

    def __str__(self) -> str:
        return f"{self.protocol} from {self.source} to {joined(self.destination, self.port)}"


def joined(address: IPAddress, port: int) -> str:
    """An address and a port as people write them."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class Verdict(StrEnum):
    """What a rule says of a packet."""

    ACCEPT = "accept"
    DROP = "drop"
    QUEUE = "queue"
    STOLEN = "stolen"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the kernel says of one packet at one rule, or at the end of a chain (`handle` 0)."""

    packet: int
    family: str
    table: str
    chain: str
    verdict: Verdict
    to: str = ""
    """The chain that a jump leads to."""
    handle: int = 0
    came_by: str = ""
    goes_by: str = ""
    flow: Flow | None = None
    """How it looks; told once for each hook."""
    rule: str = ""
    """The words of the rule, for whoever looked them up."""

    @property
    def where(self) -> str:
        """Family, table and chain in one."""
        return f"{self.family} {self.table} {self.chain}"


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody waits at an address and port."""

    address: IPAddress
    port: int

    def hears(self, address: IPAddress) -> bool:
        """Whether what is for an address gets to it; one that is for all of IPv6 hears IPv4."""
        wild = self.address.is_unspecified and self.address.version >= address.version
        return wild or self.address == address


@dataclass(frozen=True, slots=True)
class Way:
    """Where a namespace's routes lead: by a link, through a gateway, or (`local`) nowhere else."""

    link: str = ""
    via: IPAddress | None = None
    source: IPAddress | None = None
    """What whoever sends there has for an address."""
    local: bool = False
    refusal: str = ""
    """Why there is no way."""
