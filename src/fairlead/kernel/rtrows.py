"""What the kernel tells by rtnetlink, as rows: links, addresses, routes, neighbours.

Only what carries our mark (`rtnetlink`) is ours; the rest is what the host has beside it.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network

from fairlead.kernel.netlink import (
    Socket,
    attribute,
    attributes,
    number,
    string,
    text,
    u32,
)
from fairlead.kernel.rtnetlink import (
    BR_STATE_FORWARDING,
    FRA_PROTOCOL,
    FRA_SRC,
    FRA_TABLE,
    IFA_ADDRESS,
    IFA_LOCAL,
    IFA_PROTO,
    IFADDR,
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_BRPORT_MODE,
    IFLA_BRPORT_STATE,
    IFLA_EXT_MASK,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINK,
    IFLA_LINK_NETNSID,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    NDA_DST,
    NDA_LLADDR,
    NDA_PROTOCOL,
    NDMSG,
    NETNSA_FD,
    NETNSA_NSID,
    NTF_PROXY,
    NUD_PERMANENT,
    PROTOCOL,
    RT_TABLE_LOCAL,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_GATEWAY,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_TABLE,
    RTA_VIA,
    RTEXT_FILTER_SKIP_STATS,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETNSID,
    RTM_GETROUTE,
    RTM_GETRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTMSG,
    RTN_UNICAST,
    address_family,
    header,
)
from fairlead.model.lookup import Lookup, is_ours
from fairlead.model.state import (
    Address,
    IPAddress,
    IPNetwork,
    Neighbour,
    Proxy,
    Route,
)


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the link table: what observation needs of it."""

    index: int
    name: str
    kind: str
    alias: str
    mac: str
    mtu: int
    master: int
    far: int
    """The index of the other end, in the namespace where that is."""
    space: int | None
    """The number here of the other end's namespace; None if that is this one."""
    up: bool
    hairpin: bool
    """Whether a bridge sends back here what came from here."""
    detail: bytes = b""
    """What its kind has to say of it, as attributes."""
    group: int = 0


def links(netlink: Socket) -> list[Link]:
    """The links of the socket's namespace."""
    body = header() + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return [_link(data) for kind, data in netlink.dump(RTM_GETLINK, body) if kind == RTM_NEWLINK]


def marked(netlink: Socket, alias: str) -> bool:
    """Whether any link of the socket's namespace has that alias."""
    body = header() + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    # Of thousands hardly one has, so they are not taken apart before it is seen somewhere.
    there = (data for _, data in netlink.dump(RTM_GETLINK, body) if alias.encode() in data)
    return any(_link(data).alias == alias for data in there)


def forwards(netlink: Socket, name: str) -> bool:
    """Whether a bridge lets frames through this link; so does what is no port, or is gone."""
    try:
        data = netlink.ask(RTM_GETLINK, header() + text(IFLA_IFNAME, name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return True
        raise
    found = attributes(attributes(data, IFINFO.size).get(IFLA_LINKINFO, b""))
    port = attributes(found.get(IFLA_INFO_SLAVE_DATA, b""))
    forwarding = bytes([BR_STATE_FORWARDING])
    is_port = string(found, IFLA_INFO_SLAVE_KIND) == "bridge"
    return not is_port or port.get(IFLA_BRPORT_STATE, forwarding) == forwarding


def _link(data: bytes) -> Link:
    _, _, index, flags, _ = IFINFO.unpack_from(data)
    found = attributes(data, IFINFO.size)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    port = attributes(info.get(IFLA_INFO_SLAVE_DATA, b""))
    return Link(
        index=index,
        name=string(found, IFLA_IFNAME),
        kind=string(info, IFLA_INFO_KIND),
        alias=string(found, IFLA_IFALIAS),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=number(found, IFLA_MTU),
        master=number(found, IFLA_MASTER),
        far=number(found, IFLA_LINK),
        space=number(found, IFLA_LINK_NETNSID) if IFLA_LINK_NETNSID in found else None,
        up=bool(flags & IFF_UP),
        hairpin=port.get(IFLA_BRPORT_MODE, b"\0") != b"\0",
        detail=info.get(IFLA_INFO_DATA, b""),
        group=number(found, IFLA_GROUP),
    )


def space_number(netlink: Socket, namespace_fd: int) -> int | None:
    """The number that a namespace has in the socket's; None when it has none there."""
    body = b"\0\0\0\0" + u32(NETNSA_FD, namespace_fd)
    found = attributes(netlink.ask(RTM_GETNSID, body), 4)
    known = struct.unpack("=i", found.get(NETNSA_NSID, b"\xff" * 4))[0]
    return int(known) if known >= 0 else None


def addresses(netlink: Socket, namespace: str, names: Mapping[int, str]) -> list[Address]:
    """Our addresses on the links in `names`."""
    found = []
    for kind, data in netlink.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0)):
        _, prefix, _, _, index = IFADDR.unpack_from(data)
        row = attributes(data, IFADDR.size)
        if kind != RTM_NEWADDR or index not in names or row.get(IFA_PROTO) != bytes([PROTOCOL]):
            continue
        raw = row.get(IFA_LOCAL) or row[IFA_ADDRESS]
        interface = ip_interface(f"{ip_address(raw)}/{prefix}")
        found.append(Address(namespace, names[index], interface))
    return found


def all_addresses(netlink: Socket, link: int) -> list[IPAddress]:
    """Every address on a link, whoever gave it."""
    found = []
    for kind, data in netlink.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0)):
        _, _, _, _, index = IFADDR.unpack_from(data)
        if kind == RTM_NEWADDR and index == link:
            row = attributes(data, IFADDR.size)
            found.append(ip_address(row.get(IFA_LOCAL) or row[IFA_ADDRESS]))
    return found


def every_address(netlink: Socket, index: int) -> list[IPAddress]:
    """The addresses on a link, whoever made them."""
    found = []
    for kind, data in netlink.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0)):
        row = attributes(data, IFADDR.size)
        raw = row.get(IFA_LOCAL) or row.get(IFA_ADDRESS)
        if kind == RTM_NEWADDR and raw and IFADDR.unpack_from(data)[4] == index:
            found.append(ip_address(raw))
    return found


def holder(netlink: Socket, address: IPAddress) -> int:
    """The index of the link that has an address; 0 if none has it."""
    for kind, data in netlink.dump(RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0)):
        row = attributes(data, IFADDR.size)
        if kind == RTM_NEWADDR and (row.get(IFA_LOCAL) or row[IFA_ADDRESS]) == address.packed:
            return int(IFADDR.unpack_from(data)[4])
    return 0


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A row of the main routing table."""

    route: Route
    ours: bool


def routes(netlink: Socket, namespace: str, names: Mapping[int, str]) -> list[RouteRow]:
    """Unicast routes through the links in `names`, of the main table and of those of ours."""
    found = []
    for kind, data in netlink.dump(RTM_GETROUTE, RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _, _, table, protocol, _, type_, _ = RTMSG.unpack_from(data)
        row = attributes(data, RTMSG.size)
        table = number(row, RTA_TABLE) or table
        index = number(row, RTA_OIF)
        known = table == RT_TABLE_MAIN or (is_ours(table) and protocol == PROTOCOL)
        if kind != RTM_NEWROUTE or not known or type_ != RTN_UNICAST or index not in names:
            continue
        zero = b"\0" * (4 if family == socket.AF_INET else 16)
        destination = ip_network((row.get(RTA_DST, zero), length))
        source = ip_address(row[RTA_PREFSRC]) if RTA_PREFSRC in row else None
        apart = 0 if table == RT_TABLE_MAIN else table
        item = Route(namespace, destination, _via(row), names[index], source, apart)
        found.append(RouteRow(item, protocol == PROTOCOL))
    return found


def lookups(netlink: Socket, namespace: str) -> list[Lookup]:
    """What of ours sends packets from an address by a table."""
    try:
        dumped = netlink.dump(RTM_GETRULE, RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            # A kernel with one table only has none.
            return []
        raise
    found = []
    for kind, data in dumped:
        row = attributes(data, RTMSG.size)
        mine = row.get(FRA_PROTOCOL) == bytes([PROTOCOL]) and FRA_SRC in row
        if kind == RTM_NEWRULE and mine and is_ours(number(row, FRA_TABLE)):
            found.append(Lookup(namespace, ip_address(row[FRA_SRC]), number(row, FRA_TABLE)))
    return found


def _via(row: Mapping[int, bytes]) -> IPAddress | None:
    """The next hop of a route, of whichever family it is."""
    if RTA_GATEWAY in row:
        return ip_address(row[RTA_GATEWAY])
    return ip_address(row[RTA_VIA][2:]) if RTA_VIA in row else None


def way(netlink: Socket, host: IPAddress) -> int:
    """The index of the link through which a host is reached without a gateway; 0 if it is not."""
    family = address_family(host.version)
    body = RTMSG.pack(family, host.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        data = netlink.ask(RTM_GETROUTE, body + attribute(RTA_DST, host.packed))
    except OSError:
        # It is not reached at all.
        return 0
    row = attributes(data, RTMSG.size)
    unicast = bool(data) and RTMSG.unpack_from(data)[7] == RTN_UNICAST
    return number(row, RTA_OIF) if unicast and _via(row) is None else 0


def reached(
    netlink: Socket, ours: Collection[int]
) -> tuple[tuple[IPNetwork, ...], tuple[int, ...], frozenset[int]]:
    """What any table routes but by default and through the links `ours`.

    Behind it the default ways out, and all links that are routed through.
    """
    found: dict[IPNetwork, None] = {}
    ways: dict[int, None] = {}
    through = set()
    for kind, data in netlink.dump(RTM_GETROUTE, RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
        family, length, _, _, table, protocol, _, type_, _ = RTMSG.unpack_from(data)
        # The local table has the host's own addresses: nobody is reached by it.
        if kind != RTM_NEWROUTE or table == RT_TABLE_LOCAL or protocol == PROTOCOL:
            continue
        row = attributes(data, RTMSG.size)
        link = number(row, RTA_OIF)
        if link in ours:
            continue
        through.add(link)
        if length:
            zero = b"\0" * (4 if family == socket.AF_INET else 16)
            found[ip_network((row.get(RTA_DST, zero), length))] = None
        elif table == RT_TABLE_MAIN and type_ == RTN_UNICAST:
            ways[link] = None
    return tuple(found), tuple(ways), frozenset(through)


def neighbours(netlink: Socket, namespace: str, names: Mapping[int, str]) -> list[Neighbour]:
    """Our permanent neighbour entries on the links in `names`."""
    found = []
    for kind, data in netlink.dump(RTM_GETNEIGH, NDMSG.pack(0, 0, 0, 0, 0)):
        _, index, state, _, _ = NDMSG.unpack_from(data)
        row = attributes(data, NDMSG.size)
        ours = row.get(NDA_PROTOCOL) == bytes([PROTOCOL]) and state & NUD_PERMANENT
        if kind == RTM_NEWNEIGH and ours and index in names:
            who = ip_address(row[NDA_DST])
            found.append(Neighbour(namespace, names[index], who, row[NDA_LLADDR].hex(":")))
    return found


def proxies(netlink: Socket, namespace: str, names: Mapping[int, str]) -> list[Proxy]:
    """Our entries for which the host answers in another's place, on the links in `names`."""
    found = []
    for kind, data in netlink.dump(RTM_GETNEIGH, NDMSG.pack(0, 0, 0, NTF_PROXY, 0)):
        _, index, _, flags, _ = NDMSG.unpack_from(data)
        row = attributes(data, NDMSG.size)
        ours = row.get(NDA_PROTOCOL) == bytes([PROTOCOL]) and flags & NTF_PROXY
        if kind == RTM_NEWNEIGH and ours and index in names:
            found.append(Proxy(namespace, names[index], ip_address(row[NDA_DST])))
    return found
