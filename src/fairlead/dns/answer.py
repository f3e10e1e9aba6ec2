"""What a sandbox hears when it asks for a name.

Rule: pure. A `View` is everything one sandbox may know; a name outside of it
does not exist here, so a sandbox never learns of networks it is not on.

============================  =========================================
question                      reply
============================  =========================================
A, AAAA of a known name       its addresses of that family, perhaps none
MX of a known name            none, so that mailers fall back to A
PTR of a known address        its name
A, AAAA of the host's names   the asker's own gateway
A, AAAA of one label, ndots   none, so that the stub walks its search list
a name that cannot be public  NXDOMAIN, unless the servers are its own
one label that stays here     NXDOMAIN, but for what resolvers ask of zones
anything else                 forwarded, or SERVFAIL where that is closed
============================  =========================================

`host.docker.internal` is the host for everybody, unless a container is called
so. No top-level domain has an underscore, but networks that Compose makes do
(`shop_default`): `gone.shop_default` is a name of ours, and tells strangers
what runs here, so it is not asked of the host's servers.

A name of one label that nobody has is forwarded, as with Docker, unless a network says that it
stays here. What a resolver asks of a top-level domain as such (DS of `com`) tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from sys import intern
from typing import Any

from fairlead.dns import message
from fairlead.dns.message import IP, Query, Record
from fairlead.dns.zone import Zones

Shuffle = Callable[[list[IP]], None]
OF_ZONES = frozenset((message.NS, message.SOA, message.DS, message.DNSKEY))
HOST_NAMES = frozenset(("host.docker.internal", "gateway.docker.internal"))


@dataclass(frozen=True, slots=True)
class Upstream:
    """A name server to forward to, asked from the sandbox if `inside`, else from the host."""

    address: IP
    port: int = 53
    inside: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The zones one sandbox asks, in order, and where it turns for other names.

    `names` (lower case) are its own alone: links. They come before any zone, and
    of the zones the first that knows a name answers: a network of one's own
    before one that is shared.
    """

    zones: tuple[str, ...] = ()
    names: Mapping[str, tuple[IP, ...]] = field(default_factory=dict)
    upstreams: tuple[Upstream, ...] = ()
    forward: bool = True
    ndots: bool = False
    ttl_seconds: int = 600
    gateways: tuple[IP, ...] = ()
    """Where the host is to be found."""
    project: str = ""
    """Whose names come first where several share one."""
    single_labels: bool = True
    """Whether names of a single label that nobody has here are asked of others."""


def answer(
    view: View, zones: Zones, query: Query, shuffle: Shuffle, limit: int = message.LARGEST_BYTES
) -> bytes | None:
    """The reply to a query, at most `limit` bytes long, or None: forward it."""
    if query.class_ == message.IN:
        records = _records(view, zones, query, shuffle)
        if records is not None:
            return message.build(query, records=records, limit=limit)
        if _stays_here(view, query):
            return message.build(query, message.NXDOMAIN, limit=limit)
    if view.forward and view.upstreams:
        return None
    return message.build(query, message.SERVFAIL, limit=limit)


def _records(view: View, zones: Zones, query: Query, shuffle: Shuffle) -> list[Record] | None:
    """The records that answer a query, or None if it is not ours to answer."""
    if query.type == message.PTR:
        address = reversed_address(query.labels)
        target = None if address is None else _target(view, zones, address)
        if target is None:
            return None
        try:
            return [Record(message.PTR, message.name(target), view.ttl_seconds)]
        except ValueError:
            # A container's name may be longer than a label: it has a name, but none to speak.
            return []
    if query.type not in (message.A, message.AAAA, message.MX):
        return None
    known = _known(view, zones, query.name)
    if query.type == message.MX:
        return None if known is None else []
    if known is None:
        return [] if view.ndots and len(query.labels) == 1 else None
    version = 4 if query.type == message.A else 6
    found = [address for address in dict.fromkeys(known) if address.version == version]
    if len(found) > 1:
        shuffle(found)
    return [message.address(address, view.ttl_seconds) for address in found]


def _known(view: View, zones: Zones, name: str) -> tuple[IP, ...] | None:
    if name in view.names:
        return view.names[name]
    for zone in zones.within(view.zones):
        found = zone.addresses(name, view.project)
        if found is not None:
            return found
    return view.gateways if name in HOST_NAMES else None


def _stays_here(view: View, query: Query) -> bool:
    """Whether a name that nobody has here is still nobody else's."""
    if len(query.labels) == 1:
        return not view.single_labels and query.type not in OF_ZONES
    if len(query.labels) < 2 or b"_" not in query.labels[-1]:
        return False
    # Who brings servers of his own may have such names there.
    return not any(upstream.inside for upstream in view.upstreams)


def _target(view: View, zones: Zones, address: IP) -> str | None:
    found = (zone.target(address) for zone in zones.within(view.zones))
    return next((target for target in found if target is not None), None)


def reversed_address(labels: tuple[bytes, ...]) -> IP | None:
    """The address that a name under in-addr.arpa or ip6.arpa stands for."""
    *parts, zone, top = (label.lower() for label in labels) if len(labels) > 1 else (b"", b"")
    if top != b"arpa":
        return None
    parts.reverse()
    try:
        if zone == b"in-addr" and len(parts) == 4:
            return IPv4Address(b".".join(parts).decode())
        if zone == b"ip6" and len(parts) == 32 and all(len(part) == 1 for part in parts):
            return IPv6Address(bytes.fromhex(b"".join(parts).decode()))
    except ValueError:
        # Not the name of an address: somebody else's zone, perhaps.
        return None
    return None


def encode(view: View) -> dict[str, Any]:
    """A view as plain JSON values."""
    return {
        "zones": list(view.zones),
        "names": {name: [str(ip) for ip in ips] for name, ips in view.names.items()},
        "upstreams": [[str(up.address), up.port, up.inside] for up in view.upstreams],
        "forward": view.forward,
        "ndots": view.ndots,
        "ttl_seconds": view.ttl_seconds,
        "gateways": [str(ip) for ip in view.gateways],
        "project": view.project,
        "single_labels": view.single_labels,
    }


def decode(plain: Mapping[str, Any]) -> View:
    """The view that `encode` wrote."""
    return View(
        zones=tuple(intern(zone) for zone in plain["zones"]),
        names={name: tuple(map(ip_address, ips)) for name, ips in plain["names"].items()},
        upstreams=tuple(
            Upstream(ip_address(ip), port, inside) for ip, port, inside in plain["upstreams"]
        ),
        forward=plain["forward"],
        ndots=plain["ndots"],
        ttl_seconds=plain["ttl_seconds"],
        gateways=tuple(map(ip_address, plain["gateways"])),
        project=plain["project"],
        single_labels=plain["single_labels"],
    )
