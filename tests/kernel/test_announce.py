"""Announcing an address: of a bridge that is gone nothing is said, else it is said or told."""

from __future__ import annotations

import errno
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from fairlead.kernel.announce import EVERYBODY
from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.marks import Marks
from fairlead.model.state import HOST, Bridge, Namespace, Scope, Veth
from fairlead.model.step import Announce, Step
from tests.contract.conftest import private_host

pytestmark = pytest.mark.root
__all__ = ["private_host"]

SPACE = Namespace("1-aabbccddee")
BRIDGE = Bridge(SPACE.name, "br0", "02:42:00:00:00:01", 1500)
LATER = Bridge(HOST, "later", "02:42:00:00:00:02", 1500)
ADDRESS, MAC = ip_address("10.0.0.2"), "02:42:00:00:00:03"


@pytest.fixture
def kernel(private_host: None, tmp_path: Path) -> Iterator[LinuxKernel]:
    """A host with a namespace that has a bridge."""
    made = LinuxKernel(tmp_path / "netns", Marks("c0ffee00", "TEST"))
    try:
        made.apply([Step(None, SPACE), Step(None, BRIDGE)])
        yield made
    finally:
        for name in made.namespaces.names():
            made.namespaces.drop(name)
        made.close()


@pytest.mark.parametrize(
    ("namespace", "link"), [("1-0123456789", "br0"), (SPACE.name, "br1")], ids=["space", "link"]
)
def test_what_is_gone_needs_no_word(kernel: LinuxKernel, namespace: str, link: str) -> None:
    """The change is made although nobody is there to be told."""
    kernel.apply([Step(None, LATER, (Announce(namespace, link, ADDRESS, MAC),))])
    assert LATER.key in kernel.observe(Scope())


def test_what_is_down_needs_no_word(kernel: LinuxKernel) -> None:
    """On a bridge that somebody has set down nobody hears anything."""
    down = Bridge(SPACE.name, "br0", BRIDGE.mac, BRIDGE.mtu, up=False)
    kernel.apply([Step(BRIDGE, down, (Announce(SPACE.name, "br0", ADDRESS, MAC),))])
    assert kernel.observe(Scope())[BRIDGE.key] == down


def test_what_cannot_be_said_is_told(kernel: LinuxKernel) -> None:
    """Without a descriptor left the change is refused: what was made of it is known."""
    step = Step(None, LATER, (Announce(SPACE.name, "br0", ADDRESS, MAC),))
    with no_descriptors(), pytest.raises(Refused) as caught:
        kernel.apply([step])
    assert caught.value.code == errno.EMFILE
    assert str(ADDRESS) in caught.value.message
    assert caught.value.applied == (step,)


CABLE = Veth("there", "br0", "sandbox", "eth0", "02:42:00:00:00:04", 1500)


def wired(kernel: LinuxKernel) -> socket.socket:
    """A sandbox on a bridge of the host; a socket that hears what comes to the bridge."""
    bridge = Bridge(HOST, "br0", "02:42:00:00:00:02", 1500)
    steps = [Step(None, item) for item in (Namespace("sandbox"), bridge, CABLE)]
    kernel.apply(steps)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    sock.bind(("br0", 0x0806))
    sock.settimeout(60)
    return sock


def test_a_link_speaks_for_itself(kernel: LinuxKernel) -> None:
    """Once it can be heard: with its own MAC, to everybody, asking for its own address."""
    said = Announce("sandbox", "eth0", ADDRESS, port="there")
    with wired(kernel) as sock:
        while kernel.announce([said]):
            time.sleep(0.01)
        frame = sock.recv(100)
    mac = bytes.fromhex(CABLE.mac.replace(":", ""))
    assert (frame[:6], frame[6:12], frame[20:22]) == (EVERYBODY, mac, b"\0\1")
    assert frame[22:42] == mac + ADDRESS.packed + bytes(6) + ADDRESS.packed


def test_a_port_that_is_closed(kernel: LinuxKernel) -> None:
    """What nobody hears is not said, and comes back."""
    said = Announce("sandbox", "eth0", ADDRESS, port="there")
    with wired(kernel):
        subprocess.run(["ip", "link", "set", "there", "down"], check=True)
        assert kernel.announce([said]) == (said,)


@pytest.mark.parametrize(
    "where", [("elsewhere", "eth0"), ("sandbox", "eth1"), ("sandbox", "lo")], ids=str
)
def test_a_link_that_cannot_speak(kernel: LinuxKernel, where: tuple[str, str]) -> None:
    """Is gone, or has no MAC: of those nothing is said, and nothing is wrong."""
    with wired(kernel):
        assert kernel.announce([Announce(*where, ADDRESS, port="gone")]) == ()


def test_a_link_whose_word_fails(kernel: LinuxKernel) -> None:
    """Is told of."""
    with wired(kernel), no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        kernel.announce([Announce("sandbox", "eth0", ADDRESS)])


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No more files can be opened; those that are open stay."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
