"""What the kernel tells of a network's own namespace, which listening does not keep alive."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from fairlead.kernel.ears import Ears
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.facts import Hint
from fairlead.model.marks import Marks
from fairlead.model.network import span
from fairlead.model.state import HOST, Address, Bridge, Namespace, Neighbour, Scope, Veth
from fairlead.model.step import Step
from fairlead.model.tunnel import Fdb, Vxlan
from tests.contract.conftest import private_host

pytestmark = pytest.mark.root
__all__ = ["private_host"]

SPACE = span("aabbccddeeff")
THERE, MAC = ip_address("192.0.2.3"), "02:42:00:00:00:09"
NETWORK = (
    Namespace(SPACE),
    Bridge(SPACE, "br0", "02:42:00:00:00:01", 1450),
    Vxlan(SPACE, "vxlan0", "br0", 300, ip_address("192.0.2.2"), 1450),
    Neighbour(SPACE, "vxlan0", ip_address("10.0.0.9"), MAC),
    Fdb(SPACE, "vxlan0", MAC, THERE),
    Address(SPACE, "br0", ip_interface("10.0.0.1/24")),
)


@pytest.fixture
def kernel(private_host: None, tmp_path: Path) -> Iterator[LinuxKernel]:
    """An empty host."""
    made = LinuxKernel(tmp_path / "netns", Marks("c0ffee00", "TEST"))
    try:
        yield made
    finally:
        for name in made.namespaces.names():
            made.namespaces.drop(name)
        made.close()


def make(kernel: LinuxKernel) -> None:
    kernel.apply([Step(None, item) for item in NETWORK])


def inside(kernel: LinuxKernel, command: str) -> None:
    where = kernel.namespaces.path(SPACE)
    subprocess.run(["nsenter", f"--net={where}", "sh", "-euc", command], check=True)


def soon(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("command", "kind", "name"),
    [
        ("ip link del br0", "link", "br0"),
        ("ip link set br0 down", "link", "br0"),
        ("ip link set vxlan0 nomaster", "link", "vxlan0"),
        ("ip link del vxlan0", "link", "vxlan0"),
        ("ip addr del 10.0.0.1/24 dev br0", "address", "10.0.0.1"),
        ("ip neigh del 10.0.0.9 dev vxlan0", "neighbour", "10.0.0.9"),
        (f"bridge fdb del {MAC} dev vxlan0 self dst {THERE}", "neighbour", MAC),
    ],
)
def test_what_is_told(kernel: LinuxKernel, command: str, kind: str, name: str, when: str) -> None:
    """Whether the network was there before anybody listened or came later."""
    ears: Ears | None = None
    if when == "before":
        make(kernel)
        ears = kernel.ears()
    else:
        ears = kernel.ears()
        make(kernel)
    heard: list[Hint] = []

    def told() -> bool:
        heard.extend(ears.read())
        return any((h.kind, h.name, h.space) == (kind, name, SPACE) for h in heard)

    ears.read()
    inside(kernel, command)
    soon(told)
    ears.close()


def test_it_is_not_kept_alive(kernel: LinuxKernel) -> None:
    """Let go of, it takes along what is in it; its tunnel's number can be had at once."""
    ears = kernel.ears()
    make(kernel)
    cable = Veth("near", "", SPACE, "far", "02:42:00:00:00:05", 1450)
    kernel.apply([Step(None, cable)])
    kernel.apply([Step(NETWORK[0], None)])
    soon(lambda: cable.key not in kernel.observe(Scope()))
    make(kernel)
    ears.close()


def test_one_that_somebody_unpins_is_made_anew(kernel: LinuxKernel) -> None:
    """Though it lives on for who listens, another can take its names and its tunnel's number."""
    ears = kernel.ears()
    make(kernel)
    box = Namespace("aaaaaaaaaaaa")
    cable = Veth("veth1", "br0", box.name, "eth0", "02:42:00:00:00:05", 1450, namespace=SPACE)
    kernel.apply([Step(None, box), Step(None, cable)])
    subprocess.run(["umount", kernel.namespaces.path(SPACE)], check=True)
    make(kernel)
    kernel.apply([Step(None, cable)])
    have = kernel.observe(Scope())
    assert {item.key for item in (*NETWORK, cable)} <= have.keys()
    inside(kernel, "ip link del br0")
    soon(lambda: Hint("link", "br0", loose=True, space=SPACE) in ears.read())
    ears.close()


def test_who_has_stopped_listening_is_told_nothing(kernel: LinuxKernel) -> None:
    """Networks come and go as ever."""
    ears = kernel.ears()
    ears.close()
    make(kernel)
    assert ears.read() == []
    kernel.apply([Step(NETWORK[0], None)])
    assert not any(key[1] != HOST for key in kernel.observe(Scope()))
