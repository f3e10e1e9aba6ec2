"""Networks and endpoints, written where all hosts of the cluster find them.

The order of writes is what keeps others from using half of something:

- a network is written last, when its pools, its overlay record and its count are there
  (at once with the last two and its VNIs where the store has transactions);
- an endpoint counts (``endpoint_count``) after it is written; a network that is no longer
  there, or that is going, has no count, and the endpoint is taken back;
- a network is marked as going (Docker hosts no longer show it): hosts that are on it only
  for access leave it then, and those that do not within moments are taken off it. Then it
  loses its count, by compare-and-swap from the value under which nobody was on it; from
  there on nobody can join it. Its VNIs are given back by the one host that removed its
  overlay record, its pools by the one that removed the network itself: whoever comes second
  gives nothing back.

A host that dies in between leaves what `fairlead.cluster.leaks` lists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial

from fairlead.cluster.count import decode_count, encode_count
from fairlead.cluster.endpoint import decode_endpoint, encode_endpoint
from fairlead.cluster.keys import NetworkKey
from fairlead.cluster.leaks import Leak, LostAddress, LostPool, LostVni, Remains, WrongCount
from fairlead.cluster.network import (
    NetworkRecord,
    decode_network,
    encode_network,
    marked,
    ours,
)
from fairlead.cluster.overlay import NO_VNI, decode_overlay, encode_overlay, overlay_of
from fairlead.cluster.pools import PoolId
from fairlead.cluster.text import decoded
from fairlead.controller.shared import counting, users
from fairlead.controller.shared.allocate import release_address, release_pool
from fairlead.controller.shared.place import (
    MOST_TRIES,
    Alteration,
    Altering,
    Contended,
    Place,
    Unsure,
    all_or_nothing,
)
from fairlead.controller.shared.vnis import release_vni, take_vnis
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Conflict, FairleadError, Invalid, NotFound
from fairlead.model.network import Network, PoolRequest
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.store.shared import Away, Changed

MOST_WAITS = 12
MOST_PARTINGS = 60
"""Pauses, which make three seconds: so long hosts have to leave a network that goes."""


async def put_network(
    place: Place,
    network: Network,
    *,
    asked: Sequence[PoolRequest] | None = None,
    with_vnis: bool = False,
) -> tuple[int, ...]:
    """Make a network known; its pools are taken already, and are left alone if this fails.

    `asked` are its pools as the user asked for them. With VNIs, one for each segment that is
    to have a tunnel, they are taken for it and given back. Raises Conflict when another network
    has its name.
    """
    value = encode_network(network, asked=asked)
    keys = place.keys
    async with all_or_nothing() as undo:
        first: list[Altering] = []
        then: list[Altering] = []
        vnis: list[int] = []
        if network.driver == "overlay":
            if with_vnis and not network.routed:
                undo(lambda: _give_back(place, network.id, vnis))
                first.append(_taking_vnis(place, network, vnis))
            undo(lambda: place.remove(keys.overlay(network.id)))
            then.append(
                _fresh(keys.overlay(network.id), lambda old: old or _overlay(network, vnis))
            )
        undo(lambda: place.remove(keys.count(network.id)))
        first.append(_fresh(keys.count(network.id), lambda old: old or encode_count(0), True))
        undo(lambda: place.remove(keys.network(network.id)))
        then.append(_fresh(keys.network(network.id), lambda old: value))
        if place.store.at_once is None:
            # Nothing of it tells anybody of the network, so it need not be asked for its name.
            await place.together(_unnamed(place, network), place.alter_all(*first))
            await place.alter_all(*then)
        else:
            await _unnamed(place, network)
            await place.alter_all(*first, *then)
        await _alone(place, network)
    return tuple(vnis)


async def _unnamed(place: Place, network: Network) -> None:
    """Make sure that nobody has a network's name, as far as can be told now. Raises Conflict."""
    if await _namesakes(place, network):
        raise _taken(network)


def _fresh(key: str, change: Alteration, beside: bool = False) -> Altering:
    """A key that nobody else knows of yet."""
    return Altering(lambda: key, change, fresh=True, beside=beside)


def _taking_vnis(place: Place, network: Network, vnis: list[int]) -> Altering:
    number = len(overlay_of(network).segments)

    def take(value: bytes | None) -> bytes:
        taken, vnis[:] = take_vnis(value, number)
        return taken

    return Altering(lambda: place.keys.vnis, take)


def _overlay(network: Network, vnis: Sequence[int]) -> bytes:
    overlay = overlay_of(network)
    for segment, vni in zip(overlay.segments, vnis, strict=False):
        overlay = overlay.with_vni(segment.subnet, vni)
    return encode_overlay(overlay)


async def _give_back(place: Place, network: str, vnis: Sequence[int]) -> None:
    """VNIs of a network that did not come to be, unless its record stayed."""
    if vnis and await place.value(place.keys.overlay(network)) is None:
        for vni in vnis:
            await release_vni(place, vni)


async def remove_network(place: Place, id_: str, own: IPAddress | None = None) -> None:
    """Take a network away, and all that belongs to it; finishes what another host began.

    Raises NotFound, and Forbidden when somebody is on it; the host `own`, which takes it away,
    is not waited for.
    """
    keys = place.keys
    record = await _record(place, id_)
    if record is not None:
        await _close(place, id_, record, own)
    else:
        counted = await place.remove(keys.count(id_))
        if counted is None and await place.value(keys.overlay(id_)) is None:
            raise NotFound(f"network {id_} not found")
    faults: list[Exception] = []
    try:
        removed = await place.remove(keys.overlay(id_))
        vnis = [] if removed is None else [s.vni for s in decode_overlay(removed).segments]
        for vni in vnis:
            if vni != NO_VNI:
                await _trying(faults, release_vni(place, vni), LostVni(vni))
        network = await place.remove(keys.network(id_))
        pools = () if network is None else decode_network(id_, network).pools
        for pool in pools:
            # A crash from here on leaves pools that no network has.
            await _trying(faults, release_pool(place, pool), LostPool(pool))
    except Away as error:
        faults.append(Unsure(error, Remains(id_)))
    if faults:
        raise ExceptionGroup(f"network {id_} was not removed as a whole", faults)


async def put_endpoint(
    place: Place,
    network: Network,
    endpoint: Endpoint,
    sandbox: Sandbox,
    host: IPAddress,
    *,
    anonymous: bool = False,
) -> None:
    """Make an endpoint of ours known, or known anew; its address is taken already.

    Raises NotFound when its network is not there any more, and leaves nothing then.
    """
    keys = place.keys
    key = keys.endpoint(network.id, endpoint.id)
    record = await _record(place, network.id)
    if record is None or record.removing:
        raise NotFound(f"network {network.id} not found")

    new: list[bool] = []

    def written(old: bytes | None) -> bytes:
        new[:] = [old is None]
        rest = _rest(old)
        return encode_endpoint(network, endpoint, sandbox, host, anonymous=anonymous, rest=rest)

    def with_it(old: bytes | None) -> bytes:
        return counting.counted(network.id, old, new[0])

    async def back() -> None:
        if new[0]:
            await place.remove(key)

    async with all_or_nothing() as undo:
        undo(back)
        try:
            await place.alter_all(
                _fresh(key, written), Altering(lambda: keys.count(network.id), with_it)
            )
        except Away as error:
            raise Unsure(error, WrongCount(network.id, 0, 1)) from error
    if not new[0]:
        # Docker hosts look at endpoints only when the count is written.
        await counting.touch(place, network.id)


async def remove_endpoint(
    place: Place, network: Network, endpoint: Endpoint, *, keep_addresses: bool = False
) -> None:
    """Take an endpoint of ours away, count it no more, give its addresses back.

    With `keep_addresses` they stay taken, for whoever gives them back later. Nothing is
    done when the endpoint is not there: who removed it did the rest.
    """
    removed = await place.remove(place.keys.endpoint(network.id, endpoint.id))
    if removed is None:
        return
    await _left(place, network, [a.ip for a in endpoint.addresses] if not keep_addresses else [])


async def forget_endpoint(place: Place, network: str, endpoint: str) -> None:
    """Take an endpoint away of which nothing is known but its record."""
    record = await _record(place, network)
    removed = await place.remove(place.keys.endpoint(network, endpoint))
    if removed is None or record is None:
        return
    try:
        addresses = [a.ip for a in decode_endpoint(network, endpoint, removed).addresses]
    except Invalid:
        # Nobody can tell what it had: found as a leak.
        addresses = []
    await _left(place, record.network, addresses)


async def _left(place: Place, network: Network, addresses: Sequence[IPAddress]) -> None:
    """What follows when an endpoint is gone: everything that can be done is done."""
    faults: list[Exception] = []
    try:
        await place.alter(place.keys.count(network.id), counting.one_less)
    except Away as error:
        faults.append(Unsure(error, WrongCount(network.id, 1, 0)))
    except FairleadError as error:
        faults.append(error)
    # A plugin's addresses are given back to it.
    for address in addresses if ours(network) else ():
        pool = next((p.subnet for p in network.pools if address in p.subnet), None)
        if pool is not None:
            lost = LostAddress(pool, address)
            await _trying(faults, release_address(place, PoolId(pool), address), lost)
    if faults:
        raise ExceptionGroup(f"an endpoint left network {network.name} not wholly", faults)


async def _trying(faults: list[Exception], step: Awaitable[None], leak: Leak) -> None:
    try:
        await step
    except Unsure as error:
        faults.append(error)
    except Away as error:
        faults.append(Unsure(error, leak))
    except FairleadError as error:
        faults.append(error)


async def _record(place: Place, id_: str) -> NetworkRecord | None:
    value = await place.value(place.keys.network(id_))
    return None if value is None else decode_network(id_, value)


async def _namesakes(place: Place, network: Network) -> list[str]:
    """The ids of other networks of that name."""
    found: list[str] = []
    for entry in await place.store.entries(place.keys.networks):
        meaning = place.keys.meaning(entry.key)
        if isinstance(meaning, NetworkKey) and meaning.network != network.id:
            try:
                other = decode_network(meaning.network, entry.value)
            except Invalid:
                # No host uses it, so its name is free.
                continue
            if other.network.name == network.name and not other.removing:
                found.append(meaning.network)
    return found


async def _alone(place: Place, network: Network) -> None:
    """Make sure that no other host made a network of that name meanwhile. Raises Conflict.

    Each writes first and looks then, so that of two at least one sees the other. The one
    with the higher id goes at once; the other one waits for that, and goes as well if the
    one it sees stays: it was finished before.
    """
    for attempt in range(MOST_WAITS):
        others = await _namesakes(place, network)
        if not others:
            return
        if min(others) < network.id:
            break
        await place.pause(attempt)
    raise _taken(network)


async def _close(place: Place, id_: str, record: NetworkRecord, own: IPAddress | None) -> None:
    """Mark a network as going, and see to it that nobody can join it. Raises Forbidden."""
    keys = place.keys
    going, waited = record.removing, 0
    for attempt in range(MOST_TRIES):
        count = await place.store.get(keys.count(id_))
        if count is None and going:
            return
        there = await users.there(place, id_)
        counted = count is not None and decode_count(count.value) > 0
        # A host that leaves is counted a moment longer than it is there.
        unknown = counted and not there.hosts and not 0 < waited < MOST_PARTINGS
        if there.users or unknown:
            if going:
                await place.alter(keys.network(id_), partial(_marked, removing=False))
            raise users.in_use(record.network, there.users)
        if not going:
            going = True
            await place.alter(keys.network(id_), partial(_marked, removing=True))
        if count is None:
            return
        if counted:
            waited += 1
            await _part(place, id_, there.hosts, own, waited >= MOST_PARTINGS)
            await place.pause(attempt)
            continue
        try:
            await place.store.delete(keys.count(id_), count.version)
        except Changed:
            # Somebody joined or left.
            await place.pause(attempt)
        else:
            return
    raise Contended(f"network {record.network.name} is never quiet", hint="try again")


async def _part(
    place: Place, id_: str, hosts: Sequence[Peer], own: IPAddress | None, late: bool
) -> None:
    """Take hosts off a network that goes: this one, those that are dead, or (if late) all."""
    alive = set() if late else await users.alive(place) - {own}
    for peer in hosts:
        if peer.host not in alive:
            await forget_endpoint(place, id_, peer.id)


def _taken(network: Network) -> Conflict:
    return Conflict(f"network with name {network.name} already exists")


def _marked(old: bytes | None, *, removing: bool) -> bytes | None:
    return None if old is None else marked(old, removing=removing)


def _rest(old: bytes | None) -> dict[str, object] | None:
    """What a record of ours says beyond what we write; nothing if somebody spoilt it."""
    try:
        return None if old is None else decoded(old)
    except Invalid:
        return None
