"""What hosts with Docker 20.10 do in its own way, as far as that shows in a cluster."""

from __future__ import annotations

from fairlead.model.peer import Peer

PREFIX = "02:42:"


def by_docker(peer: Peer) -> bool:
    """Whether an endpoint's MAC says its address: Docker's do, and ours by accident only."""
    return any(
        address.version == 4 and peer.mac == PREFIX + address.ip.packed.hex(":")
        for address in peer.addresses
    )
