"""Leases: addresses that a DHCP server of a network's segment lets to endpoints."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

DHCP = "dhcp"
"""The IPAM driver of networks whose addresses come from the segment's own server."""
FOR_EVER = 0xFFFFFFFF
"""The duration, in seconds, of a lease that does not end (RFC 2131, 3.3)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What a server granted. `begun` in seconds since the host was booted.

    The clock that counts from there goes on while the host sleeps and is set by nobody,
    and no container outlives it.
    """

    address: IPv4Interface
    server: IPv4Address
    begun: float
    seconds: int
    renew_seconds: int
    """When the server is asked to renew it (T1)."""
    rebind_seconds: int
    """When any server is asked (T2)."""
    router: IPv4Address | None = None
    servers: tuple[IPv4Address, ...] = ()
    """Who is asked for names."""
    server_mac: str = ""
    """Where its answer came from: the server, or the relay before it."""
    mac: str = ""
    client_id: str = ""
    """For whom it is, where that is more than the MAC; in hex."""
    name: str = ""
    """What it is called in the server's list."""

    @property
    def endless(self) -> bool:
        return self.seconds == FOR_EVER

    def over(self, now: float) -> bool:
        """Whether it has run out."""
        return not self.endless and now >= self.begun + self.seconds
