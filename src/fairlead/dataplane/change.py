"""Changes to what the dataplane serves: values that travel in one message, in order.

Names live in zones, one per network, and each endpoint has one entry there; a
resolver's view says which zones it asks. So a container that joins costs one
entry, however many others are on the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.dataplane.channel import MOST_DESCRIPTORS
from fairlead.dns import answer
from fairlead.dns.answer import View
from fairlead.dns.message import IP


@dataclass(frozen=True, slots=True)
class PutNames:
    """An endpoint's names (lower case) and addresses in a zone; `target` is for reverse lookups.

    `own` are those of the names that are more than aliases.
    """

    zone: str
    endpoint: str
    names: tuple[str, ...]
    addresses: tuple[IP, ...]
    target: str
    own: tuple[str, ...] = ()
    project: str = ""


@dataclass(frozen=True, slots=True)
class DropNames:
    """An endpoint leaves a zone."""

    zone: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class AddResolver:
    """Serve a sandbox on sockets bound there; `namespace` is a descriptor of it."""

    sandbox: str
    view: View
    udp: int
    tcp: int
    namespace: int


@dataclass(frozen=True, slots=True)
class SetView:
    """What a sandbox sees has changed."""

    sandbox: str
    view: View


@dataclass(frozen=True, slots=True)
class DropResolver:
    """Close a sandbox's sockets and let its namespace go."""

    sandbox: str


@dataclass(frozen=True, slots=True)
class AddProxy:
    """Pass on what comes to a bound socket to an address and port.

    The protocol is tcp or udp, or "held" for a port that is only kept from others.
    """

    id: str
    protocol: str
    address: IP
    port: int
    socket: int


@dataclass(frozen=True, slots=True)
class PointProxy:
    """The same socket now leads elsewhere; TCP connections that stand go on."""

    id: str
    address: IP
    port: int


@dataclass(frozen=True, slots=True)
class DropProxy:
    """Close a proxy and its connections."""

    id: str


Change = (
    PutNames | DropNames | AddResolver | SetView | DropResolver | AddProxy | PointProxy | DropProxy
)


def messages(changes: Sequence[Change]) -> Iterator[tuple[list[dict[str, Any]], list[int]]]:
    """Changes as plain JSON values with their descriptors, in as few messages as can be."""
    plain: list[dict[str, Any]] = []
    descriptors: list[int] = []
    for change in changes:
        plain.append(_plain(change, descriptors))
        if len(descriptors) > MOST_DESCRIPTORS - 3:
            yield plain, descriptors
            plain, descriptors = [], []
    if plain:
        yield plain, descriptors


def _plain(change: Change, descriptors: list[int]) -> dict[str, Any]:
    match change:
        case PutNames(zone, endpoint, names, addresses, target, own, project):
            texts = [str(address) for address in addresses]
            return {
                "op": "put-names",
                "zone": zone,
                "endpoint": endpoint,
                "names": list(names),
                "addresses": texts,
                "target": target,
                "own": list(own),
                "project": project,
            }
        case DropNames(zone, endpoint):
            return {"op": "drop-names", "zone": zone, "endpoint": endpoint}
        case AddResolver(sandbox, view, udp, tcp, namespace):
            descriptors += [udp, tcp, namespace]
            return {"op": "resolver-add", "sandbox": sandbox, "view": answer.encode(view)}
        case SetView(sandbox, view):
            return {"op": "view", "sandbox": sandbox, "view": answer.encode(view)}
        case DropResolver(sandbox):
            return {"op": "resolver-drop", "sandbox": sandbox}
        case AddProxy(id_, protocol, address, port, sock):
            descriptors.append(sock)
            return {"op": "proxy-add", "id": id_, "proto": protocol, "to": [str(address), port]}
        case PointProxy(id_, address, port):
            return {"op": "proxy-point", "id": id_, "to": [str(address), port]}
        case DropProxy(id_):
            return {"op": "proxy-drop", "id": id_}
