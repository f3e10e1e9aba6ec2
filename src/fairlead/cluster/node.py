"""Hosts that are alive: each keeps ``address:port`` in the store, with a short life."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from fairlead.cluster.text import host_of
from fairlead.model.errors import Invalid
from fairlead.model.state import IPAddress

MOST_PLACE = 128
MOST_PORT = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Node:
    """A host, and the port where its engine's API is."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.address)}:{self.port}"


def bracketed(address: IPAddress) -> str:
    """An address as it is written before a port."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def decode_node(place: str, value: bytes) -> Node:
    """What the entry of a host says; it must be what its key says. Raises Invalid."""
    if value.decode("utf-8", "replace") != place:
        raise Invalid("the host is not where its key says")
    if len(place) > MOST_PLACE:
        raise Invalid("the host's place is too long")
    text, colon, port = place.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= MOST_PORT:
        raise Invalid(f"the host's place {place!a} is not an address and a port")
    if ":" in text and not (text.startswith("[") and text.endswith("]")):
        raise Invalid(f"the host's place {place!a} is not an address and a port")
    return Node(host_of(text.removeprefix("[").removesuffix("]"), "host"), int(port))


def encode_node(node: Node) -> bytes:
    """What the entry of a host says."""
    return str(node).encode()
