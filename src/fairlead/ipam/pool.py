"""Pools: check the subnets that a user asks for, choose one when none is asked for.

Nothing is remembered here: which pools are taken follows from the networks that
exist, so that there is no second truth to fall out of step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Literal

from fairlead.ipam.bitmap import first_free, reserved
from fairlead.ipam.room import Spans, room, spans
from fairlead.model.errors import Failed, Forbidden, Invalid
from fairlead.model.network import Block, Pool, PoolRequest
from fairlead.model.state import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class Base:
    """A range from which pools of one size are cut; `size` is their prefix length."""

    range: IPNetwork
    size: int


DEFAULT_BASES = (
    *(Base(IPv4Network(f"172.{i}.0.0/16"), 16) for i in range(17, 32)),
    Base(IPv4Network("192.168.0.0/16"), 20),
)
"""Docker's local pools: 15 of /16, then 16 of /20."""

BEFORE_DEFAULTS = IPv4Network("172.16.0.0/16")
"""The private range just before them, from which Docker gives nothing."""

SMALLER_BITS = (8, 7, 6, 5, 4, 3)
"""Host bits of what is given out when no whole pool is left: 254 addresses, or fewer, down to 6."""

SPENT = "all predefined address pools have been fully subnetted"
MOST_NAMED = 40

INVALID = "invalid network config:\n"
Blocked = Callable[[Literal[4, 6]], Spans]
"""What is not to be had of a family."""


def unique_local(drawn: bytes) -> Base:
    """Where IPv6 pools come from when nobody says: fd, 40 drawn bits, /64 each (RFC 4193)."""
    return Base(ip_network((b"\xfd" + drawn[:5] + bytes(10), 48)), 64)


def choose(
    bases: Sequence[Base],
    taken: Iterable[IPNetwork],
    occupied: Iterable[IPNetwork],
    gateway: bool = True,
    holders: Callable[[], Mapping[IPNetwork, str]] = dict,
    blocks: Callable[[int], Sequence[Block]] = lambda version: (),
) -> Pool:
    """The lowest pool that overlaps neither a network nor anything the host uses.

    When the pools of the usual size are spent, the lowest smaller one. Raises
    Invalid when there is no room at all; `holders` then says who has it. `blocks` are what
    more is taken of a family, as numbers: thousands of subnets take long to turn into such.
    """
    ours, theirs = list(taken), list(occupied)

    def blocked(version: Literal[4, 6]) -> Spans:
        return spans([*ours, *theirs], version, blocks(version))

    found = _cut(bases, blocked) or _spare(bases, theirs, blocked)
    if found is None:
        names = holders()
        more = [subnet for subnet in names if subnet not in ours]
        raise Invalid(SPENT, hint=_way_on([*more, *ours], theirs, names))
    return Pool(found, first_free(found, None) if gateway else None)


def of_length(
    bases: Sequence[Base], version: Literal[4, 6], length: int, blocked: Iterable[IPNetwork]
) -> IPNetwork:
    """The lowest subnet of the wanted size in the ranges of a family. Raises Invalid."""
    ranges = [base.range for base in _all([b for b in bases if b.range.version == version])]
    known = list(blocked)
    found = _cut([Base(range_, length) for range_ in ranges], partial(spans, known))
    if found is None:
        where = ", ".join(str(range_) for range_ in ranges) or f"the pools: none is IPv{version}"
        raise Invalid(SPENT, hint=f"no /{length} is free in {where}")
    return found


def placed(
    requests: Sequence[PoolRequest], bases: Sequence[Base], blocked: Sequence[IPNetwork]
) -> tuple[PoolRequest, ...]:
    """Requests in which any subnet of a size, as `0.0.0.0/24` or `::/96`, has become one."""
    found: list[PoolRequest] = []
    given: list[IPNetwork] = []
    for request in requests:
        address, _, length = request.subnet.partition("/")
        if address in ("0.0.0.0", "::") and length.isdecimal() and int(length):
            version: Literal[4, 6] = 6 if ":" in address else 4
            subnet = of_length(bases, version, int(length), [*blocked, *given])
            given.append(subnet)
            found.append(replace(request, subnet=str(subnet)))
        else:
            found.append(request)
    return tuple(found)


def _all(bases: Sequence[Base]) -> list[Base]:
    """The ranges to give from when the usual pools do not do."""
    more = [Base(BEFORE_DEFAULTS, 16)] if tuple(bases) == DEFAULT_BASES else []
    return [*bases, *more]


def _spare(
    bases: Sequence[Base], occupied: Sequence[IPNetwork], blocked: Blocked
) -> IPNetwork | None:
    """A small subnet from what is left of the ranges, when no whole pool is.

    Ranges in which the host has a route come last: what is near it is
    probably in use by others.
    """

    def shared(base: Base) -> bool:
        mine = base.range
        return any(mine.version == other.version and mine.overlaps(other) for other in occupied)

    ranges = sorted(_all(bases), key=shared)
    for bits in SMALLER_BITS:
        lengths = ((base, base.range.max_prefixlen - bits) for base in ranges)
        smaller = [Base(base.range, length) for base, length in lengths if length > base.size]
        found = _cut(smaller, blocked)
        if found is not None:
            return found
    return None


def _cut(bases: Sequence[Base], blocked: Blocked) -> IPNetwork | None:
    """The lowest free pool of the first base that has one."""
    by_family: dict[int, Spans] = {}
    for base in bases:
        version = base.range.version
        if version not in by_family:
            by_family[version] = blocked(version)
        found = room(base.range, base.size, by_family[version])
        if found is not None:
            return found
    return None


def _way_on(
    taken: Sequence[IPNetwork], occupied: Sequence[IPNetwork], holders: Mapping[IPNetwork, str]
) -> str:
    """Who holds what, and what to do about it."""
    held = [f"{holders.get(n, 'a network')} {n}" for n in taken]
    held += [f"the host {n}" for n in occupied]
    more = f" and {len(held) - MOST_NAMED} more" if len(held) > MOST_NAMED else ""
    return (
        "remove networks that nobody is on (`network prune`), give --subnet, or set "
        "default-address-pools; held by " + ", ".join(held[:MOST_NAMED]) + more
    )


def parse(requests: Sequence[PoolRequest]) -> tuple[Pool, ...]:
    """The pools that a user asked for, as said. Raises Invalid with every fault."""
    faults: list[str] = []
    pools = [pool for request in requests if (pool := _parse(request, faults)) is not None]
    if faults:
        raise Invalid(INVALID + "\n".join(faults))
    return tuple(pools)


def settle(
    pools: Sequence[Pool],
    taken: Sequence[IPNetwork],
    gateways: Mapping[int, bool],
    several: bool = False,
) -> tuple[Pool, ...]:
    """Pools with their gateways, of the families (4, 6) that have them.

    Raises Forbidden for an overlap, Failed for an address that cannot be the gateway's.
    """
    for version in (4, 6):
        if not several and len([p for p in pools if p.subnet.version == version]) > 1:
            raise Forbidden("bridge driver doesn't support multiple subnets")
    done: list[Pool] = []
    for pool in pools:
        others = [*taken, *(p.subnet for p in done)]
        for other in others:
            if other.version == pool.subnet.version and other.overlaps(pool.subnet):
                raise Forbidden(
                    "invalid pool request: Pool overlaps with other one on this address space",
                    hint=f"{pool.subnet} overlaps {other}",
                )
        done.append(_settle(pool, gateways[pool.subnet.version]))
    return tuple(done)


def _parse(request: PoolRequest, faults: list[str]) -> Pool | None:
    """A request as values, its faults collected in Docker's words."""
    try:
        subnet = ip_network(request.subnet, strict=False)
        if "/" not in request.subnet:
            raise ValueError
    except ValueError:
        faults.append(f"invalid subnet {request.subnet}: invalid CIDR block notation")
        return None
    if subnet.network_address != ip_address(request.subnet.split("/")[0]):
        faults.append(f"invalid subnet {request.subnet}: it should be {subnet}")
        return None
    ip_range = _range(request, subnet, faults) if request.ip_range else None
    gateway = _inside(request.gateway, "gateway", subnet, faults) if request.gateway else None
    auxiliary = {}
    for name, text in request.auxiliary.items():
        address = _inside(text, "auxiliary address", subnet, faults, name)
        if address is not None:
            auxiliary[name] = address
    return Pool(subnet, gateway, ip_range, auxiliary)


def _range(request: PoolRequest, subnet: IPNetwork, faults: list[str]) -> IPNetwork | None:
    start = f"invalid ip-range {request.ip_range}: "
    try:
        ip_range = ip_network(request.ip_range, strict=False)
        if "/" not in request.ip_range:
            raise ValueError
    except ValueError:
        faults.append(start + "invalid CIDR block notation")
        return None
    if ip_range.prefixlen < subnet.prefixlen:
        faults.append(f"{start}CIDR block is bigger than its parent subnet {subnet}")
    elif ip_range.version != subnet.version or not ip_range.overlaps(subnet):
        faults.append(f"{start}parent subnet {subnet} doesn't contain ip-range")
    return ip_range


def _inside(
    text: str, what: str, subnet: IPNetwork, faults: list[str], name: str = ""
) -> IPAddress | None:
    try:
        address = ip_address(text)
    except ValueError:
        faults.append(f"invalid {what} {name or text}: invalid address")
        return None
    if address not in subnet:
        faults.append(
            f"invalid {what} {name or text}: parent subnet {subnet} doesn't contain this address"
        )
        return None
    return address


def _settle(pool: Pool, reserve: bool) -> Pool:
    """Give a pool its gateway; what it keeps back must not clash."""
    held = reserved(pool.subnet)
    if pool.gateway is not None and pool.gateway in held:
        raise Failed(f"failed to allocate gateway ({pool.gateway}): Address already in use")
    gateway = pool.gateway
    others = frozenset(pool.auxiliary.values())
    if gateway is None and reserve:
        gateway = first_free(pool.subnet, pool.ip_range, {int(address) for address in others})
    used = {gateway}
    for name, address in pool.auxiliary.items():
        if address in used or address in held:
            raise Failed(
                f"failed to allocate secondary ip address ({name}:{address}): "
                "Address already in use"
            )
        used.add(address)
    return Pool(pool.subnet, gateway, pool.ip_range, pool.auxiliary)
