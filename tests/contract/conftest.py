"""Two kernels for one suite: the fake one everywhere, Linux in a namespace of its own if root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.port import Kernel
from fairlead.model.iptables import Policy
from fairlead.model.marks import Marks
from fairlead.model.state import HOST, Sysctl, state

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

MARKS = Marks("c0ffee00", "TEST")


@pytest.fixture
def private_host() -> Iterator[None]:
    """The test's thread in a network namespace of its own."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if _libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    try:
        yield
    finally:
        _libc.setns(home, CLONE_NEWNET)
        os.close(home)


@pytest.fixture
def linux(private_host: None, tmp_path: Path) -> Iterator[LinuxKernel]:
    """Linux, as seen from an empty machine."""
    kernel = LinuxKernel(tmp_path / "netns", MARKS)
    try:
        yield kernel
    finally:
        for name in kernel.namespaces.names():
            kernel.namespaces.drop(name)
        kernel.close()


def fake() -> FakeKernel:
    """The fake, with the settings that a fresh machine has."""
    return FakeKernel(
        state(
            [
                Sysctl(HOST, "net/ipv4/ip_forward", "0"),
                Policy("ip", "filter", "FORWARD", "ACCEPT"),
            ]
        )
    )


@pytest.fixture(params=["fake", pytest.param("linux", marks=pytest.mark.root)])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Either kernel: what passes on one must pass on the other."""
    if request.param == "fake":
        return fake()
    found: LinuxKernel = request.getfixturevalue("linux")
    return found
