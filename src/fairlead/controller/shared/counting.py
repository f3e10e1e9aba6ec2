"""How many are on a network of the cluster, counted where Docker hosts look for it.

A network without a count is not there, or going: nobody can join it.
"""

from __future__ import annotations

from fairlead.cluster.count import decode_count, encode_count
from fairlead.controller.shared.place import Place
from fairlead.model.errors import NotFound
from fairlead.store.shared import Changed


async def touch(place: Place, network: str) -> None:
    """Tell Docker hosts to look at a network's endpoints again, by writing its count as it is."""
    key = place.keys.count(network)
    entry = await place.store.get(key)
    if entry is None:
        return
    try:
        await place.store.put(key, entry.value, entry.version)
    except Changed:
        # Somebody else wrote it, which tells them as well.
        return


async def set_count(place: Place, network: str, said: int, real: int) -> None:
    """Correct a count, if it still says what it said."""

    def corrected(old: bytes | None) -> bytes | None:
        return encode_count(real) if old is not None and decode_count(old) == said else old

    await place.alter(place.keys.count(network), corrected)


def counted(network: str, old: bytes | None, new: bool) -> bytes:
    """The count with one more, if that one is new. Raises NotFound without a network."""
    if old is None:
        raise NotFound(f"network {network} not found")
    return encode_count(decode_count(old) + 1) if new else old


def one_less(old: bytes | None) -> bytes | None:
    """The count with one less, as long as there is one."""
    return None if old is None else encode_count(max(decode_count(old) - 1, 0))
