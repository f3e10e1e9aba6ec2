"""Repair: gives back what lies in the store for nobody, but only what is surely nobody's.

A host that is between two writes, and one that died there, look the same. So a leak is
repaired only if one of these holds, and is left alone else:

- it is an endpoint that says it is of this host, which knows nothing of it;
- it was there at every look for longer than anybody takes between two writes (`aged`).

That this host was about to take something when the store went away proves nothing: it may
not have been taken then, and be another host's now.

Each repair is a compare-and-swap of its own, and to do it twice does nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from fairlead.cluster.leaks import (
    Leak,
    LostAddress,
    LostAddresses,
    LostEndpoint,
    LostPool,
    LostVni,
    Remains,
    WrongCount,
    leaks,
)
from fairlead.cluster.pools import PoolId, decode_pools
from fairlead.controller.shared.allocate import release_address, release_pool
from fairlead.controller.shared.counting import set_count
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.register import forget_endpoint, remove_network
from fairlead.controller.shared.vnis import release_vni
from fairlead.model.errors import FairleadError, Forbidden, NotFound
from fairlead.model.state import IPAddress
from fairlead.store.shared import Changed


@dataclass(frozen=True, slots=True)
class Mine:
    """What a host knows of itself."""

    host: IPAddress
    endpoints: Collection[str] = ()
    """Every endpoint it has, or is about to write."""
    old: Collection[Leak] = ()
    """What it found the last times, too long ago for somebody to be busy with it."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was repaired, what was left alone, and what failed."""

    done: frozenset[Leak] = frozenset()
    left: frozenset[Leak] = frozenset()
    faults: tuple[Exception, ...] = field(default=(), compare=False)


async def repair(place: Place, mine: Mine) -> Repaired:
    """Give back what is surely nobody's; tells also what may be, to be looked at again later."""
    pairs = {entry.key: entry.value for entry in await place.store.entries(place.keys.root)}
    found = leaks(pairs, place.keys, mine.host, mine.endpoints)
    sure = set(mine.old)
    done: set[Leak] = set()
    faults: list[Exception] = []
    # Endpoints first: what they had is given back with them.
    for leak in sorted(found, key=lambda leak: (not isinstance(leak, LostEndpoint), repr(leak))):
        if not isinstance(leak, LostEndpoint) and leak not in sure:
            continue
        try:
            await _repair(place, leak)
            done.add(leak)
        except (FairleadError, ExceptionGroup) as error:
            faults.append(error)
    return Repaired(frozenset(done), found - done, tuple(faults))


async def _repair(place: Place, leak: Leak) -> None:
    match leak:
        case LostEndpoint(network, endpoint):
            await forget_endpoint(place, network, endpoint)
        case LostAddress(subnet, address):
            await release_address(place, PoolId(subnet), address)
        case LostPool(pool):
            await release_pool(place, pool)
        case LostVni(vni):
            await release_vni(place, vni)
        case LostAddresses(subnet):
            await _remove_addresses(place, PoolId(subnet))
        case WrongCount(network, said, real):
            await set_count(place, network, said, real)
        case Remains(network):
            try:
                await remove_network(place, network)
            except (NotFound, Forbidden):
                # Another host was faster, or somebody is on it after all.
                return


async def _remove_addresses(place: Place, pool: PoolId) -> None:
    key = place.keys.addresses(str(pool.subnet))
    entry = await place.store.get(key)
    pools = await place.value(place.keys.pools)
    taken = pools is not None and pool in decode_pools(pools).uses
    if entry is None or taken:
        return
    try:
        await place.store.delete(key, entry.version)
    except Changed:
        # It has an owner again.
        return
