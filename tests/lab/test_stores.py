"""The servers of stores: they serve in a machine and beside it, and keep what they hold."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from urllib.request import Request, urlopen

import pytest

from tests.lab import Switch
from tests.lab.stores import Server, consul, etcd, zookeeper

pytestmark = pytest.mark.root

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
Starter = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def alone() -> Iterator[None]:
    """The test's thread in a network namespace of its own."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert _libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    yield
    _libc.setns(home, CLONE_NEWNET)
    os.close(home)


@pytest.mark.parametrize("starter", [etcd, zookeeper, consul])
def test_a_server_serves_in_a_machine(switch: Switch, starter: Starter) -> None:
    """A neighbour reaches it at the address in its URL, and not once it is stopped."""
    with starter(switch.machine("store")) as server:
        neighbour = switch.machine("neighbour")
        host, _, port = server.url.partition("://")[2].partition(":")
        reach = ["busybox", "nc", "-w", "5", host, port]  # it has nothing to say
        neighbour.run(reach)
        server.stop()
        assert neighbour.run(reach, check=False).returncode != 0
        server.start()
        neighbour.run(reach)


def test_a_server_without_a_machine_keeps_what_it_holds(alone: None) -> None:
    """It is where the caller is, and forgets nothing when it is killed."""
    with etcd() as server:
        key = f"{server.url.replace('etcd', 'http')}/v2/keys/a"
        urlopen(Request(key, data=b"value=x", method="PUT"), timeout=30).close()
        server.kill()
        server.start()
        with urlopen(key, timeout=30) as said:
            assert json.load(said)["node"]["value"] == "x"
