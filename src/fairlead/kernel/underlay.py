"""Links on a parent, and parents that we make, as rtnetlink messages and rows (linux/if_link.h).

A link is made by the host's namespace in another one, so that the host never sees it.
It is born down, without a mark and in our group of links that wait: who finds one like
that knows that somebody was killed between two messages. It has a name of its own until
it is where it belongs: kernels before 6.14 refuse one that the host has an interface of.
There it is finished, and IPv6 is switched off before it comes up: its neighbours'
advertisements would have given it addresses at once. Who wants IPv6 switches it on then.
"""

from __future__ import annotations

import errno
import fcntl
import secrets
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from fairlead.kernel.netlink import (
    NEW,
    Answer,
    Message,
    Socket,
    attribute,
    attributes,
    nest,
    number,
    string,
    text,
    u32,
)
from fairlead.kernel.port import Footing
from fairlead.kernel.rtnetlink import (
    IFINFO,
    IFLA_ADDRESS,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    RTM_SETLINK,
    header,
    mac_bytes,
)
from fairlead.kernel.rtrows import Link
from fairlead.kernel.sysctl import write_sysctl
from fairlead.model.marks import Marks
from fairlead.model.parent import KINDS
from fairlead.model.state import HOST
from fairlead.model.underlay import Dummy, Sublink, Underlay, Vlan

MODE, FLAGS, VLAN_ID = 1, 2, 1
"""IFLA_MACVLAN_MODE and IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS, IFLA_VLAN_ID."""
MACVLAN = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
SIOCGIFMTU = 0x8921
GROUP_MAC = b"\x01" + bytes(5)
"""No interface can have it."""


def _kind(item: Underlay) -> str:
    return item.kind if isinstance(item, Sublink) else type(item).__name__.lower()


def new(item: Underlay, parent: int, namespace_fd: int, group: int) -> Message:
    """Make a link, down and unmarked; `parent` is an index in the socket's namespace."""
    body = header() + text(IFLA_IFNAME, item.name) + u32(IFLA_GROUP, group)
    if parent:
        body += u32(IFLA_LINK, parent)
    data = b""
    if isinstance(item, Vlan):
        data = attribute(VLAN_ID, struct.pack("=H", item.vlan_id))
    elif isinstance(item, Sublink):
        body += u32(IFLA_NET_NS_FD, namespace_fd)
        body += _values(item, item.mtu)
        data = _mode(item)
    kind = text(IFLA_INFO_KIND, _kind(item))
    body += nest(IFLA_LINKINFO, kind, *([nest(IFLA_INFO_DATA, data)] if data else []))
    return Message(RTM_NEWLINK, NEW, body)


def _mode(item: Sublink) -> bytes:
    if item.kind == "macvlan":
        return u32(MODE, MACVLAN[item.mode])
    words = ((MODE, IPVLAN[item.mode]), (FLAGS, IPVLAN_FLAGS[item.flag]))
    return b"".join(attribute(kind, struct.pack("=H", value)) for kind, value in words)


def _values(item: Sublink, mtu: int) -> bytes:
    body = u32(IFLA_MTU, mtu) if mtu else b""
    return body + (attribute(IFLA_ADDRESS, mac_bytes(item.mac)) if item.mac else b"")


def draft(item: Underlay) -> Underlay:
    """A link in a sandbox under a name that nobody has."""
    if not isinstance(item, Sublink) or item.namespace == HOST:
        return item
    return replace(item, name=f"fl{secrets.token_hex(4)}")


def finish(netlink: Socket, item: Underlay, born: str, marks: Marks) -> Answer:
    """Name, mark and raise a link that was just made, or delete it; the kernel's answer."""
    index = socket.if_nametoindex(born)
    silence(born)
    answer = netlink.batch([ready(item, marks, index=index)])[0]
    if answer.code:
        netlink.batch([Message(RTM_DELLINK, 0, header(index))])
    return answer


def ready(item: Underlay, marks: Marks, mtu: int = 0, index: int = 0) -> Message:
    """Mark a link that stands, with its values, and raise it; `mtu` in bytes, 0 leaves it.

    It is known by `index`, if that is given, and else by its name.
    """
    follows = isinstance(item, Sublink) and not item.mtu
    body = header(index, item.up) + text(IFLA_IFNAME, item.name) + u32(IFLA_GROUP, 0)
    body += text(IFLA_IFALIAS, marks.follows if follows else marks.alias)
    return Message(
        RTM_SETLINK, 0, body + (_values(item, mtu) if isinstance(item, Sublink) else b"")
    )


def silence(name: str) -> None:
    """No IPv6 on an interface, of the namespace that the thread is in."""
    try:
        write_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", "1")
    except FileNotFoundError:
        # This kernel has no IPv6 at all.
        return


def mtu_of(name: str) -> int:
    """The MTU, in bytes, of a link of the namespace that the thread is in; OSError if none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        request = struct.pack("=16si20x", name.encode(), 0)
        return int(struct.unpack("=16si20x", fcntl.ioctl(sock, SIOCGIFMTU, request))[1])


def is_ours(row: Link, marks: Marks) -> bool:
    """Whether a link carries our mark, or would by now if its maker had not been killed."""
    unfinished = row.group == marks.group and not row.alias
    return row.alias in (marks.alias, marks.follows) or unfinished


def resources(
    namespace: str,
    rows: Iterable[Link],
    hosts: Mapping[int, Link],
    space: int | None,
    marks: Marks,
) -> Iterator[tuple[Link, Underlay]]:
    """What of ours is among the links of a namespace.

    `hosts` are the host's links by index, `space` is the number of the host's namespace
    in this one (None in the host's own).
    """
    for row in rows:
        if not is_ours(row, marks) or row.kind not in (*KINDS, "vlan", "dummy"):
            continue
        up = row.up and bool(row.alias)
        if row.kind == "dummy":
            if namespace == HOST:
                yield row, Dummy(row.name, up)
            continue
        parent = hosts.get(row.far) if row.space == space else None
        if row.kind == "vlan" and namespace == HOST:
            yield row, Vlan(row.name, parent.name if parent else "?", _short(row, VLAN_ID), up)
        elif row.kind in KINDS and (parent is not None or namespace == HOST):
            yield row, _sublink(namespace, row, parent, up, marks)


def _sublink(namespace: str, row: Link, parent: Link | None, up: bool, marks: Marks) -> Sublink:
    mode, flag = "?", ""
    if row.kind == "macvlan":
        mode = {v: k for k, v in MACVLAN.items()}.get(number(attributes(row.detail), MODE), "?")
    else:
        mode = {v: k for k, v in IPVLAN.items()}.get(_short(row, MODE), "?")
        flag = {v: k for k, v in IPVLAN_FLAGS.items()}.get(_short(row, FLAGS), "?")
    own = row.kind == "macvlan" and mode != "passthru"
    same = parent is not None and parent.mtu == row.mtu and row.alias != marks.alias
    return Sublink(
        namespace,
        row.name,
        parent.name if parent else "?",
        row.kind,
        mode,
        flag,
        row.mac if own else "",
        0 if same else row.mtu,
        up,
    )


def _short(row: Link, kind: int) -> int:
    raw = attributes(row.detail).get(kind, bytes(2))
    return int(struct.unpack("=H", raw[:2])[0])


def footing(
    netlink: Socket, marks: Marks, names: Collection[str], kinds: Collection[str]
) -> Footing:
    """Which links are there, which of them are ours, and which kinds this kernel does not know."""
    found = {name: alias for name in names if (alias := _alias(netlink, name)) is not None}
    ours = (name for name, alias in found.items() if alias in (marks.alias, marks.follows))
    lacking = (kind for kind in kinds if _is_unknown(netlink, kind))
    return Footing(frozenset(found), frozenset(ours), frozenset(lacking))


def _alias(netlink: Socket, name: str) -> str | None:
    """The alias of a link of the socket's namespace; None when there is no such link."""
    try:
        data = netlink.ask(RTM_GETLINK, header() + text(IFLA_IFNAME, name))
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EINVAL, errno.ERANGE):
            return None
        raise
    row = attributes(data, IFINFO.size)
    # By another name of it we would not know it again.
    return string(row, IFLA_IFALIAS) if string(row, IFLA_IFNAME) == name else None


def _is_unknown(netlink: Socket, kind: str) -> bool:
    """Ask for one that cannot be made: a kernel that knows the kind says so, in other words."""
    body = header() + text(IFLA_IFNAME, "fl-probe") + attribute(IFLA_ADDRESS, GROUP_MAC)
    body += nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind))
    return netlink.batch([Message(RTM_NEWLINK, NEW, body)])[0].code == errno.EOPNOTSUPP
