"""A guard against forged addresses on a bridge, as it would be: one nftables table of its own.

Its rules are the same for any number of containers; a port of a bridge is a few elements of sets.
Frames are judged where they enter the bridge, before anybody hears them:

- the Ethernet source is the container's own, in the frame and in ARP;
- ARP and IPv4 speak for the container's own addresses only (0.0.0.0 asks whether one is free);
- IPv6 likewise, with the link-local address, and :: while that is being made;
- nobody advertises a router, redirects, or claims a neighbour's IPv6 address;
- nothing else is on the wire but ARP, IPv4 and IPv6.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

TABLE = "fairlead_guard"
BASE = f"""
table bridge {TABLE} {{
  set s_guarded {{ type ifname; }}
  set s_macs {{ type ifname . ether_addr; }}
  set s_ipv4 {{ type ifname . ipv4_addr; }}
  set s_ipv6 {{ type ifname . ipv6_addr; }}
  # The target of an advertisement, for which this nft has no name.
  set s_claims {{ typeof iifname . @th,64,128; }}
  chain c_prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname @s_guarded goto c_judge
  }}
  chain c_judge {{
    iifname . ether saddr != @s_macs drop
    ether type arp iifname . arp saddr ether != @s_macs drop
    ether type arp arp saddr ip 0.0.0.0 accept
    ether type arp iifname . arp saddr ip @s_ipv4 accept
    ether type ip iifname . ip saddr @s_ipv4 accept
    icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @s_claims drop
    ether type ip6 ip6 saddr :: accept
    ether type ip6 iifname . ip6 saddr @s_ipv6 accept
    drop
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Port:
    """A container's place on a bridge: the host's end of the cable, and who may speak there."""

    ifname: str
    mac: str
    addresses: tuple[IPv4Address | IPv6Address, ...]


def link_local(mac: str) -> IPv6Address:
    """The address that the kernel makes of an Ethernet address (RFC 4291)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    host = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return IPv6Address(bytes.fromhex("fe80000000000000") + host)


def commands(ports: Iterable[Port]) -> str:
    """The whole table as one transaction."""
    lines = [f"add table bridge {TABLE}", f"delete table bridge {TABLE}", BASE]
    for port in ports:
        name = f'"{port.ifname}"'
        elements = [("s_guarded", name), ("s_macs", f"{name} . {port.mac}")]
        elements += [
            (f"s_ipv{address.version}", f"{name} . {address}")
            for address in (*port.addresses, link_local(port.mac))
        ]
        elements += [
            ("s_claims", f"{name} . {int(address):#x}")
            for address in (*port.addresses, link_local(port.mac))
            if address.version == 6
        ]
        lines += [f"add element bridge {TABLE} {where} {{ {item} }}" for where, item in elements]
    return "\n".join(lines)
