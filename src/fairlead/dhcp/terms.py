"""What a server's OFFER or ACK grants, if that can be true.

Anybody on the segment can answer. An answer that would leave a container with an address
that no host can have, or without a way to renew it, is refused like a broken one.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from fairlead.dhcp.message import (
    LEASE_SECONDS,
    MASK,
    NAME_SERVERS,
    REBIND_SECONDS,
    RENEW_SECONDS,
    ROUTER,
    SERVER,
    Malformed,
    Message,
)
from fairlead.model.lease import FOR_EVER, Lease

MOST_SERVERS = 3
SHORTEST_SECONDS = 4
"""Who lets an address for less would be asked without end."""


def server(message: Message) -> IPv4Address:
    """Who sent it. Raises Malformed."""
    found = message.address(SERVER)
    if found is None or not _is_somebody(found):
        raise Malformed(f"{found} is no server")
    return found


def offered(message: Message) -> IPv4Address:
    """The address that is offered. Raises Malformed."""
    if not _is_somebody(message.yours):
        raise Malformed(f"{message.yours} is no address of a host")
    return message.yours


def granted(message: Message, mac: bytes, now: float, old: Lease | None = None) -> Lease:
    """The lease that an ACK grants; what it leaves out is as it was. Raises Malformed."""
    seconds = message.number(LEASE_SECONDS)
    if seconds is None or seconds < SHORTEST_SECONDS:
        raise Malformed(f"a lease of {seconds} seconds")
    address = offered(message)
    found = IPv4Interface((address, _prefix(message, old)))
    subnet = found.network
    ends = (subnet.network_address, subnet.broadcast_address)
    if subnet.prefixlen < 31 and address in ends:
        raise Malformed(f"{found} is no address of a host")
    renew, rebind = _times(message, seconds)
    routers = [r for r in message.addresses(ROUTER) if r in subnet and r != address]
    names = [s for s in message.addresses(NAME_SERVERS) if _is_somebody(s)]
    return Lease(
        address=found,
        server=server(message),
        begun=now,
        seconds=seconds,
        renew_seconds=renew,
        rebind_seconds=rebind,
        router=next((r for r in routers if r not in ends or subnet.prefixlen > 30), None),
        servers=tuple(names[:MOST_SERVERS]),
        server_mac=mac.hex(":"),
    )


def _prefix(message: Message, old: Lease | None) -> int:
    mask = message.address(MASK)
    if mask is None:
        if old is None:
            raise Malformed("no subnet mask")
        return old.address.network.prefixlen
    inverted = ~int(mask) & 0xFFFFFFFF
    if inverted & (inverted + 1) or not int(mask) & 0xFF000000:
        raise Malformed(f"{mask} is no subnet mask")
    return 32 - inverted.bit_length()


def _times(message: Message, seconds: int) -> tuple[int, int]:
    """T1 and T2, as the server says or as RFC 2131 does (4.4.5)."""
    renew, rebind = message.number(RENEW_SECONDS), message.number(REBIND_SECONDS)
    rebind = seconds * 7 // 8 if rebind is None else rebind
    renew = min(seconds // 2, rebind) if renew is None else renew
    if seconds != FOR_EVER and not 0 < renew <= rebind < seconds:
        return seconds // 2, seconds * 7 // 8
    return renew, rebind


def _is_somebody(address: IPv4Address) -> bool:
    """Whether a host can have that address. Those of 0.0.0.0/8 and from 224.0.0.0 on none can."""
    first = int(address) >> 24
    return 0 < first < 224 and not address.is_loopback
