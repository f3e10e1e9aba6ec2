"""ground: which hosts are neighbours of this one, as the kernel says when asked for a route."""

from __future__ import annotations

from collections.abc import Collection

from fairlead.kernel import rtrows
from fairlead.kernel.netlink import Socket
from fairlead.kernel.sysctl import read_sysctl
from fairlead.model.ground import Ground
from fairlead.model.state import IPAddress


def ground(netlink: Socket, own: IPAddress, hosts: Collection[IPAddress]) -> Ground:
    """What the host's links are to those hosts. Asked where the thread and the socket are."""
    rows = rtrows.links(netlink)
    names = {row.index: row.name for row in rows if row.up}
    link = names.get(rtrows.holder(netlink, own), "")
    ways = {host: names.get(rtrows.way(netlink, host), "") for host in hosts}
    near = {host: name for host, name in ways.items() if name}
    six = frozenset(name for name in {link, *near.values()} if name and _has_six(name))
    return Ground(link, near, six)


def _has_six(link: str) -> bool:
    try:
        return read_sysctl(f"net/ipv6/conf/{link}/disable_ipv6") == "0"
    except OSError:
        # A kernel without IPv6, or a link that has just gone.
        return False
