"""The host's own way into a network that spans hosts: it is the host's alone.

The host forwards, for its bridges; that must not make it a router into such networks, nor
out of them. So this part of the table that stands whatever the firewall backend is judges
what comes and goes by the host's interfaces there:

- what is only forwarded does not pass, neither in (a machine of the LAN with a route here,
  a container of a bridge network) nor out (a container that takes the host for a router);
- but ports that are published at the host's addresses are for containers of such a network
  what they are for everybody, unless it is internal;
- a port of a container of the network itself is published where its way out is, on another
  interface than the one by which it reaches whoever asked at the host's address there: it
  sees the host in his place, else it would answer past the translation;
- the host's address there is not answered to whoever asks from elsewhere: what listens on
  it is heard on that network and by the host itself.

A verdict elsewhere, such as a person's ACCEPT, decides nothing: each table is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.endpoint import Endpoint
from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.network import Network
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import Resource

FAMILY = "inet"
SETS = {
    "s_access": "type ifname",
    "s_access_led": "type ifname",
    "s_access_ipv4": "type ipv4_addr",
    "s_access_ipv6": "type ipv6_addr",
}
FORWARD = "type filter hook forward priority filter; policy accept;"
INPUT = "type filter hook input priority filter; policy accept;"
BETWEEN = (
    "iifname @s_access_led ct status dnat accept",
    "oifname @s_access ct state established,related accept",
    "iifname @s_access drop",
    "oifname @s_access drop",
)
BACK = tuple(
    f'oifname "docker_gwbridge" ct status dnat ct original {family} daddr '
    f"@s_access_ipv{version} masquerade"
    for version, family in FAMILIES.items()
)
POSTROUTING = "type nat hook postrouting priority srcnat; policy accept;"
NEAR = (
    # Answers to the host itself, which come from where a port of its address leads.
    "ct state established,related accept",
    *(
        f'iifname != @s_access iifname != "lo" {family} daddr @s_access_ipv{version} drop'
        for version, family in FAMILIES.items()
    ),
)


def base(marks: Marks) -> Iterator[Resource]:
    """The rules while the host has access to no network yet."""
    table = marks.table
    yield NftTable(FAMILY, table, marks.alias)
    for name, spec in SETS.items():
        yield NftSet(FAMILY, table, name, "set", spec)
    yield NftChain(FAMILY, table, "c_between", BETWEEN, FORWARD)
    yield NftChain(FAMILY, table, "c_near", NEAR, INPUT)
    yield NftChain(FAMILY, table, "c_back", BACK, POSTROUTING)


def of_endpoint(marks: Marks, net: Network, endpoint: Endpoint) -> Iterator[Resource]:
    """The host on one network. There before its interface is up."""
    table, link = marks.table, f'"{endpoint.inside}"'
    yield NftElement(FAMILY, table, "s_access", link)
    if not net.internal:
        yield NftElement(FAMILY, table, "s_access_led", link)
    for address in endpoint.addresses:
        yield NftElement(FAMILY, table, f"s_access_ipv{address.version}", str(address.ip))
