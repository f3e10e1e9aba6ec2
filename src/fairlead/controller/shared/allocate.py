"""Pools and addresses of the whole cluster, given out so that nobody gets the same twice.

Each is one bit or entry in one value, set by compare-and-swap. Releasing what is not taken
does nothing. Addresses are given out in turn: the next after the last, round and round, so
that one that was just released is not somebody else's at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv4Network

from fairlead.cluster.leaks import LostAddress, LostPool
from fairlead.cluster.pools import PoolId, Pools, decode_pools, encode_pools
from fairlead.cluster.sequence import Sequence as Bits
from fairlead.cluster.sequence import address, decode, encode, fresh, ordinal, size
from fairlead.controller.shared.place import Altering, Place, Unsure, all_or_nothing
from fairlead.ipam.pool import INVALID, Base, parse
from fairlead.ipam.room import room, spans
from fairlead.model.errors import Failed, Forbidden, Invalid, NotFound, Unavailable
from fairlead.model.network import Pool, PoolRequest
from fairlead.model.state import IPAddress, IPNetwork
from fairlead.store.shared import Away, Changed

DEFAULT_BASES = (Base(IPv4Network("10.0.0.0/8"), 24),)
"""Docker's pools of the whole cluster: 65,536 of 254 addresses."""


class NoAddress(Unavailable):
    """A pool is full."""

    def __init__(self, pool: PoolId) -> None:
        super().__init__("No available addresses on this pool", hint=f"all of {pool} are taken")


class _NotBegun(Exception):
    """Nothing is written yet of a pool's addresses."""


async def request_pool(
    place: Place,
    subnet: IPNetwork | None = None,
    part: IPNetwork | None = None,
    *,
    version: int = 4,
    bases: Sequence[Base] = DEFAULT_BASES,
    blocked: Sequence[IPNetwork] = (),
) -> PoolId:
    """Take a pool: the one asked for (of which containers get `part`), or the lowest free one.

    `blocked` is not chosen. Raises Forbidden for one that overlaps another, NotFound when
    none is free.
    """

    def choose(pools: Pools) -> IPNetwork:
        return subnet or _choose(pools, version, bases, blocked)

    return await _take_pool(place, choose, part, lambda _, bits: bits)


async def _take_pool(
    place: Place,
    choose: Callable[[Pools], IPNetwork],
    part: IPNetwork | None,
    settle: Callable[[PoolId, Bits], Bits],
) -> PoolId:
    """Take a pool, and what `settle` takes of its addresses."""
    got: list[PoolId] = []

    def take(value: bytes | None) -> bytes:
        pools = _pools(value)
        got[:] = [PoolId(choose(pools), part)]
        return encode_pools(pools.with_pool(got[0]))

    def begin(_left: bytes | None) -> bytes:
        # Whatever is there was left behind when the pool was given up: it is ours alone now.
        return encode(str(got[0].whole), settle(got[0], fresh(got[0].subnet)))

    try:
        await place.alter_all(
            Altering(lambda: place.keys.pools, take, undo=lambda: release_pool(place, got[0])),
            Altering(lambda: place.keys.addresses(str(got[0].subnet)), begin, fresh=True),
        )
    except Away as error:
        raise Unsure(error, *(LostPool(each) for each in got)) from error
    return got[0]


async def release_pool(place: Place, pool: PoolId) -> None:
    """Give a pool up, with all its addresses once nobody uses it; nothing if it is not taken."""
    key = place.keys.addresses(str(pool.subnet))
    # Read before it is given up: what is written there afterwards is the next owner's.
    addresses = await place.store.get(key)
    left: list[Pools] = []

    def give(value: bytes | None) -> bytes | None:
        pools = _pools(value)
        if pool in pools.uses:
            left[:] = [pools.without(pool)]
            return encode_pools(left[0])
        left.clear()
        return value

    try:
        await place.alter(place.keys.pools, give)
        if left and pool.whole not in left[0].uses and addresses is not None:
            await place.store.delete(key, addresses.version)
    except Changed:
        # Somebody still wrote there, or has it already: found as a leak if it is one.
        return
    except Away as error:
        raise Unsure(error, LostPool(pool)) from error


async def request_address(
    place: Place,
    pool: PoolId,
    asked: IPAddress | None = None,
    *,
    after: IPAddress | None = None,
    quarantine: Sequence[IPAddress] = (),
) -> IPAddress:
    """Take an address: the one asked for, or the next free one behind `after`, round and round.

    One in quarantine (released lately, oldest first) is only taken when no other is free.
    Raises Forbidden when the one asked for is taken, NoAddress when all are.
    """
    got: list[IPAddress] = []
    key = place.keys.addresses(str(pool.subnet))
    begun = False

    def take(value: bytes | None) -> bytes:
        if value is None and not begun:
            raise _NotBegun
        bits = fresh(pool.subnet) if value is None else _addresses(pool.subnet, value)
        if asked is None:
            bit = _next(bits, pool, after, quarantine)
        else:
            bit = ordinal(pool.subnet, asked)
            if bits.is_set(bit):
                raise Forbidden("Address already in use", hint=f"{asked} is taken in the cluster")
        got[:] = [address(pool.subnet, bit)]
        return encode(str(pool.whole), bits.set(bit))

    try:
        try:
            await place.alter(key, take)
        except _NotBegun:
            # Who took the pool died before it wrote which addresses it has.
            if pool not in _pools(await place.value(place.keys.pools)).uses:
                raise NotFound(f"cannot find address pool for poolID:{pool}") from None
            begun = True
            await place.alter(key, take)
    except Away as error:
        raise Unsure(error, *(LostAddress(pool.subnet, each) for each in got)) from error
    return got[0]


async def release_address(place: Place, pool: PoolId, given: IPAddress) -> None:
    """Give an address back; nothing if it is not taken."""
    bit = ordinal(pool.subnet, given)

    def give(value: bytes | None) -> bytes | None:
        if value is None:
            return None
        bits = _addresses(pool.subnet, value)
        return encode(str(pool.whole), bits.unset(bit)) if bits.is_set(bit) else value

    try:
        await place.alter(place.keys.addresses(str(pool.subnet)), give)
    except Away as error:
        raise Unsure(error, LostAddress(pool.subnet, given)) from error


async def request_pools(
    place: Place,
    asked: Sequence[PoolRequest],
    *,
    bases: Sequence[Base] = DEFAULT_BASES,
    blocked: Sequence[IPNetwork] = (),
    ipv6: bool = False,
) -> tuple[Pool, ...]:
    """Take the pools of a network with their gateways and what they keep back, or nothing.

    A family of which no pool is asked for gets one of its own choice: IPv4 always, IPv6 if
    the network is to have it. Raises what `request_pool` does, Failed for a gateway that is
    no host's.
    """
    wanted = [each for each in asked if each.subnet]
    if any(each.ip_range or each.auxiliary for each in asked if not each.subnet):
        raise Invalid(f"{INVALID}a range or an address needs a subnet")
    pools = parse(wanted)
    families = [4, 6] if ipv6 else [4]
    missing = [v for v in families if not any(p.subnet.version == v for p in pools)]
    found: list[Pool] = []
    async with all_or_nothing() as undo:
        for pool in pools:
            found.append(await _whole_pool(place, partial(_just, pool.subnet), pool))
            undo(partial(release_pool, place, PoolId(pool.subnet, pool.ip_range)))
        for version in missing:
            choose = partial(_choose, version=version, bases=bases, blocked=blocked)
            found.append(await _whole_pool(place, choose))
            undo(partial(release_pool, place, PoolId(found[-1].subnet)))
    # As others read them: the store has a list of each family.
    return tuple(sorted(found, key=lambda pool: pool.subnet.version))


def _just(subnet: IPNetwork, _pools: Pools) -> IPNetwork:
    """The one that was asked for."""
    return subnet


async def _whole_pool(
    place: Place, choose: Callable[[Pools], IPNetwork], asked: Pool | None = None
) -> Pool:
    """Take a pool with its gateway, and with what it keeps back."""
    auxiliary = {} if asked is None else asked.auxiliary
    gateway: list[IPAddress] = []

    def settle(id_: PoolId, bits: Bits) -> Bits:
        for name, each in auxiliary.items():
            what = f"secondary ip address ({name}:{each})"
            bits = bits.set(_free(bits, id_.subnet, each, what))
        if asked is None or asked.gateway is None:
            bit = _next(bits, id_, None, tuple(set(auxiliary.values())))
        else:
            bit = _free(bits, id_.subnet, asked.gateway, f"gateway ({asked.gateway})")
        gateway[:] = [address(id_.subnet, bit)]
        return bits.set(bit)

    part = None if asked is None else asked.ip_range
    id_ = await _take_pool(place, choose, part, settle)
    return Pool(id_.subnet, gateway[0], part, auxiliary)


def _free(bits: Bits, subnet: IPNetwork, wanted: IPAddress, what: str) -> int:
    bit = ordinal(subnet, wanted)
    if bits.is_set(bit):
        raise Failed(f"failed to allocate {what}: Address already in use")
    return bit


def _pools(value: bytes | None) -> Pools:
    """The pools that are taken, none when nothing was written yet."""
    return Pools() if value is None else decode_pools(value)


def _choose(
    pools: Pools, version: int, bases: Sequence[Base], blocked: Sequence[IPNetwork]
) -> IPNetwork:
    for base in bases:
        if base.range.version == version:
            taken = spans([*pools.subnets, *blocked], base.range.version)
            found = room(base.range, base.size, taken)
            if found is not None:
                return found
    raise NotFound(
        f"could not find an available, non-overlapping IPv{version} address pool among the "
        "defaults to assign to the network",
        hint="give --subnet",
    )


def _addresses(subnet: IPNetwork, value: bytes) -> Bits:
    """The addresses of a pool as they lie in the store."""
    bits = decode(value)
    if bits.bits != size(subnet):
        raise Invalid(f"the addresses of {subnet} are {bits.bits}, which is not its size")
    return bits


def _next(
    bits: Bits, pool: PoolId, after: IPAddress | None, quarantine: Sequence[IPAddress]
) -> int:
    """The next free bit of the part that containers get."""
    space = pool.part if pool.part is not None else pool.subnet
    low = ordinal(pool.subnet, space.network_address)
    high = min(low + space.num_addresses, bits.bits)
    start = low
    if after is not None and after in space:
        start = ordinal(pool.subnet, after) + 1
    kept = [ordinal(pool.subnet, each) for each in quarantine if each in pool.subnet]
    spared = frozenset(kept)
    for first, end in ((start, high), (low, start)):
        bit = bits.first_free(first, end)
        while bit is not None and bit in spared:
            bit = bits.first_free(bit + 1, end)
        if bit is not None:
            return bit
    for bit in kept:
        if low <= bit < high and not bits.is_set(bit):
            return bit
    raise NoAddress(pool)
