"""Links that others made: look at one, move it into a sandbox, give it back.

A link is marked before it moves, with its old name, so that whoever finds it in a sandbox
knows where it belongs; on the host that mark means nothing. The move and the new name are
one message. Moving takes addresses and routes away, and sets the link down.
"""

from __future__ import annotations

import errno
import os
import socket

from fairlead.kernel import rtnetlink, rtrows
from fairlead.kernel.netlink import Answer, Socket
from fairlead.kernel.netns import Namespaces
from fairlead.model.facts import HostLink
from fairlead.model.marks import Marks
from fairlead.model.state import HOST, IPAddress, Lent

GONE = frozenset({errno.ENODEV, errno.ENXIO})


def host_link(netlink: Socket, name: str) -> HostLink | None:
    """An interface of the host, with all that speaks against lending it."""
    rows = rtrows.links(netlink)
    row = next((row for row in rows if row.name == name), None)
    if row is None:
        return None
    routes = rtrows.routes(netlink, HOST, {row.index: row.name})
    own = addresses(netlink, row.index)
    # A route that comes with an address of its own says nothing more than that.
    routed = [r for r in routes if not any(ip in r.route.destination for ip in own)]
    return HostLink(
        name,
        row.mac,
        loopback=row.name == "lo",
        ours=row.alias.startswith("fairlead:") and ":lent:" not in row.alias,
        addresses=own,
        routed=any(not r.route.destination.is_link_local for r in routed),
        ports=any(other.master == row.index for other in rows),
        master=row.master != 0,
    )


def addresses(netlink: Socket, index: int) -> tuple[IPAddress, ...]:
    """The addresses of a link, whoever gave them, but for those that it gives itself."""
    found = rtrows.all_addresses(netlink, index)
    return tuple(address for address in found if not address.is_link_local)


def lend(host: Socket, namespaces: Namespaces, marks: Marks, item: Lent) -> None:
    """Move a link of the host into a sandbox and raise it there. Raises OSError."""
    index = socket.if_nametoindex(item.name)
    fd = namespaces.open(item.namespace)
    try:
        marked, moved = host.batch(
            [
                rtnetlink.alias(index, marks.lent(item.name)),
                rtnetlink.move(index, fd, item.inside),
            ]
        )
    finally:
        os.close(fd)
    if marked.code or moved.code:
        # The kernel may have moved it before it found that the name is taken there.
        give_back(namespaces, marks, item)
        host.batch([rtnetlink.alias(index, "")])
        raise OSError(marked.code or moved.code, marked.detail or moved.detail)
    try:
        shape(namespaces, item)
    except OSError:
        give_back(namespaces, marks, item)
        raise


def shape(namespaces: Namespaces, item: Lent) -> None:
    """Give a link that is lent its address, and set it up. Raises OSError."""
    with namespaces.entered(item.namespace), Socket() as netlink:
        # Some drivers take an address only while the link is down.
        messages = [rtnetlink.set_link(item.inside, up=item.up)]
        row = next((r for r in rtrows.links(netlink) if r.name == item.inside), None)
        if row is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if item.mac and row.mac != item.mac:
            messages.insert(0, rtnetlink.set_link(item.inside, mac=item.mac))
        for answer in netlink.batch(messages):
            if answer.code:
                raise OSError(answer.code, answer.detail or os.strerror(answer.code))


def give_back(namespaces: Namespaces, marks: Marks, item: Lent) -> None:
    """Move a link out of a sandbox, under its old name. One that is gone is no error.

    It is found by its mark, for a container may have renamed it. If somebody has its old
    name by now it gets another: it is theirs, and must not be lost.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with namespaces.entered(item.namespace), Socket() as netlink:
            mark = marks.lent(item.name)
            found = [row.index for row in rtrows.links(netlink) if row.alias == mark]
            for index in found:
                _return(netlink, index, home, item.name)
    except FileNotFoundError:
        # The namespace is gone, and the link with it or where its driver wants it.
        return
    finally:
        os.close(home)


def _return(netlink: Socket, index: int, home: int, name: str) -> None:
    moved = Answer(0)
    for text in (name, f"back{index}"):
        unmarked, moved = netlink.batch(
            [rtnetlink.alias(index, ""), rtnetlink.move(index, home, text)]
        )
        if not unmarked.code and not moved.code:
            return
        if unmarked.code in GONE or moved.code in GONE:
            return
    raise OSError(moved.code, moved.detail or os.strerror(moved.code))
