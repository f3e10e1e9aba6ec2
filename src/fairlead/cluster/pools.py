"""Pools: which subnets of the cluster are taken, as Docker's IPAM keeps them in one value.

::

    {"Scope": …, "Subnets": {"GlobalDefault/10.0.0.0/24": {"ParentKey": …, "Pool": …,
                             "Range": …, "RefCount": 1}}}

A pool that containers get only a part of has two entries: the part, with the subnet as its
parent, and the subnet, that counts it. Addresses are kept per subnet, never per part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.cluster.keys import SPACE
from fairlead.cluster.sequence import ordinal
from fairlead.cluster.text import MOST_BYTES, decoded, encoded, object_of, subnet_of, text_of
from fairlead.model.errors import Forbidden, Invalid
from fairlead.model.state import IPNetwork

OVERLAP = "Pool overlaps with other one on this address space"
NO_SUCH_POOL = "Address space does not contain specified address pool"
_NO_PARENT = {"AddressSpace": "", "Subnet": "", "ChildSubnet": ""}
MOST_COUNT = 1 << 31


@dataclass(frozen=True, slots=True)
class PoolId:
    """A subnet, or a part of one, in the address space of the cluster."""

    subnet: IPNetwork
    part: IPNetwork | None = None

    def __str__(self) -> str:
        part = f"/{self.part}" if self.part is not None else ""
        return f"{SPACE}/{self.subnet}{part}"

    @property
    def whole(self) -> PoolId:
        """The subnet that it is, or is a part of."""
        return PoolId(self.subnet)


def pool_id(text: str) -> PoolId:
    """A pool's id as text. Raises Invalid."""
    parts = text.split("/")
    if len(parts) not in (3, 5) or parts[0] != SPACE:
        raise Invalid(f"invalid string form for subnetkey: {text[:100]!a}")
    subnet = subnet_of("/".join(parts[1:3]), "pool")
    if len(parts) == 3:
        return PoolId(subnet)
    part = subnet_of("/".join(parts[3:5]), "part of a pool")
    if part.version != subnet.version or not _within(part, subnet):
        raise Invalid(f"{part} is not a part of {subnet}")
    return PoolId(subnet, part)


@dataclass(frozen=True, slots=True)
class Pools:
    """Every pool that is taken, and how many use it. What else is written there is kept."""

    uses: Mapping[PoolId, int] = field(default_factory=dict)
    entries: Mapping[str, object] = field(default_factory=dict)
    """As they are written, by the pool's id."""
    scope: str = "global"
    """Docker's first write says so, all later ones nothing; nobody reads it."""

    @property
    def subnets(self) -> tuple[IPNetwork, ...]:
        """The subnets that are taken, whole ones."""
        return tuple(pool.subnet for pool in self.uses if pool.part is None)

    def with_pool(self, pool: PoolId) -> Pools:
        """With a pool taken. Raises Forbidden when it overlaps one that is."""
        for other in self.subnets:
            if other.version == pool.subnet.version and other.overlaps(pool.subnet):
                raise Forbidden(OVERLAP, hint=f"{pool.subnet} overlaps {other}")
        entries = {**self.entries, str(pool.whole): _entry(pool.whole)}
        uses = {**self.uses, pool.whole: 1}
        if pool.part is not None:
            entries[str(pool)] = _entry(pool)
            uses[pool] = 1
        return Pools(uses, entries, "global" if not self.entries else "")

    def without(self, pool: PoolId) -> Pools:
        """With a pool used once less, gone when nobody uses it. Raises Invalid if it is not there.

        A part takes its subnet with it when that was the last use.
        """
        if pool not in self.uses:
            raise Invalid(NO_SUCH_POOL, hint=f"{pool} is not taken")
        uses, entries = dict(self.uses), dict(self.entries)
        for each in dict.fromkeys((pool, pool.whole)):
            left = uses.get(each, 0) - 1
            if left > 0:
                uses[each] = left
                entries[str(each)] = {**_fields(entries[str(each)]), "RefCount": left}
            else:
                uses.pop(each, None)
                entries.pop(str(each), None)
        return Pools(uses, entries, "")


def decode_pools(value: bytes) -> Pools:
    """The pools as they lie in the store. Raises Invalid."""
    fields = decoded(value, MOST_BYTES)
    scope = text_of(fields, "Scope")
    entries = object_of(fields, "Subnets")
    uses: dict[PoolId, int] = {}
    for key, entry in entries.items():
        pool = pool_id(key)
        if str(pool) != key:
            raise Invalid(f"pool {key[:100]!a} is written {pool}")
        uses[pool] = _uses(pool, _fields(entry))
    for pool in uses:
        if pool.whole not in uses:
            raise Invalid(f"pool {pool} is a part of a subnet that is not there")
    return Pools(uses, entries, scope)


def encode_pools(pools: Pools) -> bytes:
    """The pools as they lie in the store."""
    return encoded({"Scope": pools.scope, "Subnets": dict(sorted(pools.entries.items()))})


def _uses(pool: PoolId, entry: Mapping[str, object]) -> int:
    if entry.get("Pool") != str(pool.subnet):
        raise Invalid(f"pool {pool} does not say that it is of {pool.subnet}")
    count = entry.get("RefCount")
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count < MOST_COUNT:
        raise Invalid(f"pool {pool} has no count of its users")
    return count


def _entry(pool: PoolId) -> dict[str, object]:
    if pool.part is None:
        return {"ParentKey": dict(_NO_PARENT), "Pool": str(pool.subnet), "RefCount": 1}
    parent = {"AddressSpace": SPACE, "Subnet": str(pool.subnet), "ChildSubnet": ""}
    span = {
        "End": ordinal(pool.subnet, pool.part.broadcast_address),
        "Start": ordinal(pool.subnet, pool.part.network_address),
        "Sub": str(pool.part),
    }
    return {"ParentKey": parent, "Pool": str(pool.subnet), "Range": span, "RefCount": 1}


def _fields(entry: object) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise Invalid("a pool is not an object")
    return entry


def _within(part: IPNetwork, subnet: IPNetwork) -> bool:
    return int(subnet.network_address) <= int(part.network_address) and int(
        part.broadcast_address
    ) <= int(subnet.broadcast_address)
