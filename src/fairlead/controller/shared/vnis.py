"""VNIs of the whole cluster: one bit each in one value, and one each in a network's record.

A host that dies between the two leaves a bit for nobody, which is found by its age
(`shared.repair`). Releasing what is not taken does nothing.
"""

from __future__ import annotations

from fairlead.cluster.keys import VXLAN_IDS
from fairlead.cluster.leaks import LostVni
from fairlead.cluster.overlay import FIRST_VNI, LAST_VNI, NO_VNI, decode_overlay, encode_overlay
from fairlead.cluster.sequence import Sequence as Bits
from fairlead.cluster.sequence import decode, encode
from fairlead.controller.shared.place import Place, Unsure
from fairlead.model.errors import FairleadError, Invalid, NotFound, Unavailable
from fairlead.model.state import IPNetwork
from fairlead.store.shared import Away


def next_vni(bits: Bits, after: int = NO_VNI) -> tuple[Bits, int]:
    """The next free VNI behind `after`, round and round, and what is taken then."""
    bit = bits.first_free(max(after + 1 - FIRST_VNI, 0))
    if bit is None:
        bit = bits.first_free()
    if bit is None:
        raise Unavailable("failed to allocate vxlan id: no bit available")
    return bits.set(bit), bit + FIRST_VNI


def take_vnis(value: bytes | None, number: int) -> tuple[bytes, tuple[int, ...]]:
    """So many VNIs, and what is in the store when they are taken."""
    bits, found = _vnis(value), [NO_VNI]
    for _ in range(number):
        bits, vni = next_vni(bits, found[-1])
        found.append(vni)
    return encode(VXLAN_IDS, bits), tuple(found[1:])


async def request_vni(place: Place, after: int = NO_VNI) -> int:
    """Take the next free VNI behind `after`, round and round. Raises Unavailable if none is."""
    got: list[int] = []

    def take(value: bytes | None) -> bytes:
        bits, vni = next_vni(_vnis(value), after)
        got[:] = [vni]
        return encode(VXLAN_IDS, bits)

    try:
        await place.alter(place.keys.vnis, take)
    except Away as error:
        raise Unsure(error, *(LostVni(each) for each in got)) from error
    return got[0]


async def release_vni(place: Place, vni: int) -> None:
    """Give a VNI back; nothing if it is not taken, or none that is given out here."""
    bit = vni - FIRST_VNI

    def give(value: bytes | None) -> bytes | None:
        if value is None:
            return None
        bits = _vnis(value)
        return encode(VXLAN_IDS, bits.unset(bit)) if bits.is_set(bit) else value

    try:
        await place.alter(place.keys.vnis, give)
    except Away as error:
        raise Unsure(error, LostVni(vni)) from error


async def obtain_vni(
    place: Place, network: str, subnet: IPNetwork, *, after: int = NO_VNI, had: int = NO_VNI
) -> int:
    """The VNI of a network's subnet, given to it if it has none. Raises NotFound.

    Given is the one that it `had`, unless another network has that now.
    """
    key = place.keys.overlay(network)

    def has(value: bytes | None) -> int:
        if value is None:
            raise NotFound(f"network {network} not found")
        overlay = decode_overlay(value)
        if all(segment.subnet != subnet for segment in overlay.segments):
            raise NotFound(f"could not find subnet {subnet} in network {network}")
        return overlay.vni(subnet)

    vni = has(await place.value(key))
    if vni != NO_VNI:
        return vni
    mine = await _again(place, had) or await request_vni(place, after)
    theirs: list[int] = []

    def give(value: bytes | None) -> bytes | None:
        theirs[:] = [has(value)]
        if theirs[0] != NO_VNI or value is None:
            return value
        return encode_overlay(decode_overlay(value).with_vni(subnet, mine))

    try:
        await place.alter(key, give)
    except Away as error:
        # It may be the network's by now, so it is not given back.
        raise Unsure(error, LostVni(mine)) from error
    except FairleadError:
        await release_vni(place, mine)
        raise
    if theirs[0] in (NO_VNI, mine):
        return mine
    # Another host was faster; all must use the same.
    await release_vni(place, mine)
    return theirs[0]


async def _again(place: Place, had: int) -> int:
    """A VNI that a network had: taken if it is free; `NO_VNI` if another network's record has it.

    Of one that is taken and that no record has, the record is what was lost.
    """
    free: list[bool] = []

    def take(value: bytes | None) -> bytes | None:
        bits = _vnis(value)
        bit = had - FIRST_VNI
        free[:] = [not bits.is_set(bit)]
        return encode(VXLAN_IDS, bits.set(bit)) if free[0] else value

    if not FIRST_VNI <= had <= LAST_VNI:
        return NO_VNI
    try:
        await place.alter(place.keys.vnis, take)
    except Away as error:
        raise Unsure(error, LostVni(had)) from error
    if free[0]:
        return had
    for entry in await place.store.entries(place.keys.overlays):
        try:
            others = decode_overlay(entry.value)
        except Invalid:
            continue
        if any(segment.vni == had for segment in others.segments):
            return NO_VNI
    return had


def _vnis(value: bytes | None) -> Bits:
    """The VNIs that are taken, as they lie in the store."""
    most = LAST_VNI - FIRST_VNI + 1
    bits = Bits.empty(most) if value is None else decode(value)
    if bits.bits != most:
        raise Invalid(f"there are {bits.bits} VNIs in the store, which cannot be")
    return bits
