"""Leaks: what lies in the store and belongs to nobody, because somebody died on the way.

Every change of several keys is written in such an order that no host ever uses half of it;
what a host that dies between two writes leaves behind is only taken without use::

    it died after                      what is left                     found as
    ---------------------------------  -------------------------------  ------------
    taking a pool                      a pool that no network has       LostPool
    giving a pool up                   addresses of a pool that is not  LostAddresses
    taking an address                  a bit that nobody has            LostAddress
    taking a VNI                       a bit that no overlay has        LostVni
    writing an overlay or a count      records of a network that is     Remains
                                       not there
    marking a network as going         a network that only goes         Remains
    writing an endpoint, not its count a count too low                  WrongCount
    removing an endpoint               a count too high, its address    WrongCount,
                                                                        LostAddress
    its containers (and all it knew)   endpoints that say they are its  LostEndpoint

Only the last is known at once whose it is. All others look the same while a host that
lives is between its two writes, so they are only found here; who may repair them is
decided elsewhere. Where a value cannot be read, nothing is said about what it may hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from fairlead.cluster import values
from fairlead.cluster.keys import (
    AddressesKey,
    CountKey,
    EndpointKey,
    Keys,
    Meaning,
    NetworkKey,
    NumbersKey,
    OverlayKey,
    PoolsKey,
)
from fairlead.cluster.network import NetworkRecord
from fairlead.cluster.overlay import FIRST_VNI, Overlay
from fairlead.cluster.pools import PoolId, Pools
from fairlead.cluster.sequence import Sequence, address, ordinal
from fairlead.cluster.text import subnet_of
from fairlead.model.errors import Invalid
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress, IPNetwork

MOST_LOOKED_AT = 1 << 17
"""Bits that are set in one sequence; one with more says nothing."""


@dataclass(frozen=True, slots=True)
class LostPool:
    """A pool that is taken and that no network has."""

    pool: PoolId


@dataclass(frozen=True, slots=True)
class LostAddresses:
    """The addresses of a pool that is not taken."""

    subnet: IPNetwork


@dataclass(frozen=True, slots=True)
class LostAddress:
    """An address that is taken and that nobody has."""

    subnet: IPNetwork
    address: IPAddress


@dataclass(frozen=True, slots=True)
class LostVni:
    """A VNI that is taken and that no overlay has."""

    vni: int


@dataclass(frozen=True, slots=True)
class Remains:
    """Records of a network that is not there, or that is marked as going."""

    network: str


@dataclass(frozen=True, slots=True)
class WrongCount:
    """A network that says it has so many endpoints, and has others."""

    network: str
    said: int
    real: int


@dataclass(frozen=True, slots=True)
class LostEndpoint:
    """An endpoint that says it is of a host, which has none such."""

    network: str
    endpoint: str


Leak = LostPool | LostAddresses | LostAddress | LostVni | Remains | WrongCount | LostEndpoint


@dataclass(slots=True)
class _Read:
    """The store, read once."""

    networks: dict[str, NetworkRecord] = field(default_factory=dict)
    overlays: dict[str, Overlay] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    peers: list[Peer] = field(default_factory=list)
    members: Counter[str] = field(default_factory=Counter)
    """Endpoints by network, unreadable ones included."""
    pools: Pools = field(default_factory=Pools)
    addresses: dict[IPNetwork, Sequence] = field(default_factory=dict)
    vnis: Sequence | None = None
    dark: set[type] = field(default_factory=set)
    """Kinds of keys of which one at least could not be read."""


def leaks(
    pairs: Mapping[str, bytes], keys: Keys, own: IPAddress, ours: Collection[str]
) -> frozenset[Leak]:
    """All that lies there in vain; `ours` are the endpoints that the host `own` knows it has."""
    read = _read(pairs, keys)
    found: set[Leak] = {
        LostEndpoint(peer.network, peer.id)
        for peer in read.peers
        if peer.host == own and peer.id not in ours
    }
    found.update(_of_networks(read))
    if NetworkKey not in read.dark and PoolsKey not in read.dark:
        found.update(_of_pools(read))
        if EndpointKey not in read.dark:
            found.update(_of_addresses(read))
    if OverlayKey not in read.dark and read.vnis is not None:
        used = {segment.vni for each in read.overlays.values() for segment in each.segments}
        if read.vnis.taken <= MOST_LOOKED_AT:
            taken = {bit + FIRST_VNI for bit in read.vnis.set_bits()}
            found.update(LostVni(vni) for vni in taken - used)
    return frozenset(found)


def aged(
    seen: Mapping[Leak, float],
    found: Collection[Leak],
    now_seconds: float,
    quarantine_seconds: float,
) -> tuple[dict[Leak, float], frozenset[Leak]]:
    """When each leak of the last look was first seen, and those that were there for so long."""
    since = {leak: seen.get(leak, now_seconds) for leak in found}
    old = (leak for leak, first in since.items() if now_seconds - first >= quarantine_seconds)
    return since, frozenset(old)


def _of_networks(read: _Read) -> Iterator[Leak]:
    for network, record in read.networks.items():
        said = read.counts.get(network)
        if record.removing:
            yield Remains(network)
        elif said is not None and said != read.members[network]:
            yield WrongCount(network, said, read.members[network])
    if NetworkKey not in read.dark:
        for network in (read.overlays.keys() | read.counts.keys()) - read.networks.keys():
            yield Remains(network)


def _of_pools(read: _Read) -> Iterator[Leak]:
    used = {pool for record in read.networks.values() for pool in record.pools}
    whole = {pool.whole for pool in used}
    for pool in read.pools.uses:
        # A subnet goes with the part that it was taken for.
        parted = any(p.part is not None and p.whole == pool for p in read.pools.uses)
        if pool not in used and pool not in whole and not parted:
            yield LostPool(pool)
    for subnet in read.addresses:
        if PoolId(subnet) not in read.pools.uses:
            yield LostAddresses(subnet)


def _of_addresses(read: _Read) -> Iterator[Leak]:
    held: dict[IPNetwork, set[int]] = {}
    for record in read.networks.values():
        for pool in record.network.pools:
            bits = held.setdefault(pool.subnet, set())
            for each in (pool.gateway, *pool.auxiliary.values()):
                if each is not None:
                    bits.add(ordinal(pool.subnet, each))
    for peer in read.peers:
        for each in peer.addresses:
            if each.network in held:
                held[each.network].add(int(each.ip) - int(each.network.network_address))
    for subnet, sequence in read.addresses.items():
        if subnet not in held or sequence.taken > MOST_LOOKED_AT:
            continue
        last = sequence.bits - 1 if subnet.version == 4 else 0
        for bit in sequence.set_bits():
            if bit not in (0, last) and bit not in held[subnet]:
                yield LostAddress(subnet, address(subnet, bit))


def _read(pairs: Mapping[str, bytes], keys: Keys) -> _Read:
    read = _Read()
    for key, value in pairs.items():
        meaning = keys.meaning(key)
        if isinstance(meaning, EndpointKey):
            read.members[meaning.network] += 1
        if meaning is None:
            continue
        try:
            _take(read, meaning, value)
        except Invalid:
            # The view complains about it; here it only means that less is certain.
            read.dark.add(type(meaning))
    return read


def _take(read: _Read, meaning: Meaning, value: bytes) -> None:
    match meaning, values.read(meaning, value):
        case NetworkKey(network), NetworkRecord() as record:
            read.networks[network] = record
        case OverlayKey(network), Overlay() as overlay:
            read.overlays[network] = overlay
        case CountKey(network), int(count):
            read.counts[network] = count
        case EndpointKey(), Peer() as peer:
            read.peers.append(peer)
        case PoolsKey(), Pools() as pools:
            read.pools = pools
        case AddressesKey(subnet=subnet), Sequence() as bits:
            read.addresses[subnet_of(subnet, "pool")] = bits
        case NumbersKey(), Sequence() as numbers:
            read.vnis = numbers
