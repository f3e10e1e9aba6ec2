"""Keys: where everything lies in the store that the hosts share, and what a key means.

The tree is that of Docker 20.10 (libnetwork's ``docker/network/v1.0``), below a prefix
of the user's choice. A key that is none of ours means nothing and is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ROOT = "docker/network/v1.0"
NODES = "docker/nodes"
KEYRING = "fairlead/v1/keys"
SPACE = "GlobalDefault"
"""The address space of networks that every host knows."""
VXLAN_IDS = "vxlan-id"

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class NetworkKey:
    """A network."""

    network: str


@dataclass(frozen=True, slots=True)
class EndpointKey:
    """An endpoint, on whichever host."""

    network: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class CountKey:
    """How many endpoints a network has; writing it tells Docker hosts to look again."""

    network: str


@dataclass(frozen=True, slots=True)
class OverlayKey:
    """What only the overlay driver needs of a network: its VNIs."""

    network: str


@dataclass(frozen=True, slots=True)
class PoolsKey:
    """Which pools of an address space are taken."""

    space: str


@dataclass(frozen=True, slots=True)
class AddressesKey:
    """Which addresses of a pool are taken; `subnet` is text, unchecked."""

    space: str
    subnet: str


@dataclass(frozen=True, slots=True)
class NumbersKey:
    """Which numbers of a kind are taken: VNIs."""

    kind: str


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A host that is alive; `place` is ``address:port``, unchecked."""

    place: str


Meaning = (
    NetworkKey
    | EndpointKey
    | CountKey
    | OverlayKey
    | PoolsKey
    | AddressesKey
    | NumbersKey
    | NodeKey
)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one cluster: all below `prefix`; hosts at `nodes` below it (``kv.path``)."""

    prefix: str = ""
    nodes_path: str = NODES
    root: str = field(init=False, repr=False, compare=False)
    """The folder of all that belongs to networks."""
    nodes: str = field(init=False, repr=False, compare=False)
    """The folder of the hosts that are alive."""

    def __post_init__(self) -> None:
        # Once: each key that is heard is compared with both.
        object.__setattr__(self, "root", self._below(ROOT))
        object.__setattr__(self, "nodes", self._below(self.nodes_path.strip("/")))

    @property
    def networks(self) -> str:
        """The folder of networks."""
        return f"{self.root}/network"

    @property
    def overlays(self) -> str:
        """The folder of what only the overlay driver needs of networks."""
        return f"{self.root}/overlay/network"

    @property
    def pools(self) -> str:
        """Which pools are taken."""
        return f"{self.root}/ipam/default/config/{SPACE}"

    @property
    def vnis(self) -> str:
        """Which VNIs are taken."""
        return f"{self.root}/idm/{VXLAN_IDS}"

    @property
    def keyring(self) -> str:
        """What keys of encrypted networks are derived from; Docker knows nothing of it."""
        return self._below(KEYRING)

    def network(self, network: str) -> str:
        return f"{self.root}/network/{network}"

    def overlay(self, network: str) -> str:
        return f"{self.overlays}/{network}"

    def count(self, network: str) -> str:
        return f"{self.root}/endpoint_count/{network}"

    def endpoints(self, network: str) -> str:
        """The folder of a network's endpoints."""
        return f"{self.root}/endpoint/{network}"

    def endpoint(self, network: str, endpoint: str) -> str:
        return f"{self.root}/endpoint/{network}/{endpoint}"

    def addresses(self, subnet: str) -> str:
        """Which addresses of a pool are taken."""
        return f"{self.root}/ipam/default/data/{SPACE}/{subnet}"

    def node(self, place: str) -> str:
        """A host that is alive, by its ``address:port``."""
        return f"{self.nodes}/{place}"

    def meaning(self, key: str) -> Meaning | None:
        """What a key stands for; None for folders and for what is not ours."""
        key = key.strip("/")
        if key.startswith(f"{self.nodes}/"):
            place = key.removeprefix(f"{self.nodes}/")
            return NodeKey(place) if place and "/" not in place else None
        if not key.startswith(f"{self.root}/"):
            return None
        return _meaning(key.removeprefix(f"{self.root}/").split("/"))

    def _below(self, path: str) -> str:
        prefix = self.prefix.strip("/")
        return f"{prefix}/{path}" if prefix else path


def _meaning(parts: list[str]) -> Meaning | None:
    match parts:
        case ["network", network] if _is_id(network):
            return NetworkKey(network)
        case ["endpoint", network, endpoint] if _is_id(network) and _is_id(endpoint):
            return EndpointKey(network, endpoint)
        case ["endpoint_count", network] if _is_id(network):
            return CountKey(network)
        case ["overlay", "network", network] if _is_id(network):
            return OverlayKey(network)
        case ["ipam", "default", "config", space] if space:
            return PoolsKey(space)
        case ["ipam", "default", "data", space, address, length] if space:
            return AddressesKey(space, f"{address}/{length}")
        case ["idm", kind] if kind:
            return NumbersKey(kind)
        case _:
            return None


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
