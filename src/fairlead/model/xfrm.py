"""Resources of IPsec: what encrypts the tunnel between two hosts.

====================  ==================================  ====================
resource              identity                            goes away with
====================  ==================================  ====================
XfrmState             xfrm-state, destination, SPI        itself
XfrmPolicy            xfrm-policy, source, destination    itself
XfrmBlock             xfrm-block, family                  itself
XfrmDemand            xfrm-demand, family                 itself
====================  ==================================  ====================

All belong to the host's own namespace: the UDP socket of a VXLAN device stays where the
device was made. What they are about is told by the port alone, which only encrypted networks
have; ours are told from others' by their request id, which comes of the engine's tag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fairlead.model.marks import Marks
from fairlead.model.state import IPAddress, Key, Plain, Rank
from fairlead.model.tunnel import SEALED_PORT

SECRET_BYTES = 20
"""Of AES-128-GCM's key, 16, and its salt (RFC 4106)."""


def reqid(marks: Marks) -> int:
    """The request id of an engine's SAs and policies; never 0, which means any."""
    return int(marks.tag, 16) | 0x80000000


@dataclass(frozen=True, slots=True)
class XfrmState(Plain):
    """A security association: ESP in transport mode, AES-GCM, from one host to another.

    An SA is never changed, and none is made twice: its packets are counted, and a count
    that began anew under the same `secret` would be taken for old packets, if not worse.
    """

    source: IPAddress
    destination: IPAddress
    spi: int
    secret: bytes = field(repr=False)
    port: int = SEALED_PORT
    RANK: ClassVar[Rank] = Rank.CHAIN

    @property
    def key(self) -> Key:
        return ("xfrm-state", str(self.destination), f"{self.spi:#010x}")


@dataclass(frozen=True, slots=True)
class XfrmPolicy(Plain):
    """What this host sends to that port of another leaves by the SA of that SPI."""

    source: IPAddress
    destination: IPAddress
    spi: int
    port: int = SEALED_PORT
    RANK: ClassVar[Rank] = Rank.RULE
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"spi"})

    @property
    def key(self) -> Key:
        return ("xfrm-policy", str(self.source), str(self.destination))


@dataclass(frozen=True, slots=True)
class XfrmBlock(Plain):
    """What goes to that port and has no other policy is dropped: of one family."""

    version: int
    port: int = SEALED_PORT
    RANK: ClassVar[Rank] = Rank.TABLE

    @property
    def key(self) -> Key:
        return ("xfrm-block", str(self.version))


@dataclass(frozen=True, slots=True)
class XfrmDemand(Plain):
    """What comes to that port of this host without an SA of ours is dropped: of one family."""

    version: int
    port: int = SEALED_PORT
    RANK: ClassVar[Rank] = Rank.TABLE

    @property
    def key(self) -> Key:
        return ("xfrm-demand", str(self.version))
