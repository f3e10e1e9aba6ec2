"""Tables of routes that only packets from some addresses go by."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.port import Kernel
from fairlead.model.lookup import TABLES, Lookup
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Namespace,
    Resource,
    Route,
    Scope,
    Sysctl,
    Veth,
    state,
)
from fairlead.plan.diff import diff

BOX, INSIDE, TABLE = "box", "eth1", TABLES + 2
on = Sysctl(BOX, f"net/ipv6/conf/{INSIDE}/disable_ipv6", "0", INSIDE)
cable = Veth("vethb", "br-one", BOX, INSIDE, "02:42:0a:09:00:02", 1500)
addresses = [Address(BOX, INSIDE, ip_interface(a)) for a in ("10.9.0.2/24", "fd09::2/64")]
main = [
    Route(BOX, ip_network("0.0.0.0/0"), ip_address("10.9.0.1"), INSIDE),
    Route(BOX, ip_network("::/0"), ip_address("fd09::1"), INSIDE),
]
apart: list[Resource] = [
    Route(BOX, ip_network("10.9.0.0/24"), None, INSIDE, table=TABLE),
    Route(BOX, ip_network("0.0.0.0/0"), ip_address("10.9.0.254"), INSIDE, table=TABLE),
    Route(BOX, ip_network("fd09::/64"), None, INSIDE, table=TABLE),
    Route(BOX, ip_network("fe80::/64"), None, INSIDE, table=TABLE),
    Route(BOX, ip_network("::/0"), ip_address("fd09::fe"), INSIDE, table=TABLE),
    Lookup(BOX, ip_address("10.9.0.2"), TABLE, INSIDE),
    Lookup(BOX, ip_address("fd09::2"), TABLE, INSIDE),
]
BASE: list[Resource] = [
    Namespace(BOX), Bridge(HOST, "br-one", "02:42:0a:09:00:01", 1500), on, cable, *addresses, *main,
]  # fmt: skip
SEEN = Scope(settings=frozenset({on.key}))


def reach(kernel: Kernel, *wanted: Resource) -> None:
    """Make it so, and see that it is."""
    want = state([*BASE, *wanted])
    kernel.apply(diff(want, kernel.observe(SEEN)))
    have = kernel.observe(SEEN)
    assert {key: r for key, r in have.items() if key[1] != HOST or key == cable.key} == {
        key: r for key, r in want.items() if key[1] != HOST or key == cable.key
    }
    assert diff(want, have) == ()


def test_they_come_and_go(kernel: Kernel) -> None:
    """Beside the main table, which stays as it is; some of them are gone when the others stay."""
    reach(kernel, *apart)
    reach(kernel, *apart[:2], apart[5])
    reach(kernel)


def test_another_table(kernel: Kernel) -> None:
    """An address goes by one table at a time."""
    reach(kernel, *apart)
    moved = Lookup(BOX, ip_address("10.9.0.2"), TABLE + 1, INSIDE)
    reach(kernel, *(item for item in apart if item.key != moved.key), moved)


def test_their_link_is_made_anew(kernel: Kernel) -> None:
    """With it go the routes, and not what leads to them: all is there again."""
    reach(kernel, *apart)
    want = state([*BASE, *apart])
    gone = {
        key: r for key, r in want.items() if key != cable.key and cable.provides[0] not in r.needs
    }
    kernel.apply(diff(gone, kernel.observe(SEEN)))
    kernel.reap()
    reach(kernel, *apart)


@pytest.mark.root
def test_packets_go_by_them(linux: LinuxKernel) -> None:
    """Those from the address; what has none yet goes by the main table."""
    reach(linux, *apart)
    for family, there, source, via in (
        ("-4", "198.51.100.1", "10.9.0.2", "10.9.0.254"),
        ("-6", "2001:db8::1", "fd09::2", "fd09::fe"),
    ):
        with linux.namespaces.entered(BOX):
            words = ["ip", family, "route", "get", there]
            usual = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            own = subprocess.run(
                [*words, "from", source], check=True, capture_output=True, text=True
            ).stdout
        assert f"via {via} " in own
        assert f"via {via} " not in usual


@pytest.mark.root
def test_those_of_others_are_not_seen(linux: LinuxKernel) -> None:
    """A container may have rules and tables of its own."""
    reach(linux, *apart)
    with linux.namespaces.entered(BOX):
        for words in ("rule add from 10.9.0.2 lookup 100", "route add default dev eth1 table 100"):
            subprocess.run(["ip", *words.split()], check=True)
    reach(linux)
    with linux.namespaces.entered(BOX):
        left = subprocess.run(["ip", "rule"], check=True, capture_output=True, text=True).stdout
    assert "from 10.9.0.2 lookup 100" in left
    assert str(TABLE) not in left
