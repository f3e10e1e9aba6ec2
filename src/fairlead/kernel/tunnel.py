"""VXLAN devices and forwarding entries as rtnetlink messages and rows (linux/if_link.h).

A device is made by the host's namespace in another one, under its final name: its
packets then travel in the host's, for ever. A forwarding entry is two in the kernel,
one of the bridge (this MAC is behind that port) and one of the device (it is on that
host); one message makes both, and only both together count.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from fairlead.kernel.netlink import (
    NEW,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Message,
    Socket,
    attribute,
    attributes,
    nest,
    number,
    text,
    u32,
)
from fairlead.kernel.rtnetlink import (
    IFINFO,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_INFO_SLAVE_DATA,
    IFLA_INFO_SLAVE_KIND,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    NDA_DST,
    NDA_LLADDR,
    NDMSG,
    RTM_DELNEIGH,
    RTM_GETNEIGH,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_SETLINK,
    header,
    mac_bytes,
)
from fairlead.kernel.rtrows import Link
from fairlead.model.state import IPAddress
from fairlead.model.tunnel import Fdb, Vxlan

KIND = "vxlan"
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PROXY = 1, 4, 7, 11
IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 15, 17
IFLA_VXLAN_UDP_CSUM, IFLA_VXLAN_UDP_ZERO_CSUM6_TX, IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 18, 19, 20
IFLA_BRPORT_LEARNING = 8
NUD_REACHABLE, NUD_NOARP = 0x02, 0x40
NTF_SELF, NTF_MASTER = 0x02, 0x04
STATIC = NUD_REACHABLE | NUD_NOARP
"""Neither of the two ages: the bridge would take a permanent one for an address of its own."""
NOWHERE: Mapping[int, IPAddress] = {4: ip_address("0.0.0.0"), 6: ip_address("::")}


def new_vxlan(item: Vxlan, namespace_fd: int) -> list[Message]:
    """Make a device in a namespace, down; sent from the host's.

    Under a name that nobody has: before Linux 6.14 one of the host's would be in the way.
    """
    local = IFLA_VXLAN_LOCAL if item.local.version == 4 else IFLA_VXLAN_LOCAL6
    data = u32(IFLA_VXLAN_ID, item.vni) + attribute(local, item.local.packed)
    data += attribute(IFLA_VXLAN_PORT, struct.pack(">H", item.port))
    flags = {IFLA_VXLAN_LEARNING: 0, IFLA_VXLAN_PROXY: 1, IFLA_VXLAN_UDP_CSUM: 1}
    flags |= {IFLA_VXLAN_UDP_ZERO_CSUM6_TX: 0, IFLA_VXLAN_UDP_ZERO_CSUM6_RX: 0}
    data += b"".join(attribute(kind, bytes([on])) for kind, on in flags.items())
    body = header() + text(IFLA_IFNAME, draft(item)) + u32(IFLA_MTU, item.mtu)
    body += u32(IFLA_NET_NS_FD, namespace_fd)
    kind = text(IFLA_INFO_KIND, KIND)
    return [Message(RTM_NEWLINK, NEW, body + nest(IFLA_LINKINFO, kind, nest(IFLA_INFO_DATA, data)))]


def draft(item: Vxlan) -> str:
    """What a device is called until it is where it belongs."""
    return f"fl-vx-{item.vni:06x}"


def finish(item: Vxlan, index: int, master: int, alias: str) -> list[Message]:
    """Give a device that was made its name, and plug it in."""
    named = Message(RTM_SETLINK, 0, header(index) + text(IFLA_IFNAME, item.name))
    return [named, *plug(item, master, alias)]


def plug(item: Vxlan, master: int, alias: str) -> list[Message]:
    """Plug a device into its bridge, which learns nothing from it; mark it and raise it."""
    name = text(IFLA_IFNAME, item.name)
    set_ = header(up=item.up) + name + text(IFLA_IFALIAS, alias) + u32(IFLA_MTU, item.mtu)
    deaf = nest(
        IFLA_LINKINFO,
        text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nest(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_LEARNING, b"\0")),
    )
    return [
        Message(RTM_SETLINK, 0, header() + name + u32(IFLA_MASTER, master)),
        Message(RTM_NEWLINK, 0, header() + name + deaf),
        Message(RTM_SETLINK, 0, set_),
    ]


def vxlan(namespace: str, row: Link, master: str) -> Vxlan:
    """A device as it is."""
    data = attributes(row.detail)
    local = data.get(IFLA_VXLAN_LOCAL) or data.get(IFLA_VXLAN_LOCAL6) or bytes(4)
    (port,) = struct.unpack(">H", data.get(IFLA_VXLAN_PORT, bytes(2)))
    vni = number(data, IFLA_VXLAN_ID)
    return Vxlan(namespace, row.name, master, vni, ip_address(local), row.mtu, port, row.up)


def fdb(item: Fdb, index: int, delete: bool = False) -> list[Message]:
    """Add, replace or delete the two entries of a MAC."""
    address = attribute(NDA_LLADDR, mac_bytes(item.mac))
    if delete:
        # One by one: the kernel would keep the second when the first is gone already.
        return [
            Message(RTM_DELNEIGH, 0, _entry(index, flag) + address)
            for flag in (NTF_MASTER, NTF_SELF)
        ]
    body = _entry(index, NTF_SELF | NTF_MASTER) + address + attribute(NDA_DST, item.host.packed)
    return [Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body)]


def _entry(index: int, flags: int) -> bytes:
    return NDMSG.pack(socket.AF_BRIDGE, index, STATIC, flags, 0)


def fdbs(netlink: Socket, namespace: str, devices: Mapping[int, str]) -> Iterator[Fdb]:
    """The static entries of the VXLAN devices in `devices`, which are by index.

    One of which the bridge does not know leads nowhere.
    """
    hosts: dict[tuple[int, str], IPAddress] = {}
    known: set[tuple[int, str]] = set()
    for kind, data in netlink.dump(RTM_GETNEIGH, IFINFO.pack(socket.AF_BRIDGE, 0, 0, 0, 0)):
        _, index, state, flags, _ = NDMSG.unpack_from(data)
        if kind != RTM_NEWNEIGH or index not in devices or not state & NUD_NOARP:
            continue
        row = attributes(data, NDMSG.size)
        place = (index, row[NDA_LLADDR].hex(":"))
        if flags & NTF_SELF and NDA_DST in row:
            hosts[place] = ip_address(row[NDA_DST])
        elif not flags & NTF_SELF:
            known.add(place)
    for (index, mac), host in hosts.items():
        found = host if (index, mac) in known else NOWHERE[host.version]
        yield Fdb(namespace, devices[index], mac, found)
