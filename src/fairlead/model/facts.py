"""Facts: what is told about a host beyond the resources that carry our mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.model.state import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class Hint:
    """Something on the host, or in the namespace `space`, changed: of which kind, and its name.

    ==========  ==================================================================
    rules       the program that wrote them
    link        the interface; `lost`: gone or down; `loose`: plugged in nowhere
    address     an address that is gone
    route       a destination, `link` it leads through; `lost`: gone, else new
    setting     settings of the whole host: the family's number
    neighbour   an address, or a MAC, of which it is no longer known where it is
    all         messages were lost: look at everything
    ==========  ==================================================================
    """

    kind: str
    name: str = ""
    lost: bool = True
    link: str = ""
    loose: bool = False
    space: str = ""


@dataclass(frozen=True, slots=True)
class LinkFact:
    """An interface of the host as it stands. `mtu` in bytes."""

    name: str
    up: bool
    master: str
    mtu: int


@dataclass(frozen=True, slots=True)
class HostLink:
    """An interface of the host, as somebody wants it moved into a sandbox.

    `ours`: it carries the mark of a fairlead; `addresses`: it has some but link-local ones;
    `routed`: the host routes through it; `ports`: others are plugged into it.
    """

    name: str
    mac: str
    loopback: bool = False
    ours: bool = False
    addresses: tuple[IPAddress, ...] = ()
    routed: bool = False
    ports: bool = False
    master: bool = False


@dataclass(frozen=True, slots=True)
class Vitals:
    """What tells damage from a hand edit.

    `connected` are the prefixes that the host reaches through a link without a
    gateway, by link; `sizes` says how many rules a chain has, whoever made them,
    by family, table and chain.
    """

    links: Mapping[str, LinkFact] = field(default_factory=dict)
    connected: frozenset[tuple[IPNetwork, str]] = frozenset()
    sizes: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain that the kernel calls by itself, of any table that is nftables'."""

    family: str
    table: str
    name: str
    hook: str
    priority: int
    policy: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exam:
    """What a doctor asks of a host, as it was found; nothing here is judged yet.

    `rules` are iptables' by family, table and chain; `limits` pairs of what is
    used and what there is; `programs` those that are not installed.
    """

    rules: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    base_chains: tuple[BaseChain, ...] = ()
    legacy_rules: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    missing_programs: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    """Programs of others that manage firewalls and run now."""
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bridge_ports: Mapping[str, int] = field(default_factory=dict)
