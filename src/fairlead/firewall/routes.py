"""Who speaks on networks whose hosts route to each other: their members, and nobody else.

The bridge of such a network is on the host, which forwards, and its packets are on the
segment between hosts as they are. So this part of the table that stands whatever the
firewall backend is judges all that passes by the bridge:

- what leaves is from an endpoint that is on it here, and for a peer, by the very link on
  which that one's host is;
- what comes is from a peer, by that link, and for an endpoint here;
- a peer's host may say what became of a packet (ICMP errors), so that sizes are found out;
- nobody else on this host or behind it reaches a peer by way of this host;
- the host itself is no member: it hears nothing there but pings and neighbours, and sends
  no more, unless the network was made with host access (`model.Network.host_access`). Then
  its address there is for members alone, ports published on it as for everybody.

Packets between members are not tracked as connections: they need no state to be judged, and
no rule of anybody translates their addresses.

Peers are elements of sets: a packet is looked up the same whether there is one or a thousand.
Each is in `s_far` twice, with the bridge and with the link, since both ways have to be right.
A source address proves no more than the address of a tunnel's far end does: who is on the
segment between hosts can forge either.

A verdict elsewhere, such as a person's ACCEPT, decides nothing: each table is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.endpoint import Endpoint
from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.network import Network
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.peer import Peer
from fairlead.model.state import IPAddress, Resource

FAMILY = "inet"
SETS = {
    "s_routed": "type ifname",
    "s_routed_led": "type ifname",
    "s_routed_shut": "type ifname",
    "s_routed_within": "type ifname . ifname",
}
OF_FAMILY = {
    "s_members": "ifname . {}",
    "s_far": "ifname . {}",
    "s_far_hosts": "ifname . {}",
    "s_callers": "ifname . {}",
    "s_own": "{}",
}
ERRORS = {
    4: "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
}
ASKS = ("icmp type echo-request", "icmpv6 type echo-request")
SAID = "meta l4proto != { icmp, ipv6-icmp }"
UNTRACKED_IN = "type filter hook prerouting priority raw; policy accept;"
UNTRACKED_OUT = "type filter hook output priority raw; policy accept;"
FORWARD = "type filter hook forward priority filter; policy accept;"
INPUT = "type filter hook input priority filter; policy accept;"
OUTPUT = "type filter hook output priority filter; policy accept;"


def _each(*rules: str) -> tuple[str, ...]:
    """The rules for both families: `V` is the version, `F` what nft calls it."""
    return tuple(
        rule.replace("_V", f"_ipv{v}").replace("F ", f"{f} ").replace("ERRORS", ERRORS[v])
        for v, f in FAMILIES.items()
        for rule in rules
    )


COMING = _each(
    "iifname . F saddr @s_members_V iifname . F daddr @s_far_V notrack",
    "iifname . F saddr @s_far_V F daddr != @s_own_V notrack",
)
SENT = _each("oifname . F daddr @s_far_V F saddr != @s_own_V notrack")
LEAVE = (
    *_each(
        "iifname . F saddr @s_members_V "
        "iifname . F daddr @s_far_V oifname . F daddr @s_far_V accept",
    ),
    "iifname . oifname @s_routed_within accept",
    "iifname @s_routed_led ct status dnat accept",
    "drop",
)
ENTER = (
    *_each(
        "oifname . F saddr @s_far_V oifname . F daddr @s_members_V "
        "iifname . F saddr @s_far_V accept",
        "oifname . F saddr @s_far_hosts_V oifname . F daddr @s_members_V ERRORS accept",
    ),
    "oifname @s_routed_led ct state established,related accept",
    "drop",
)
PASS = (
    "iifname @s_routed goto c_routed_leave",
    "oifname @s_routed goto c_routed_enter",
    *_each(
        "oifname . F daddr @s_callers_V ct state established,related accept",
        "oifname . F daddr @s_far_V drop",
    ),
)
HEAR = (
    f"iifname @s_routed_shut {SAID} drop",
    *_each("F daddr @s_own_V goto c_routed_own"),
)
OWN = (
    'iifname "lo" accept',
    "iifname @s_routed accept",
    *_each("iifname . F saddr @s_callers_V accept"),
    "drop",
)
SAY = (
    *(f"oifname @s_routed_shut {ask} drop" for ask in ASKS),
    f"oifname @s_routed_shut {SAID} drop",
    *_each(
        "oifname . F daddr @s_callers_V accept",
        "oifname . F daddr @s_far_V ERRORS accept",
        "oifname . F daddr @s_far_V drop",
    ),
)


def base(marks: Marks) -> Iterator[Resource]:
    """The rules while nobody is on such a network yet."""
    table = marks.table
    yield NftTable(FAMILY, table, marks.alias)
    for name, spec in SETS.items():
        yield NftSet(FAMILY, table, name, "set", spec)
    for name, spec in OF_FAMILY.items():
        for version in FAMILIES:
            kind = "type " + spec.format(f"ipv{version}_addr")
            yield NftSet(FAMILY, table, f"{name}_ipv{version}", "set", kind)
    for name, rules, hook in (
        ("c_routed_leave", LEAVE, ""),
        ("c_routed_enter", ENTER, ""),
        ("c_routed_own", OWN, ""),
        ("c_routed_coming", COMING, UNTRACKED_IN),
        ("c_routed_sent", SENT, UNTRACKED_OUT),
        ("c_routed_pass", PASS, FORWARD),
        ("c_routed_hear", HEAR, INPUT),
        ("c_routed_say", SAY, OUTPUT),
    ):
        yield NftChain(FAMILY, table, name, rules, hook)


def of_network(marks: Marks, net: Network) -> Iterator[Resource]:
    """A network on which somebody here is. There before its bridge is."""
    table, bridge = marks.table, f'"{net.ifname}"'
    yield NftElement(FAMILY, table, "s_routed", bridge)
    yield NftElement(FAMILY, table, "s_routed_within", f"{bridge} . {bridge}")
    if not net.host_access:
        yield NftElement(FAMILY, table, "s_routed_shut", bridge)
    elif not net.internal:
        yield NftElement(FAMILY, table, "s_routed_led", bridge)


def of_endpoint(marks: Marks, net: Network, endpoint: Endpoint) -> Iterator[Resource]:
    """Somebody here who may speak there."""
    for address in endpoint.addresses:
        name, item = f"s_members_ipv{address.version}", f'"{net.ifname}" . {address.ip}'
        yield NftElement(FAMILY, marks.table, name, item)


def of_host(marks: Marks, endpoint: Endpoint) -> Iterator[Resource]:
    """This host itself, where it has access."""
    for address in endpoint.addresses:
        yield NftElement(FAMILY, marks.table, f"s_own_ipv{address.version}", str(address.ip))


def of_peer(marks: Marks, net: Network, who: Peer, link: str) -> Iterator[Resource]:
    """Somebody on a host that is reached through a link."""
    table = marks.table
    for address in who.addresses:
        far = f"s_far_ipv{address.version}"
        yield NftElement(FAMILY, table, far, f'"{net.ifname}" . {address.ip}')
        yield NftElement(FAMILY, table, far, f'"{link}" . {address.ip}')
        if net.host_access:
            callers = f"s_callers_ipv{address.version}"
            yield NftElement(FAMILY, table, callers, f'"{link}" . {address.ip}')


def of_far_host(marks: Marks, net: Network, host: IPAddress) -> Iterator[Resource]:
    """A host with peers of a network."""
    name = f"s_far_hosts_ipv{host.version}"
    yield NftElement(FAMILY, marks.table, name, f'"{net.ifname}" . {host}')
