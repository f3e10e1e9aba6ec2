"""Resources as rtnetlink messages; `rtrows` has what the kernel tells.

Marks: links carry an alias, addresses, routes and neighbours the protocol
number `PROTOCOL`. Whatever has no mark is not ours.
"""

from __future__ import annotations

import socket
import struct
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path

from fairlead.kernel.netlink import (
    NEW,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Message,
    attribute,
    nest,
    text,
    u32,
)
from fairlead.model.lookup import Lookup
from fairlead.model.state import (
    Address,
    Bridge,
    Neighbour,
    Proxy,
    Route,
    Veth,
)

PROTOCOL = 0x66
"""Our number where the kernel keeps who made a route, an address, a neighbour."""

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_GETNSID, NETNSA_NSID, NETNSA_FD = 90, 1, 3

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_LINK_NETNSID = 18, 20, 28, 37
IFLA_AF_SPEC, IFLA_GROUP, IFLA_EXT_MASK = 26, 27, 29
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
LEAST_MTU6 = 1280
RTEXT_FILTER_SKIP_STATS = 8
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE = 4, 5, 4
IFLA_BRPORT_STATE, BR_STATE_FORWARDING = 1, 3
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_PROTO = 1, 2, 4, 8, 11
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
FRA_SRC, FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL, FR_ACT_TO_TBL = 2, 6, 15, 21, 1
RULE_PRIORITY = 0x6600
"""Before the main table, after the local one."""
RTA_PREFSRC, RTA_VIA = 7, 18
NDA_DST, NDA_LLADDR, NDA_PROTOCOL = 1, 2, 12
NUD_PERMANENT = 0x80
NTF_PROXY = 0x08
IFF_UP = 0x1
RT_TABLE_MAIN, RT_TABLE_LOCAL = 254, 255
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RTN_UNICAST = 0, 253, 1

IFINFO = struct.Struct("=BxHiII")
IFADDR = struct.Struct("=BBBBI")
RTMSG = struct.Struct("=BBBBBBBBI")
NDMSG = struct.Struct("=BxxxiHBB")


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _flags(up: bool) -> tuple[int, int]:
    return (IFF_UP if up else 0, IFF_UP)


def header(index: int = 0, up: bool | None = None) -> bytes:
    """The fixed part of a message about a link."""
    flags, change = (0, 0) if up is None else _flags(up)
    return IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)


def new_bridge(bridge: Bridge, alias: str) -> list[Message]:
    """Make a bridge with its final address and MTU, then mark it."""
    body = header(up=bridge.up) + text(IFLA_IFNAME, bridge.name) + u32(IFLA_MTU, bridge.mtu)
    body += attribute(IFLA_ADDRESS, mac_bytes(bridge.mac))
    body += nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"))
    return [Message(RTM_NEWLINK, NEW, body), mark(bridge.name, alias, bridge.up)]


def new_veth(veth: Veth, master: int, namespace_fd: int, alias: str) -> list[Message]:
    """Make both ends where they belong and plug one in; then mark it and raise the near end.

    An end cannot come up before it has another, so neither does at once. It is marked while it
    is down: of every change to a link that is up the kernel tells everybody who may care, and
    without its other end IPv6 goes through all routes then, and the bridge through all ports.
    """
    peer = header() + text(IFLA_IFNAME, veth.peer) + u32(IFLA_MTU, veth.mtu)
    peer += attribute(IFLA_ADDRESS, mac_bytes(veth.mac)) + u32(IFLA_NET_NS_FD, namespace_fd)
    body = header() + text(IFLA_IFNAME, veth.name) + u32(IFLA_MTU, veth.mtu)
    if master:
        body += u32(IFLA_MASTER, master)
    kind = text(IFLA_INFO_KIND, "veth")
    body += nest(IFLA_LINKINFO, kind, nest(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer)))
    made = [Message(RTM_NEWLINK, NEW, body), mark(veth.name, alias, quiet=_quiet(veth))]
    return [*made, set_link(veth.name, up=True)] if veth.up else made


def mark(name: str, alias: str, up: bool | None = None, quiet: bool = False) -> Message:
    """The kernel ignores an alias while it makes a link, so it comes second, in one batch.

    One that is to be `quiet` gives itself no link-local address when it comes up.
    """
    body = header(up=up) + text(IFLA_IFNAME, name) + text(IFLA_IFALIAS, alias)
    if quiet:
        mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
        body += nest(IFLA_AF_SPEC, nest(socket.AF_INET6, mode))
    return Message(RTM_SETLINK, 0, body)


def _quiet(veth: Veth) -> bool:
    """Whether the near end of a cable may be told to have no address of its own.

    A port of a bridge needs none, and of a thousand the routes to them make the kernel slow.
    It may be told so where there is IPv6, which links of a smaller MTU do not speak.
    """
    return bool(veth.master) and veth.mtu >= LEAST_MTU6 and speaks_ipv6()


@cache
def speaks_ipv6() -> bool:
    """Whether this kernel has IPv6; as it was booted, so it stays."""
    return Path("/proc/net/if_inet6").exists()


def set_link(name: str, up: bool | None = None, **values: int | str) -> Message:
    """Change a link that stands: `mtu`, `mac`, `master` (an index)."""
    body = header(up=up) + text(IFLA_IFNAME, name)
    if "mtu" in values:
        body += u32(IFLA_MTU, int(values["mtu"]))
    if "mac" in values:
        body += attribute(IFLA_ADDRESS, mac_bytes(str(values["mac"])))
    if "master" in values:
        body += u32(IFLA_MASTER, int(values["master"]))
    return Message(RTM_SETLINK, 0, body)


def alias(index: int, text_: str) -> Message:
    """Mark a link; an empty text takes the mark away."""
    raw = attribute(IFLA_IFALIAS, text_.encode() + b"\0") if text_ else attribute(IFLA_IFALIAS, b"")
    return Message(RTM_SETLINK, 0, header(index) + raw)


def move(index: int, namespace_fd: int, name: str) -> Message:
    """Move a link to another namespace and name it there, both or neither."""
    body = header(index, up=False) + u32(IFLA_NET_NS_FD, namespace_fd)
    return Message(RTM_SETLINK, 0, body + text(IFLA_IFNAME, name))


def set_hairpin(name: str, on: bool) -> Message:
    """Whether a bridge sends frames back through the port that they came in by."""
    mode = attribute(IFLA_BRPORT_MODE, bytes([on]))
    port = nest(
        IFLA_LINKINFO,
        text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nest(IFLA_INFO_SLAVE_DATA, mode),
    )
    return Message(RTM_NEWLINK, 0, header() + text(IFLA_IFNAME, name) + port)


def delete_link(name: str) -> Message:
    return Message(RTM_DELLINK, 0, header() + text(IFLA_IFNAME, name))


def condemn(name: str, alias: str, group: int) -> Message:
    """Cut a link off, and give it another mark and the group that is reaped together."""
    body = header(up=False) + text(IFLA_IFNAME, name) + text(IFLA_IFALIAS, alias)
    return Message(RTM_SETLINK, 0, body + u32(IFLA_MASTER, 0) + u32(IFLA_GROUP, group))


def retire(index: int) -> Message:
    """Set a link down and give its name free."""
    return Message(RTM_SETLINK, 0, header(index, up=False) + text(IFLA_IFNAME, f"gone{index}"))


def delete_group(group: int) -> Message:
    """Delete all links of a group: the kernel waits once for all of them."""
    return Message(RTM_DELLINK, 0, header() + u32(IFLA_GROUP, group))


def address_family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def address(item: Address, index: int, delete: bool = False) -> Message:
    """Add or delete an address. No duplicate detection: the IPAM knows who has what."""
    interface = item.address
    raw = interface.ip.packed
    body = IFADDR.pack(address_family(interface.version), interface.network.prefixlen, 0, 0, index)
    body += attribute(IFA_LOCAL, raw) + attribute(IFA_ADDRESS, raw)
    if delete:
        return Message(RTM_DELADDR, 0, body)
    if isinstance(interface.network, IPv4Network) and interface.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, interface.network.broadcast_address.packed)
    if interface.version == 6:
        body += u32(IFA_FLAGS, IFA_F_NODAD)
    return Message(RTM_NEWADDR, NEW, body + attribute(IFA_PROTO, bytes([PROTOCOL])))


def route(item: Route, index: int, delete: bool = False) -> Message:
    """Add or delete a route.

    In a sandbox ours takes the place of one that the container made; the host's are respected.
    """
    network = item.destination
    scope = RT_SCOPE_UNIVERSE if item.via is not None else RT_SCOPE_LINK
    family = address_family(network.version)
    body = RTMSG.pack(family, network.prefixlen, 0, 0, 0, PROTOCOL, scope, RTN_UNICAST, 0) + u32(
        RTA_TABLE, item.table or RT_TABLE_MAIN
    )
    if network.prefixlen:
        body += attribute(RTA_DST, network.network_address.packed)
    if item.via is not None and item.via.version == network.version:
        body += attribute(RTA_GATEWAY, item.via.packed)
    elif item.via is not None:
        raw = struct.pack("=H", address_family(item.via.version)) + item.via.packed
        body += attribute(RTA_VIA, raw)
    if item.source is not None:
        body += attribute(RTA_PREFSRC, item.source.packed)
    body += u32(RTA_OIF, index)
    flags = NLM_F_CREATE | NLM_F_REPLACE if item.namespace else NEW
    return Message(RTM_DELROUTE, 0, body) if delete else Message(RTM_NEWROUTE, flags, body)


def lookup(item: Lookup, delete: bool = False) -> Message:
    """Add or delete what sends packets from an address by a table."""
    version = item.source.version
    body = RTMSG.pack(
        address_family(version), 0, item.source.max_prefixlen, 0, 0, 0, 0, FR_ACT_TO_TBL, 0
    )
    body += attribute(FRA_SRC, item.source.packed) + u32(FRA_TABLE, item.table)
    body += u32(FRA_PRIORITY, RULE_PRIORITY) + attribute(FRA_PROTOCOL, bytes([PROTOCOL]))
    return Message(RTM_DELRULE, 0, body) if delete else Message(RTM_NEWRULE, NEW, body)


def neighbour(item: Neighbour, index: int, delete: bool = False) -> Message:
    """Add, replace or delete a permanent neighbour entry."""
    family = address_family(item.address.version)
    body = NDMSG.pack(family, index, NUD_PERMANENT, 0, 0) + attribute(NDA_DST, item.address.packed)
    if delete:
        return Message(RTM_DELNEIGH, 0, body)
    body += attribute(NDA_LLADDR, mac_bytes(item.mac)) + attribute(NDA_PROTOCOL, bytes([PROTOCOL]))
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)


def proxy(item: Proxy, index: int, delete: bool = False) -> Message:
    """Add or delete an entry for which the host answers in another's place."""
    family = address_family(item.address.version)
    body = NDMSG.pack(family, index, 0, NTF_PROXY, 0) + attribute(NDA_DST, item.address.packed)
    if delete:
        return Message(RTM_DELNEIGH, 0, body)
    return Message(RTM_NEWNEIGH, NEW, body + attribute(NDA_PROTOCOL, bytes([PROTOCOL])))
