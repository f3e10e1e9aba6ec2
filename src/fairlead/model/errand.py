"""Errands: what is still to be told to somebody else who had a say in a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network, Pool
from fairlead.model.state import IPInterface


class Due(StrEnum):
    """What is owed: each takes back one thing that was asked for."""

    CONCEAL = "conceal"
    """The sandbox no longer reaches the world through the endpoint."""
    LEAVE = "leave"
    """The endpoint is gone."""
    ADDRESS = "address"
    """Its address is free again."""
    DELETE = "delete"
    """The network is gone."""
    POOL = "pool"
    """Its pool is free again."""


@dataclass(frozen=True, slots=True)
class Errand:
    """One thing that is owed, with all that it takes to say it. `created` in nanoseconds.

    It is on disk before the thing is asked for and until somebody has answered: neither a
    death of ours nor one of theirs leaves anything behind there.
    """

    id: str
    due: Due
    net: Network
    created: int = 0
    ep: Endpoint | None = None
    address: IPInterface | None = None
    pool: Pool | None = None


def parting(net: Network, ep: Endpoint, new_id: Callable[[], str], now: int) -> tuple[Errand, ...]:
    """What is owed when an endpoint ends."""
    gone = Errand(new_id(), Due.LEAVE, net, now, ep)
    free = (Errand(new_id(), Due.ADDRESS, net, now, ep, address) for address in ep.addresses)
    return (gone, *free)
