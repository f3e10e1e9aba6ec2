"""Whom containers of a network ask for names that nobody has here, and what they do not ask.

Name servers stand behind each other with commas, semicolons or blanks between them. They are
asked from each container's own namespace, as those of ``--dns`` are.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from fairlead.model.errors import Invalid
from fairlead.model.options import flag
from fairlead.model.prefixes import APART
from fairlead.model.state import IPAddress

SERVERS = "fairlead.dns"
"""Of a network: the name servers of its containers."""
SINGLE_LABELS = "fairlead.dns_single_labels"
"""Of a network: whether names of a single label are carried out."""
MOST_SERVERS = 3
HINT = "write addresses such as 192.0.2.53 or 2001:db8::53, with commas or semicolons between"


def check(options: Mapping[str, str]) -> None:
    """Raises Invalid for what cannot be asked."""
    if SERVERS in options:
        _listed(options[SERVERS])
    flag(options, SINGLE_LABELS, True)


def servers(options: Mapping[str, str]) -> tuple[IPAddress, ...]:
    """The name servers of a network; none if what another host wrote makes no sense."""
    try:
        return _listed(options[SERVERS]) if SERVERS in options else ()
    except Invalid:
        return ()


def single_labels(options: Mapping[str, str]) -> bool:
    """Whether names of a single label are carried out; not if nobody can tell what was meant."""
    try:
        return flag(options, SINGLE_LABELS, True)
    except Invalid:
        return False


def _listed(text: str) -> tuple[IPAddress, ...]:
    found = tuple(dict.fromkeys(_server(part) for part in APART.split(text) if part))
    if not found:
        raise Invalid(f"invalid {SERVERS}: no name server is named", hint=HINT)
    if len(found) > MOST_SERVERS:
        raise Invalid(f"invalid {SERVERS}: more than {MOST_SERVERS} name servers")
    return found


def _server(text: str) -> IPAddress:
    wrong = f"invalid {SERVERS}: {text[:80]!r}"
    try:
        found = ip_address(text)
    except ValueError:
        raise Invalid(f"{wrong} is no address", hint=HINT) from None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        raise Invalid(f"{wrong} is IPv4 in disguise", hint=f"write {found.ipv4_mapped}")
    if found.is_loopback:
        raise Invalid(
            f"{wrong} is each container's own loopback",
            hint="the servers of the host are asked where this option is left out",
        )
    if found.is_unspecified or found.is_multicast or found == ip_address("255.255.255.255"):
        raise Invalid(f"{wrong} is nobody's address", hint=HINT)
    if isinstance(found, IPv6Address) and found.is_link_local and not found.scope_id:
        raise Invalid(f"{wrong} needs its interface", hint=f"write {text}%eth0")
    return found
