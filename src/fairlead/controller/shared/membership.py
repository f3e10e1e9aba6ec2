"""Membership: who a host is in its cluster, and what people are told of that."""

from __future__ import annotations

from dataclasses import dataclass, field

from fairlead.cluster.node import Node
from fairlead.controller.shared.seal import USUAL, Pace
from fairlead.model.state import IPAddress


@dataclass(frozen=True, slots=True)
class Membership:
    """Who this host is in the cluster, and how often it says that it lives."""

    node: Node
    heartbeat_seconds: float = 20.0
    ttl_seconds: float = 60.0
    secret: bytes | None = field(default=None, repr=False)
    """Of the file that keys of encrypted networks come of, if they do."""
    pace: Pace = USUAL
    name: str = ""
    """What this host is called on networks that it has access to; empty: by its address."""


@dataclass(frozen=True, slots=True)
class Told:
    """What people are told of a membership."""

    store: str
    advertised: str
    address: IPAddress
    """Where others send this host's frames."""
    hears: str
    """How hosts hear of each other."""
    hosts: tuple[str, ...]
    """The hosts that are alive."""
    networks: int
    peers: int
    trouble: str
