"""Who may speak in our tunnels, and that nothing of an encrypted network goes in the clear.

VXLAN knows no sender: whoever reaches the port puts frames on a network. So this
table, which stands whatever the firewall backend is, judges what is for this host:

- of a network of ours, known by its VNI, only hosts on which it has endpoints are heard;
- of an encrypted one only what came out of an SA of ours (`model/xfrm.py`) is, from the
  moment the network is there, with or without peers;
- what this host sends on an encrypted one is dropped when no SA of ours is about to take it.
  Both of these IPsec's own policies see to as well: either is enough;
- what containers send by one of our bridges with a VNI of ours is forged, and dropped here:
  masqueraded it would reach other hosts as if this one had sent it.

Packets of our tunnels are not tracked as connections: each judges itself by the table, and to
track them halves what goes through a tunnel. A person's rule that asks for their state has to
take `untracked` for `new`.

VNIs that are not ours, other ports and what this host forwards between other machines are
nobody's business here.
A verdict elsewhere, such as a person's ACCEPT, decides nothing: each table is asked.

The VNI is read by its place (RFC 7348: 12 bytes after the start of UDP), for which nft has
a name since 1.0.7 only. In a datagram too short to have one, or in the first piece of an
IPv6 one that was cut there on purpose, nothing compares: that ends at the last `drop`.

Every packet of a tunnel comes by here, so what it meets is little: plain comparisons before
look-ups, one look-up for network and host together, no chain that only encrypted networks need
where there are none.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import IPAddress, Resource
from fairlead.model.tunnel import PORT, SEALED_PORT
from fairlead.model.xfrm import reqid

FAMILY = "inet"
VNI = "@th,96,24"
SETS = {"s_vnis": f"typeof {VNI}", "s_sealed": f"typeof {VNI}", "s_inside": "type ifname"}
HOSTS = {
    f"m_hosts_ipv{version}": f"typeof {VNI} . {family} saddr : verdict"
    for version, family in FAMILIES.items()
}
UNTRACKED_IN = "type filter hook prerouting priority raw; policy accept;"
UNTRACKED_OUT = "type filter hook output priority raw; policy accept;"
# Before a conntrack entry is made. Not earlier: here IPv4 is whole again, and what is
# translated to this host or forwarded has been told apart.
ENTER = "type filter hook input priority raw; policy accept;"
PASS = "type filter hook forward priority raw; policy accept;"
LEAVE = "type filter hook output priority security; policy accept;"
JUDGE = (
    "iifname @s_inside goto c_forged",
    *(f"{VNI} . {family} saddr vmap @m_hosts_ipv{version}" for version, family in FAMILIES.items()),
    f"{VNI} != @s_vnis accept",
    "drop",
)


def base(marks: Marks, own: IPAddress) -> Iterator[Resource]:
    """The table while there is no overlay network yet; `own` is where others send to."""
    table = marks.table
    yield NftTable(FAMILY, table, marks.alias)
    for kind, named in (("set", SETS), ("map", HOSTS)):
        for name, spec in named.items():
            yield NftSet(FAMILY, table, name, kind, spec)
    # What is for others may be another's tunnel, whose source has to be translated.
    here = f"{FAMILIES[own.version]} daddr {own} {VNI} @s_vnis notrack"
    for name, rules, hook in (
        ("c_arriving", _spoken(here), UNTRACKED_IN),
        ("c_leaving", _spoken(f"{VNI} @s_vnis notrack"), UNTRACKED_OUT),
        ("c_unsealed", (f"ipsec in reqid {reqid(marks)} accept", "drop"), ""),
        ("c_tunnel", JUDGE, ""),
        ("c_forged", (f"{VNI} != @s_vnis accept", "drop"), ""),
        ("c_enter", _spoken("goto c_tunnel"), ENTER),
        ("c_pass", _spoken("iifname @s_inside goto c_forged"), PASS),
    ):
        yield NftChain(FAMILY, table, name, rules, hook)


def sealed(marks: Marks) -> Iterator[Resource]:
    """What keeps encrypted networks from leaving in the clear; there before the first one."""
    seal = (f"ipsec out reqid {reqid(marks)} accept", "drop")
    yield NftChain(FAMILY, marks.table, "c_seal", seal)
    leave = _spoken(f"{VNI} @s_sealed goto c_seal")
    yield NftChain(FAMILY, marks.table, "c_leave", leave, LEAVE)


def _spoken(rest: str) -> tuple[str, ...]:
    """Rules for both ports on which we speak."""
    return tuple(f"udp dport {port} {rest}" for port in (PORT, SEALED_PORT))


def of_network(marks: Marks, vni: int, encrypted: bool) -> Iterator[Resource]:
    """A network of ours, whoever else has it. There before its first link is up."""
    yield NftElement(FAMILY, marks.table, "s_vnis", hex(vni))
    if encrypted:
        yield NftElement(FAMILY, marks.table, "s_sealed", hex(vni))


def of_bridge(marks: Marks, ifname: str) -> Iterator[Resource]:
    """A bridge of ours, by which containers reach this host."""
    yield NftElement(FAMILY, marks.table, "s_inside", f'"{ifname}"')


def of_peer(marks: Marks, vni: int, host: IPAddress, encrypted: bool) -> Iterator[Resource]:
    """Another host that has endpoints on a network."""
    name, verdict = f"m_hosts_ipv{host.version}", "goto c_unsealed" if encrypted else "accept"
    yield NftElement(FAMILY, marks.table, name, f"{hex(vni)} . {host}", verdict)
