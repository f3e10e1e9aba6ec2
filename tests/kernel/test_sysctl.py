"""Settings of namespaces: each thread's own, and quickly found among many."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

import pytest

from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.sysctl import MOST_USES, Procfs, read_sysctl, write_sysctl
from fairlead.model.state import Bridge, Namespace
from fairlead.model.step import Step
from tests.contract.conftest import CLONE_NEWNET, linux, private_host  # noqa: F401

pytestmark = pytest.mark.root

NAME = "net/ipv4/ip_default_ttl"


def test_it_is_the_namespace_of_the_thread(private_host: None) -> None:  # noqa: F811
    """What one thread sets in its namespace another in another does not see."""
    here = read_sysctl(NAME)
    elsewhere: list[str] = []

    def leave() -> None:
        ctypes.CDLL(None).unshare(CLONE_NEWNET)
        write_sysctl(NAME, str(int(here) - 7))
        elsewhere.append(read_sysctl(NAME))

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()

    assert elsewhere == [str(int(here) - 7)]
    assert read_sysctl(NAME) == Path("/proc/sys", NAME).read_text().strip() == here


def test_what_is_not_there_is_not_found(private_host: None) -> None:  # noqa: F811
    """In the words of the file system."""
    with pytest.raises(FileNotFoundError):
        read_sysctl("net/ipv4/conf/nobody/forwarding")
    with pytest.raises(OSError, match="Invalid argument"):
        write_sysctl(NAME, "1000000")


def test_no_descriptor_is_left(private_host: None) -> None:  # noqa: F811
    """However often the folder is another."""
    read_sysctl(NAME)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3 * MOST_USES):
        read_sysctl(NAME)
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_no_procfs_may_be_mounted(private_host: None) -> None:  # noqa: F811
    """The usual one is taken."""
    fd = Procfs(fsopen=-1).open(f"sys/{NAME}", os.O_RDONLY)
    with open(fd, encoding="utf-8") as file:
        assert file.read().strip() == read_sysctl(NAME)


@pytest.mark.skipif(
    not Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists(),
    reason="nothing asks rules of what crosses a bridge: br_netfilter is not loaded",
)
def test_bridges_of_our_namespaces_ask_no_rules(linux: LinuxKernel) -> None:  # noqa: F811
    """Those of the host are as they were."""
    switch = "net/bridge/bridge-nf-call-iptables"
    before = read_sysctl(switch)
    linux.apply(
        [
            Step(None, Namespace("1-0123456789")),
            Step(None, Bridge("1-0123456789", "br0", "02:42:0a:0a:00:01", 1450)),
        ]
    )
    with linux.namespaces.entered("1-0123456789"):
        assert read_sysctl(switch) == "0"
    assert read_sysctl(switch) == before == "1"
