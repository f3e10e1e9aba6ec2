"""Addresses in a pool: the next free one, the ones nobody gets."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import ip_address

from fairlead.model.state import IPAddress, IPNetwork


def reserved(subnet: IPNetwork) -> frozenset[IPAddress]:
    """The addresses of a subnet that are no host's.

    The network address and, for IPv4, the broadcast address; pairs (RFC 3021)
    and single addresses have neither. For IPv6 the subnet-router anycast
    address (RFC 4291, 2.6.1).
    """
    if subnet.prefixlen >= subnet.max_prefixlen - 1:
        return frozenset()
    if subnet.version == 6:
        return frozenset({subnet.network_address})
    return frozenset({subnet.network_address, subnet.broadcast_address})


def first_free(
    subnet: IPNetwork, ip_range: IPNetwork | None, *taken: Container[int]
) -> IPAddress | None:
    """The lowest address of the range (else the subnet) that nobody has; None when it is full.

    `taken` are addresses as numbers; those that are no host's are added.
    """
    space = ip_range if ip_range is not None else subnet
    first, *others = (*taken, {int(address) for address in reserved(subnet)})
    for number in range(int(space.network_address), int(space.broadcast_address) + 1):
        # The first has most of them, and there may be thousands.
        if number not in first and not any(number in other for other in others):
            return type(subnet.network_address)(number)
    return None


def parse(text: str) -> IPAddress | None:
    """Text as an address, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None
