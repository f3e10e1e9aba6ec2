"""Pools: check the subnets that a user asks for, choose one when none is asked for.

Nothing is remembered here: which pools are taken follows from the networks that
exist, so that there is no second truth to fall out of step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_network

from fairlead.ipam.bitmap import first_free, reserved
from fairlead.model.errors import Failed, Forbidden, Invalid
from fairlead.model.network import Pool, PoolRequest
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

INVALID = "invalid network config:\n"


def unique_local(drawn: bytes) -> Base:
    """Where IPv6 pools come from when nobody says: fd, 40 drawn bits, /64 each (RFC 4193)."""
    return Base(ip_network((b"\xfd" + drawn[:5] + bytes(10), 48)), 64)


def choose(
    bases: Sequence[Base],
    taken: Iterable[IPNetwork],
    occupied: Iterable[IPNetwork],
    gateway: bool = True,
) -> Pool:
    """The lowest pool that overlaps neither a network nor a route of the host.

    Raises Invalid when there is none.
    """
    blocked = sorted([*taken, *occupied], key=lambda n: (n.version, n))
    for subnet in _cut(bases):
        if not any(n.version == subnet.version and n.overlaps(subnet) for n in blocked):
            return Pool(subnet, first_free(subnet, None, frozenset()) if gateway else None)
    raise Invalid(
        "all predefined address pools have been fully subnetted",
        hint="remove networks that are not used (`network prune`), give --subnet, or set "
        "default-address-pools to smaller ones; taken: " + ", ".join(str(n) for n in blocked[:40]),
    )


def _cut(bases: Sequence[Base]) -> Iterator[IPNetwork]:
    for base in bases:
        yield from base.range.subnets(new_prefix=base.size)


def parse(requests: Sequence[PoolRequest]) -> tuple[Pool, ...]:
    """The pools that a user asked for, as said. Raises Invalid with every fault."""
    faults: list[str] = []
    pools = [pool for request in requests if (pool := _parse(request, faults)) is not None]
    if faults:
        raise Invalid(INVALID + "\n".join(faults))
    return tuple(pools)


def settle(
    pools: Sequence[Pool], taken: Sequence[IPNetwork], gateways: Mapping[int, bool]
) -> tuple[Pool, ...]:
    """Pools with their gateways, of the families (4, 6) that have them.

    Raises Forbidden for an overlap, Failed for an address that cannot be the gateway's.
    """
    for version in (4, 6):
        if len([p for p in pools if p.subnet.version == version]) > 1:
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
        gateway = first_free(pool.subnet, pool.ip_range, others)
    used = {gateway}
    for name, address in pool.auxiliary.items():
        if address in used or address in held:
            raise Failed(
                f"failed to allocate secondary ip address ({name}:{address}): "
                "Address already in use"
            )
        used.add(address)
    return Pool(pool.subnet, gateway, pool.ip_range, pool.auxiliary)
