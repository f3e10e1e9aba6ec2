"""Values: what lies under a key, read as what the key means."""

from __future__ import annotations

from fairlead.cluster.count import decode_count
from fairlead.cluster.endpoint import decode_endpoint
from fairlead.cluster.keys import (
    SPACE,
    VXLAN_IDS,
    AddressesKey,
    CountKey,
    EndpointKey,
    Meaning,
    NetworkKey,
    NodeKey,
    NumbersKey,
    OverlayKey,
    PoolsKey,
)
from fairlead.cluster.network import NetworkRecord, decode_network
from fairlead.cluster.node import Node, decode_node
from fairlead.cluster.overlay import Overlay, decode_overlay
from fairlead.cluster.pools import Pools, decode_pools
from fairlead.cluster.sequence import Sequence, decode
from fairlead.model.peer import Peer

Value = NetworkRecord | Overlay | Peer | Node | Pools | Sequence | int
"""Of a network, of its overlay, of an endpoint, of a host, of what is taken; or a count."""


def read(meaning: Meaning, value: bytes) -> Value | None:
    """What a value says; None if it is of a kind that nobody here uses. Raises Invalid."""
    match meaning:
        case EndpointKey(network, endpoint):
            return decode_endpoint(network, endpoint, value)
        case NetworkKey(network):
            return decode_network(network, value)
        case OverlayKey():
            return decode_overlay(value)
        case NodeKey(place):
            return decode_node(place, value)
        case CountKey():
            return decode_count(value)
        case PoolsKey(space) if space == SPACE:
            return decode_pools(value)
        case AddressesKey(space) if space == SPACE:
            return decode(value)
        case NumbersKey(kind) if kind == VXLAN_IDS:
            return decode(value)
        case _:
            return None
