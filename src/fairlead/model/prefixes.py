"""Lists of networks in options: who may come to published ports, where a network may go.

Prefixes stand behind each other with commas, semicolons or blanks between them: the long
form of ``docker run --network`` takes commas for its own. What is meant is said exactly or
not at all, because such a list is a wall: a prefix with bits behind its length, which may
be a slip, is refused, and so is a list without any.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from fairlead.model.errors import Invalid
from fairlead.model.state import IPNetwork

PUBLISH_FROM = "fairlead.publish_from"
"""Of a network or an endpoint: who may come to the ports published through it."""
EGRESS = "fairlead.egress"
"""Of a network: where outside it leads."""
NOWHERE = "none"
MOST = 1000
APART = re.compile(r"[,;\s]+")
WRITTEN = re.compile(r"[0-9A-Fa-f:.]+(?:/[0-9]{1,3})?")
MAPPED = IPv6Network("::ffff:0:0/96")
HINT = "write networks such as 192.0.2.0/24 or 2001:db8::/32, with commas or semicolons between"


@lru_cache(maxsize=1024)
def listed(text: str, what: str) -> tuple[IPNetwork, ...]:
    """The networks that a text lists, as few as can be. Raises Invalid."""
    return prefixes(tuple(filter(None, APART.split(text))), what)


@lru_cache(maxsize=1024)
def prefixes(texts: tuple[str, ...], what: str) -> tuple[IPNetwork, ...]:
    """Networks from their texts, as few as can be. Raises Invalid."""
    found = [_prefix(text, what) for text in texts]
    if not found:
        raise Invalid(f"invalid {what}: no network is named", hint=HINT)
    if len(found) > MOST:
        raise Invalid(f"invalid {what}: more than {MOST} networks")
    return _fewest(found)


def destinations(text: str) -> tuple[IPNetwork, ...]:
    """Where a network with such an option leads; ``none``: nowhere. Raises Invalid."""
    return () if text.strip() == NOWHERE else listed(text, EGRESS)


def shared(lists: Iterable[tuple[IPNetwork, ...]]) -> tuple[IPNetwork, ...]:
    """Who is on every list. Networks either hold each other or have nothing in common."""
    found, *others = lists
    for other in others:
        pairs = ((a, b) for a in found for b in other if a.version == b.version)
        found = tuple(a if a.prefixlen >= b.prefixlen else b for a, b in pairs if a.overlaps(b))
    return found


def joined(lists: Iterable[tuple[IPNetwork, ...] | None]) -> tuple[IPNetwork, ...] | None:
    """Who is on any of the lists; None, which is everybody, if one of them is that."""
    # Mostly it is one list, however many have it, and perhaps a long one.
    found = {id(those): those for those in lists}
    if None in found.values():
        return None
    if len(found) == 1:
        return next(iter(found.values()))
    return _fewest([network for those in found.values() for network in those or ()])


def _fewest(found: Collection[IPNetwork]) -> tuple[IPNetwork, ...]:
    four = collapse_addresses(n for n in found if isinstance(n, IPv4Network))
    six = collapse_addresses(n for n in found if isinstance(n, IPv6Network))
    return (*four, *six)


def plain(network: IPNetwork) -> str:
    """A network as the kernel's tools print it: a single address without its length."""
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    first = socket.inet_ntop(family, network.network_address.packed)
    single = network.prefixlen == network.max_prefixlen
    return first if single else f"{first}/{network.prefixlen}"


def _prefix(text: str, what: str) -> IPNetwork:
    wrong = f"invalid {what}: {text[:80]!r} is no network"
    if not WRITTEN.fullmatch(text):
        raise Invalid(wrong, hint=HINT)
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise Invalid(wrong, hint=HINT) from None
    if isinstance(found, IPv6Network) and found.subnet_of(MAPPED):
        raise Invalid(wrong, hint="IPv4 is written as such: 192.0.2.0/24")
    if found.network_address != ip_network(text.partition("/")[0]).network_address:
        hint = f"write {found}, or {text.partition('/')[0]} for that address alone"
        raise Invalid(f"invalid {what}: {text} has bits behind its length", hint=hint)
    return found
