"""Links that somebody else made are lent to a sandbox and come back, on either kernel.

::

    host                     sandbox "aaaaaaaaaaaa"
    p0  ═══ p1 (theirs)  →   p0 ═══ eth0 10.7.0.2/24
"""

from __future__ import annotations

import subprocess
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.port import Kernel
from fairlead.model.facts import HostLink
from fairlead.model.state import HOST, Address, Lent, Namespace, Resource, Route, Scope, state
from fairlead.model.step import Step
from fairlead.plan.diff import diff

BOX = "aaaaaaaaaaaa"
MAC = "02:42:0a:07:00:02"
box = Namespace(BOX)
link = Lent("p1", BOX, "eth0", MAC)
inside = Address(BOX, "eth0", ip_interface("10.7.0.2/32"))
router = Route(BOX, ip_network("169.254.1.1/32"), None, "eth0")
default = Route(BOX, ip_network("0.0.0.0/0"), ip_address("169.254.1.1"), "eth0")
ALL: list[Resource] = [box, link, inside, default, router]


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def theirs(kernel: Kernel) -> Kernel:
    """A host on which somebody made a cable."""
    if isinstance(kernel, FakeKernel):
        kernel.links["p1"] = HostLink("p1", MAC)
    else:
        _ip("link", "add", "p0", "type", "veth", "peer", "name", "p1", "address", MAC)
    return kernel


def test_a_link_is_lent_and_comes_back(theirs: Kernel) -> None:
    """It is in the sandbox with addresses and routes, and afterwards where and what it was."""
    want = state(ALL)
    theirs.apply(diff(want, {}))
    assert theirs.observe(Scope()) == want
    assert theirs.host_link("p1") is None

    theirs.apply(diff({}, want))

    assert theirs.observe(Scope()) == {}
    assert theirs.host_link("p1") == HostLink("p1", MAC)


def test_it_comes_back_from_a_sandbox_that_lives_on(theirs: Kernel) -> None:
    """And its name there is free for another."""
    theirs.apply(diff(state(ALL), {}))
    theirs.apply(diff(state([box]), theirs.observe(Scope())))
    assert theirs.observe(Scope()) == state([box])
    theirs.apply(diff(state(ALL), state([box])))
    assert theirs.observe(Scope()) == state(ALL)


def test_what_is_not_there_cannot_be_lent(kernel: Kernel) -> None:
    """And the refusal says which step it was."""
    kernel.apply([Step(None, box)])
    with pytest.raises(Refused) as refused:
        kernel.apply([Step(None, link)])
    assert refused.value.step.after == link
    assert kernel.observe(Scope()) == state([box])


def test_a_name_that_is_taken_in_the_sandbox(theirs: Kernel) -> None:
    """The link stays on the host, as it was."""
    other = Lent("p1", BOX, "lo", MAC)
    theirs.apply([Step(None, box)])
    with pytest.raises(Refused):
        theirs.apply([Step(None, other)])
    assert theirs.observe(Scope()) == state([box])
    assert theirs.host_link("p1") == HostLink("p1", MAC)


def test_undoing_a_lending(theirs: Kernel) -> None:
    """Backwards, as after a refusal further on."""
    steps = diff(state(ALL), {})
    theirs.apply(steps)
    theirs.apply([step.undo() for step in reversed(steps)])
    assert theirs.observe(Scope()) == {}
    assert theirs.host_link("p1") == HostLink("p1", MAC)


@pytest.mark.root
def test_who_made_it_may_delete_it_meanwhile(linux: Kernel) -> None:
    """Then there is nothing to give back, and leaving is no error."""
    _ip("link", "add", "p0", "type", "veth", "peer", "name", "p1", "address", MAC)
    linux.apply(diff(state(ALL), {}))
    _ip("link", "del", "p0")
    assert linux.observe(Scope()) == state([box])
    linux.apply(diff({}, state(ALL)))
    assert linux.observe(Scope()) == {}


@pytest.mark.root
def test_its_old_name_may_be_taken_by_now(linux: Kernel) -> None:
    """Then it comes back under another: it is theirs."""
    _ip("link", "add", "p0", "type", "veth", "peer", "name", "p1", "address", MAC)
    linux.apply(diff(state(ALL), {}))
    _ip("link", "add", "p1", "type", "veth", "peer", "name", "p2")
    linux.apply(diff({}, state(ALL)))
    assert linux.observe(Scope()) == {}
    assert MAC in _ip("-o", "link")


@pytest.mark.root
def test_what_the_host_uses_is_told(linux: Kernel) -> None:
    """An address, a route, a place in a bridge speak against lending an interface."""
    _ip("link", "add", "p0", "type", "veth", "peer", "name", "p1")
    _ip("link", "set", "p0", "up")
    _ip("link", "set", "p1", "up")
    free = linux.host_link("p1")
    assert free is not None
    assert free == HostLink("p1", free.mac)
    _ip("address", "add", "10.7.0.9/24", "dev", "p1")
    used = linux.host_link("p1")
    assert used is not None
    assert used.addresses == (ip_address("10.7.0.9"),)
    _ip("route", "add", "10.99.0.0/16", "via", "10.7.0.1")
    routed = linux.host_link("p1")
    assert routed is not None
    assert routed.routed
    loop = linux.host_link("lo")
    assert loop is not None
    assert loop.loopback
    assert linux.observe(Scope(namespaces=frozenset({HOST}))) == {}
