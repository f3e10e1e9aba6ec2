"""The guard against forged addresses: one nftables table on bridges, whatever the backend.

Frames are judged where they enter a bridge, before anybody hears them:

- the Ethernet source is the container's own, in the frame and in ARP;
- ARP and IPv4 speak for the container's own addresses only (0.0.0.0 asks whether one is free);
- IPv6 likewise, with the link-local address, and ``::`` while that is being made;
- nobody advertises a router, redirects, or claims a neighbour's IPv6 address;
- nothing else is on the wire but ARP, IPv4 and IPv6.

Its rules are the same for any number of containers: an endpoint is a few
elements of sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

from fairlead.model.endpoint import Endpoint
from fairlead.model.marks import Marks
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import IPAddress, Resource

FAMILY = "bridge"
SETS = {
    "s_guarded": "type ifname",
    "s_macs": "type ifname . ether_addr",
    "s_ipv4": "type ifname . ipv4_addr",
    "s_ipv6": "type ifname . ipv6_addr",
    # The target of a neighbour advertisement (RFC 4861, 4.4), for which nft 1.0 has no name.
    "s_claims": "typeof iifname . @th,64,128",
}
HOOK = "type filter hook prerouting priority dstnat; policy accept;"
JUDGE = (
    "iifname . ether saddr != @s_macs drop",
    "iifname . arp saddr ether != @s_macs drop",
    "arp saddr ip 0.0.0.0 accept",
    "iifname . arp saddr ip @s_ipv4 accept",
    "iifname . ip saddr @s_ipv4 accept",
    "icmpv6 type { nd-router-advert, nd-redirect } drop",
    "icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @s_claims drop",
    "ip6 saddr :: accept",
    "iifname . ip6 saddr @s_ipv6 accept",
    "drop",
)


def base(marks: Marks) -> Iterator[Resource]:
    """The table while nobody is guarded."""
    table = marks.table
    yield NftTable(FAMILY, table, marks.alias)
    for name, spec in SETS.items():
        yield NftSet(FAMILY, table, name, "set", spec)
    enter = "iifname @s_guarded goto c_judge"
    yield NftChain(FAMILY, table, "c_prerouting", (enter,), HOOK)
    yield NftChain(FAMILY, table, "c_judge", JUDGE)


def of_endpoint(marks: Marks, endpoint: Endpoint) -> Iterator[Resource]:
    """What an endpoint may speak for."""
    table, port = marks.table, f'"{endpoint.ifname}"'
    yield NftElement(FAMILY, table, "s_guarded", port)
    yield NftElement(FAMILY, table, "s_macs", f"{port} . {endpoint.mac}")
    for address in own(endpoint):
        yield NftElement(FAMILY, table, f"s_ipv{address.version}", f"{port} . {address}")
        if address.version == 6:
            yield NftElement(FAMILY, table, "s_claims", f"{port} . {int(address):#034x}")


def own(endpoint: Endpoint) -> list[IPAddress]:
    """The addresses that an endpoint has, with the one that the kernel makes by itself."""
    found = [address.ip for address in (*endpoint.addresses, *endpoint.link_local)]
    if any(address.version == 6 for address in found):
        found.append(link_local(endpoint.mac))
    return list(dict.fromkeys(found))


def link_local(mac: str) -> IPv6Address:
    """The address that the kernel makes of an Ethernet address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    host = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return IPv6Address(bytes.fromhex("fe80000000000000") + host)
