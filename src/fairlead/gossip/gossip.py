"""What a host can say to the others of its cluster and hear of them: the seam to gossip.

Rule: it is a hint that comes early. Whatever is told may be lost, and is known from the store
all the same.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fairlead.cluster.gossip import Found, PeerEvent
from fairlead.gossip.roster import Member, MemberEvent
from fairlead.model.state import IPAddress

NAME_LETTERS = 63
ID_LETTERS = 8


@dataclass(frozen=True, slots=True)
class Lookup:
    """Somebody asks where an address of a network is, and waits a second for the answer."""

    network: str
    address: IPAddress
    id: int
    connection: int
    """The one that it came on, on which alone it can be answered."""


Heard = PeerEvent | MemberEvent | Lookup
Report = Callable[[str], None]


class Gossip(Protocol):
    """Gossip with the other hosts of a cluster."""

    async def tell(self, event: PeerEvent) -> None:
        """Tell all hosts, soon; never waits for one."""

    def heard(self) -> AsyncGenerator[Heard, None]:
        """What others tell, for one listener; ends only when closed, survives the agent."""

    async def answer(self, lookup: Lookup, found: Found) -> None:
        """Answer who asked. Without an answer others answer, or nobody."""

    async def members(self) -> tuple[Member, ...]:
        """All hosts that are known, this one and dead ones included. Raises Unavailable."""

    async def join(self, addresses: Iterable[IPAddress]) -> None:
        """Meet these hosts now, and whenever an agent begins. Unavailable: none was met."""


def node_name(host: str, engine: str) -> str:
    """The name of a host in the cluster: as people call it, and never another's."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in host)
    return f"{plain[:NAME_LETTERS] or 'host'}-{engine[:ID_LETTERS]}"


def in_use(gossip: Gossip | None) -> str:
    """What people are told about how hosts hear of each other."""
    return "the store alone (serf is not installed)" if gossip is None else str(gossip)
