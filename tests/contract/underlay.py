"""What every kernel does with links on a parent; `test_underlay*` say with which kernels and kinds.

::

    host                                  sandbox "aaaaaaaaaaaa"
    eth0 (somebody else's) ─ [eth0.10] ─── eth0 10.9.0.2/24, default via 10.9.0.1
    or di-0, which leads nowhere
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.kernel import rtnetlink, underlay
from fairlead.kernel.errors import Refused
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.netlink import NEW, Message, Socket, attribute, nest, text
from fairlead.kernel.port import Kernel
from fairlead.kernel.rtnetlink import (
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    RTM_NEWLINK,
    VETH_INFO_PEER,
)
from fairlead.model.state import HOST, Address, Namespace, Resource, Route, Scope, State, state
from fairlead.model.underlay import Dummy, Sublink, Vlan
from fairlead.plan.diff import diff

BOX = "aaaaaaaaaaaa"
CARD = "eth0"
EVERYTHING = Scope()
PARENTS: dict[str, Vlan | Dummy | None] = {
    "card": None,
    "vlan": Vlan("eth0.10", CARD, 10),
    "dummy": Dummy("di-0"),
}
MODES = {
    "macvlan": [("bridge", ""), ("private", ""), ("vepa", ""), ("passthru", "")],
    "ipvlan": [("l2", "bridge"), ("l3", "private"), ("l3s", "vepa")],
}
MAC = "02:42:0a:09:00:02"

box = Namespace(BOX)
inside = Address(BOX, "eth0", ip_interface("10.9.0.2/24"))
default = Route(BOX, ip_network("0.0.0.0/0"), ip_address("10.9.0.1"), "eth0")
way = Route(HOST, ip_network("10.9.0.2/32"), None, "fl-0")
near = Address(HOST, "fl-0", ip_interface("10.9.0.250/32"))


@dataclass(frozen=True)
class Case:
    """A kernel with a card, the parent that is ours (if any), and a link on it."""

    kernel: Kernel
    parents: tuple[Vlan | Dummy, ...]
    link: Sublink

    @property
    def joined(self) -> list[Resource]:
        """A sandbox with the link in it."""
        return [*self.parents, box, self.link, inside, default]

    @property
    def host(self) -> Sublink:
        """The host's own link on the parent."""
        mac = "02:42:00:00:00:01" if self.link.mac else ""
        return replace(self.link, namespace=HOST, name="fl-0", mac=mac)


def case(kernel: Kernel, parent: str, kind: str) -> Case:
    """Put a card into a kernel's machine."""
    if isinstance(kernel, FakeKernel):
        kernel.foreign.add(("link", HOST, CARD))
    else:
        with Socket() as netlink:
            peer = rtnetlink.header() + text(IFLA_IFNAME, "wire")
            body = rtnetlink.header(up=True) + text(IFLA_IFNAME, CARD)
            body += nest(
                IFLA_LINKINFO,
                text(IFLA_INFO_KIND, "veth"),
                nest(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer)),
            )
            made = [Message(RTM_NEWLINK, NEW, body), rtnetlink.set_link("wire", up=True)]
            assert [answer.code for answer in netlink.batch(made)] == [0, 0]
    ours = PARENTS[parent]
    mode, flag = MODES[kind][0]
    mac = MAC if kind == "macvlan" else ""
    name = ours.name if ours else CARD
    return Case(kernel, (ours,) if ours else (), Sublink(BOX, "eth0", name, kind, mode, flag, mac))


def reach(kernel: Kernel, want: list[Resource]) -> State:
    """Take the kernel to a state; what it reports then."""
    kernel.apply(diff(state(want), kernel.observe(EVERYTHING)))
    return kernel.observe(EVERYTHING)


def test_what_is_made_is_seen(made: Case) -> None:
    """Every field that we set comes back as we set it, and then there is nothing to do."""
    want: list[Resource] = [*made.joined, made.host, near, way]
    assert reach(made.kernel, want) == state(want)
    assert diff(state(want), made.kernel.observe(EVERYTHING)) == ()


def test_every_mode(made: Case) -> None:
    """The kernel has the words of the driver's options."""
    for mode, flag in MODES[made.link.kind]:
        mac = "" if mode == "passthru" else made.link.mac
        link = replace(made.link, mode=mode, flag=flag, mac=mac)
        want: list[Resource] = [*made.parents, box, link, inside, default]
        assert reach(made.kernel, want) == state(want), mode


def test_leaving_undoes_joining(made: Case) -> None:
    """With the sandbox, or out of one that lives on; the parent only if it is ours."""
    boxed: list[Resource] = [*made.parents, box]
    for count in range(len(boxed) + 1):
        reach(made.kernel, made.joined)
        assert reach(made.kernel, boxed[:count]) == state(boxed[:count])
    assert made.kernel.footing((CARD,)).present == {CARD}


def test_the_address_is_free_at_once(made: Case) -> None:
    """Who comes after one that went may have its address and MAC."""
    reach(made.kernel, made.joined)
    other = "bbbbbbbbbbbb"
    moved: list[Resource] = [
        *made.parents,
        Namespace(other),
        replace(made.link, namespace=other),
        replace(inside, namespace=other),
    ]
    assert reach(made.kernel, moved) == state(moved)


def test_what_changes_in_place(made: Case) -> None:
    """A size, an address, down and up."""
    reach(made.kernel, made.joined)
    changed = [replace(made.link, up=False), replace(made.link, mtu=1400), made.link]
    if made.link.mac:
        changed.append(replace(made.link, mac="02:42:0a:09:00:09"))
    for link in changed:
        want: list[Resource] = [*made.parents, box, link, inside]
        assert reach(made.kernel, want)[link.key] == link


def test_it_falls_with_its_parent(made: Case) -> None:
    """And with it the addresses on it; both come back."""
    if not made.parents:
        return
    reach(made.kernel, made.joined)
    if isinstance(made.kernel, FakeKernel):
        made.kernel.lose(made.parents[0].key)
    else:
        with Socket() as netlink:
            netlink.batch([rtnetlink.delete_link(made.parents[0].name)])
    assert made.kernel.observe(EVERYTHING) == state([box])
    assert reach(made.kernel, made.joined) == state(made.joined)


def test_without_a_parent_it_is_refused(made: Case) -> None:
    """Nothing is left of it."""
    lost = replace(made.link, parent="eth7")
    with pytest.raises(Refused) as refused:
        made.kernel.apply(diff(state([box, lost]), {}))
    assert refused.value.code == errno.ENODEV
    assert made.kernel.observe(EVERYTHING) == state([box])


def test_a_name_that_is_taken_is_refused(made: Case) -> None:
    """Two interfaces of one name in a sandbox."""
    reach(made.kernel, made.joined)
    with pytest.raises(Refused) as refused:
        made.kernel.apply(diff(state([made.link]), {}))
    assert refused.value.code == errno.EEXIST


def test_two_on_one_parent(made: Case) -> None:
    """In two sandboxes; one goes, the other stays."""
    other = "bbbbbbbbbbbb"
    mac = "02:42:0a:09:00:03" if made.link.mac else ""
    second: list[Resource] = [
        Namespace(other),
        replace(made.link, namespace=other, mac=mac),
        Address(other, "eth0", ip_interface("10.9.0.3/24")),
    ]
    both = [*made.joined, *second]
    assert reach(made.kernel, both) == state(both)
    left: list[Resource] = [*made.parents, *second]
    assert reach(made.kernel, left) == state(left)


def test_what_it_stands_on_is_told(made: Case) -> None:
    """Which links there are, which are ours, and that no kind is missing that works."""
    reach(made.kernel, made.joined)
    ours = {parent.name for parent in made.parents}
    found = made.kernel.footing({CARD, "eth7", *ours}, {made.link.kind})
    assert found.present == {CARD} | ours
    assert found.ours == ours
    assert found.lacking == frozenset()


def test_undoing_every_step_restores(made: Case) -> None:
    """Whatever was taken can be taken back, one by one."""
    steps = diff(state(made.joined), {})
    for taken in range(len(steps) + 1):
        made.kernel.apply(steps[:taken])
        made.kernel.apply([step.undo() for step in reversed(steps[:taken])])
        assert made.kernel.observe(EVERYTHING) == {}


def test_one_that_was_never_finished_is_known(made: Case) -> None:
    """Its maker was killed between two messages: it is completed, or it goes."""
    kernel = made.kernel
    if not isinstance(kernel, LinuxKernel):
        return
    boxed: list[Resource] = [*made.parents, box]
    for left in (made.joined, boxed):
        reach(kernel, boxed)
        _half_made(kernel, made.link)
        (found,) = (r for r in kernel.observe(EVERYTHING).values() if isinstance(r, Sublink))
        assert found == replace(made.link, name=found.name, up=False)
        assert reach(kernel, left) == state(left)
        reach(kernel, [])


def _half_made(kernel: LinuxKernel, link: Sublink) -> None:
    """The first message only."""
    fd = kernel.namespaces.open(link.namespace)
    with Socket() as netlink:
        parent = socket.if_nametoindex(link.parent)
        message = underlay.new(underlay.draft(link), parent, fd, kernel.marks.group)
        assert netlink.batch([message])[0].code == 0
    os.close(fd)
