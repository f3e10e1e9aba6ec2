"""IPv6 inside an overlay, and hosts that reach each other by IPv6 only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lab import Machine, Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import Host, eventually

pytestmark = pytest.mark.root


def six(machine: Machine, number: int) -> str:
    """Gives a machine an address of the segment's IPv6 network."""
    address = f"2001:db8:7::{number}"
    machine.shell(
        f"sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 net.ipv6.conf.eth0.accept_dad=0\n"
        f"ip address add {address}/64 dev eth0 nodad"
    )
    return address


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts that advertise IPv6 addresses."""
    with Switch() as switch, ExitStack() as stack:
        store = switch.machine("store")
        server = stack.enter_context(etcd(store))
        found = []
        for number, name in enumerate(("one", "two"), 1):
            host = Host(switch.machine(name))
            told = six(host.machine, number)
            host.up(
                stack,
                f"--cluster-store={server.url}",
                f"--cluster-advertise=[{told}]:2376",
            )
            found.append(host)
        one, two = found
        one.docker("network", "create", "-d", "overlay", "--ipv6", "--subnet", "10.7.0.0/24",
                   "--subnet", "fd00:7::/64", "ov6")  # fmt: skip
        eventually(lambda: "ov6" in two.networks())
        yield one, two


def six_of(host: Host, name: str) -> str:
    """The IPv6 address of a container on that network."""
    form = '{{(index .NetworkSettings.Networks "ov6").GlobalIPv6Address}}'
    return host.docker("inspect", "-f", form, name)


def test_both_families_cross_a_tunnel_over_ipv6(hosts: tuple[Host, Host]) -> None:
    """Neighbours are answered for on the spot in both; names have AAAA."""
    one, two = hosts
    first, second = one.run("web", "ov6"), two.run("db", "ov6")

    assert one.pings("web", second)
    assert two.pings("db", first)
    assert one.pings("web", six_of(two, "db"))
    assert two.pings("db", six_of(one, "web"))
    assert six_of(two, "db") in one.docker("exec", "web", "nslookup", "-type=aaaa", "db")


def test_packets_of_full_size_pass_whole(hosts: tuple[Host, Host]) -> None:
    """70 bytes are left to VXLAN over IPv6: what fits the interface fits the way."""
    one, two = hosts
    mtu = int(one.docker("exec", "web", "cat", "/sys/class/net/eth0/mtu"))
    assert mtu == 1430
    target = two.address("db", "ov6")
    done = one.daemon.docker(
        "exec", "web", "ping", "-c", "1", "-W", "2", "-s", str(mtu - 28), target, check=False
    )
    assert done.returncode == 0, done.stdout
