"""Who is on a network of the cluster, and which hosts say that they live, read from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fairlead.cluster.endpoint import decode_endpoint
from fairlead.cluster.keys import EndpointKey
from fairlead.cluster.node import decode_node
from fairlead.controller.shared.place import Place
from fairlead.model.errors import Forbidden, Invalid
from fairlead.model.network import Network
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress

MOST_TOLD = 10


async def alive(place: Place) -> set[IPAddress]:
    """The hosts that say that they are alive."""
    found: set[IPAddress] = set()
    for entry in await place.store.entries(place.keys.nodes):
        try:
            found.add(
                decode_node(entry.key.removeprefix(f"{place.keys.nodes}/"), entry.value).address
            )
        except Invalid:
            # Nobody believes it, so nobody waits for it.
            continue
    return found


@dataclass(frozen=True, slots=True)
class There:
    """Who is on a network: users as people know them, and hosts that only have access."""

    users: tuple[tuple[str, str, str], ...]
    """Their names, their ids, and where they are."""
    hosts: tuple[Peer, ...]


async def there(place: Place, id_: str) -> There:
    """Who is on a network, as the store says. One whose record nobody can read is a user, too."""
    users: list[tuple[str, str, str]] = []
    hosts: list[Peer] = []
    for entry in await place.store.entries(place.keys.endpoints(id_)):
        meaning = place.keys.meaning(entry.key)
        if isinstance(meaning, EndpointKey) and entry.value:
            try:
                peer = decode_endpoint(id_, meaning.endpoint, entry.value)
            except Invalid:
                users.append(("", meaning.endpoint, "a host that cannot be read"))
                continue
            if peer.access:
                hosts.append(peer)
            else:
                users.append((peer.name, peer.id, str(peer.host)))
    return There(tuple(sorted(users)), tuple(hosts))


def in_use(network: Network, users: Sequence[tuple[str, str, str]]) -> Forbidden:
    """The error of a network that cannot be removed yet, with who is on it."""
    told = users[:MOST_TOLD]
    more = ", …" if len(users) > MOST_TOLD else ""
    shown = ", ".join(f'name:"{name}" id:"{id_[:12]}"' for name, id_, _ in told) + more
    hint = "disconnect or stop those containers first: " + ", ".join(
        f"{name or id_[:12]} on {host}" for name, id_, host in told
    )
    return Forbidden(
        f"error while removing network: network {network.name} has active endpoints"
        + (f" ({shown})" if users else ""),
        hint=hint + more if users else "somebody is leaving it; try again",
    )
