"""Namespaces that somebody else made: pinned, used, and left as they were.

::

    host                       theirs
    br-one 10.9.0.1/24 ─ va ═ eth1 10.9.0.2/24
                              eth0            (was there before us)
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.port import Kernel, Place
from fairlead.model.errors import Invalid, NotFound
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    DnsRedirect,
    Namespace,
    Neighbour,
    Resource,
    Route,
    Scope,
    State,
    Veth,
    state,
)
from fairlead.model.step import Step
from fairlead.plan.diff import diff

NAME = "adopted/aaaaaaaaaaaa"
bridge = Bridge(HOST, "br-one", "02:42:0a:09:00:01", 1500)
gateway = Address(HOST, "br-one", ip_interface("10.9.0.1/24"))
NETWORK: list[Resource] = [bridge, gateway]


@dataclass(frozen=True, slots=True)
class Theirs:
    """A namespace that is not ours, with an interface eth0, and what ends it."""

    path: str
    picture: Callable[[], str]
    """What is in it, as text."""
    end: Callable[[], None]


@pytest.fixture
def theirs(kernel: Kernel, tmp_path: Path) -> Iterator[Theirs]:
    """Somebody else's namespace, on either kernel."""
    if isinstance(kernel, FakeKernel):
        path = "/run/netns/theirs"
        kernel.places[path] = Place("1-1", frozenset({"lo", "eth0"}))
        yield Theirs(path, lambda: str(kernel.places.get(path)), kernel.places.clear)
        return
    made = Namespaces(tmp_path / "theirs")
    made.make("box")

    def run(*words: str) -> str:
        with made.entered("box"):
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    try:
        run("ip", "link", "add", "eth0", "type", "bridge")
        run("ip", "address", "add", "192.0.2.7/24", "dev", "eth0")
        yield Theirs(
            str(made.path("box")),
            lambda: run("ip", "-o", "address") + run("ip", "route") + run("nft", "list", "tables"),
            lambda: made.drop("box"),
        )
    finally:
        made.drop("box")
        made.close()


def adopted(kernel: Kernel, theirs: Theirs) -> Namespace:
    """Their namespace as a resource of ours."""
    return Namespace(NAME, kernel.look(theirs.path).identity, theirs.path)


def joined(space: Namespace) -> list[Resource]:
    """A network with their namespace on it."""
    veth = Veth("va", "br-one", NAME, "eth1", "02:42:0a:09:00:02", 1500)
    return [
        *NETWORK,
        space,
        DnsRedirect(NAME),
        veth,
        Address(NAME, "eth1", ip_interface("10.9.0.2/24")),
        Route(NAME, ip_network("0.0.0.0/0"), ip_address("10.9.0.1"), "eth1"),
        Neighbour(NAME, "eth1", ip_address("10.9.0.7"), "02:42:0a:09:00:07"),
    ]


def reach(kernel: Kernel, want: list[Resource]) -> State:
    """Take the kernel to a state; what it reports then."""
    for _ in range(3):
        kernel.apply(diff(state(want), kernel.observe(Scope())))
    return kernel.observe(Scope())


def test_a_look_tells_what_is_there(kernel: Kernel, theirs: Theirs) -> None:
    """Its interfaces and ways out, and under which name we have it, once we have it."""
    place = kernel.look(theirs.path)
    assert (place.links, place.routed, place.pin) == (frozenset({"lo", "eth0"}), (), "")

    reach(kernel, joined(adopted(kernel, theirs)))

    assert kernel.look(theirs.path).pin == NAME
    assert kernel.look(NAME).identity == place.identity
    assert kernel.look(NAME).links == {"lo", "eth0", "eth1"}


def test_what_is_made_is_seen_and_nothing_else(kernel: Kernel, theirs: Theirs) -> None:
    """Their own interface and address are never reported as ours."""
    want = joined(adopted(kernel, theirs))

    assert reach(kernel, want) == state(want)


def test_leaving_gives_it_back_as_it_was(kernel: Kernel, theirs: Theirs) -> None:
    """Links, addresses, routes and tables of it are as before; the namespace lives on."""
    before = theirs.picture()
    space = adopted(kernel, theirs)
    reach(kernel, joined(space))

    reach(kernel, [*NETWORK, space])
    kernel.reap()
    assert theirs.picture() == before
    reach(kernel, joined(space))

    assert reach(kernel, NETWORK) == state(NETWORK)
    kernel.reap()
    assert theirs.picture() == before
    assert kernel.look(theirs.path).pin == ""


def test_a_pin_keeps_it(kernel: Kernel, theirs: Theirs) -> None:
    """Whoever made it may let go of it: our pin holds it with all that is in it."""
    want = joined(adopted(kernel, theirs))
    reach(kernel, want)

    theirs.end()

    with pytest.raises((NotFound, Invalid)):
        kernel.look(theirs.path)
    assert kernel.observe(Scope()) == state(want)


def test_what_is_gone_cannot_be_adopted(kernel: Kernel, theirs: Theirs) -> None:
    """The step is refused, and nothing stays pinned."""
    space = adopted(kernel, theirs)
    theirs.end()

    with pytest.raises(Refused) as refused:
        kernel.apply([Step(None, space)])

    assert refused.value.code == errno.ENOENT
    assert kernel.observe(Scope()) == {}


def test_another_one_in_its_place_is_not_adopted(kernel: Kernel, theirs: Theirs) -> None:
    """A path says little: the identity decides."""
    space = Namespace(NAME, "somebody-else", theirs.path)

    with pytest.raises(Refused) as refused:
        kernel.apply([Step(None, space)])

    assert refused.value.code == errno.ENOENT
    assert kernel.observe(Scope()) == {}


def test_a_lost_pin_is_put_back(kernel: Kernel, theirs: Theirs) -> None:
    """Somebody unmounts our pin while the namespace lives: a repair brings everything back."""
    want = joined(adopted(kernel, theirs))
    reach(kernel, want)
    if isinstance(kernel, LinuxKernel):
        kernel.namespaces.drop(NAME)
    else:
        assert isinstance(kernel, FakeKernel)
        kernel.lose(("netns", NAME))

    assert reach(kernel, want) == state(want)


def test_undoing_every_step_restores(kernel: Kernel, theirs: Theirs) -> None:
    """Steps backwards, each undone, lead back to the start, for them as well."""
    picture = theirs.picture()
    before = reach(kernel, NETWORK)
    steps = diff(state(joined(adopted(kernel, theirs))), before)
    kernel.apply(steps)

    kernel.apply([step.undo() for step in reversed(steps)])
    kernel.reap()

    assert kernel.observe(Scope()) == before
    assert theirs.picture() == picture


@pytest.mark.root
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nowhere/at/all", NotFound),
        ("/proc/self/ns/uts", Invalid),
        ("/etc/passwd", Invalid),
        ("/dev/null", Invalid),
        ("/", Invalid),
        ("/proc/thread-self/ns/net", Invalid),
        ("/proc/4194305/ns/net", NotFound),
        ("/\0", Invalid),
    ],
)
def test_what_is_no_namespace_to_adopt(
    linux: LinuxKernel, path: str, error: type[Exception]
) -> None:
    """Each is refused for what it is, the host's own among them; a pipe does not hang us."""
    with pytest.raises(error):
        linux.look(path)


@pytest.mark.root
def test_a_pipe_is_not_waited_for(linux: LinuxKernel, tmp_path: Path) -> None:
    """A path that blocks when opened is refused without being opened."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(Invalid, match="no network namespace"):
        linux.look(str(tmp_path / "pipe"))
