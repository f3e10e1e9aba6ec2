"""Resources of a network that spans hosts: the VXLAN device, and where its frames go.

VXLAN (RFC 7348) carries Ethernet frames in UDP. Nothing is learnt from traffic:
where a MAC is, and which MAC an address has, is said by us or by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fairlead.model.state import IPAddress, Key, Plain, Rank, inside

PORT = 4789
"""The UDP port that IANA gave to VXLAN."""
SEALED_PORT = 4799
"""That of encrypted networks, which is nobody's: in ESP, so it is not seen on the way.

IPsec judges by ports and knows nothing of networks. A port that has only what is secret it
keeps closed by itself, whatever becomes of firewalls.
"""


@dataclass(frozen=True, slots=True)
class Vxlan(Plain):
    """A VXLAN device in a namespace, whose packets travel in the host's.

    `local` is the address that they leave from, `mtu` in bytes; it answers for
    neighbours that it was told of.
    """

    namespace: str
    name: str
    master: str
    vni: int
    local: IPAddress
    mtu: int
    port: int = PORT
    up: bool = True
    RANK: ClassVar[Rank] = Rank.LINK
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"master", "mtu", "up"})

    @property
    def key(self) -> Key:
        return ("link", self.namespace, self.name)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (*inside(self.namespace), ("link", self.namespace, self.master))


@dataclass(frozen=True, slots=True)
class Fdb(Plain):
    """A MAC is on another host: the bridge sends its frames to the VXLAN device, that to `host`."""

    namespace: str
    link: str
    mac: str
    host: IPAddress
    RANK: ClassVar[Rank] = Rank.NEIGH
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"host"})

    @property
    def key(self) -> Key:
        return ("fdb", self.namespace, self.link, self.mac)

    @property
    def needs(self) -> tuple[Key, ...]:
        return (("link", self.namespace, self.link),)
