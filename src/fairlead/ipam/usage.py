"""How full a pool is. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fairlead.ipam.bitmap import reserved
from fairlead.model.network import Pool
from fairlead.model.state import IPAddress

MOST = (1 << 64) - 1
"""Clients keep these numbers in 64 bits."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Addresses of a pool that somebody has or nobody may have, and those left to give."""

    used: int
    available: int


def usage(pool: Pool, endpoints: Iterable[IPAddress]) -> Usage:
    """The usage of a pool, given all addresses that endpoints have."""
    kept = {*reserved(pool.subnet), *pool.auxiliary.values()}
    if pool.gateway is not None:
        kept.add(pool.gateway)
    held = kept | {address for address in endpoints if address in pool.subnet}
    space = pool.ip_range if pool.ip_range is not None else pool.subnet
    left = space.num_addresses - sum(address in space for address in held)
    return Usage(min(len(held), MOST), min(left, MOST))
