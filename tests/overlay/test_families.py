"""IPv6 inside an overlay, and hosts that reach each other by IPv6 only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

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


def six_of(host: Host, name: str, network: str = "ov6") -> str:
    """The IPv6 address of a container on a network."""
    form = f'{{{{(index .NetworkSettings.Networks "{network}").GlobalIPv6Address}}}}'
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


WIDE = ("10.71.0.0/24", "10.72.0.0/24", "fd00:71::/64", "fd00:72::/64")


@dataclass(frozen=True)
class Wide:
    """A network of two subnets of each family: a container on either subnet, on either host."""

    hosts: tuple[Host, Host]
    placed: dict[str, Host]

    def addresses(self, name: str) -> tuple[str, str]:
        """Those of a container, IPv4 and IPv6."""
        host = self.placed[name]
        return host.address(name, "wide"), six_of(host, name, "wide")


@pytest.fixture(scope="module")
def wide(hosts: tuple[Host, Host]) -> Wide:
    """The network, which the hosts themselves are on as well."""
    one, two = hosts
    subnets = [word for subnet in WIDE for word in ("--subnet", subnet)]
    options = ("-o", "fairlead.host_access=true", "--ipv6", *subnets)
    one.docker("network", "create", "-d", "overlay", *options, "wide")
    eventually(lambda: "wide" in two.networks())
    placed = {}
    for number, host in enumerate(hosts, 1):
        for subnet in (1, 2):
            name = f"w{subnet}-{number}"
            host.run(name, "wide", "--ip", f"10.7{subnet}.0.{100 + number}")
            placed[name] = host
    return Wide(hosts, placed)


def test_subnets_of_a_network_reach_each_other(wide: Wide) -> None:
    """On one host and across, in both families; whoever has a route is answered by name, too."""
    targets = {name: wide.addresses(name) for name in wide.placed}
    for name, (four, six) in targets.items():
        subnet = name[1]
        assert four.startswith(f"10.7{subnet}.")
        assert six.startswith(f"fd00:7{subnet}:")
    for name, host in wide.placed.items():
        for target, addresses in targets.items():
            for address in addresses:
                assert target == name or host.pings(name, address), (name, address)
    assert wide.placed["w1-1"].pings("w1-1", "w2-2")


def test_hosts_reach_all_subnets(wide: Wide) -> None:
    """A host with access is on one of them, and has a route to the others."""
    for host in wide.hosts:
        for name in wide.placed:
            for address in wide.addresses(name):
                words = ["busybox", "ping", "-c", "1", "-W", "2", address]
                eventually(
                    lambda host=host, words=words: (  # type: ignore[misc]
                        host.machine.run(words, check=False).returncode == 0
                    )
                )


def test_addresses_of_two_segments(wide: Wide) -> None:
    """What is asked of one endpoint has to be on one segment."""
    words = ("run", "--rm", "--net", "wide", "--ip", "10.71.0.200", "--ip6", "fd00:72::200")
    said = wide.hosts[0].docker(*words, "busybox", "true", check=False)
    assert "10.71.0.200 and fd00:72::200 are in subnets of different segments" in said
    other = ("run", "--rm", "--net", "wide", "--ip6", "fd00:72::201", "busybox", "hostname", "-i")
    assert "10.72.0." in wide.hosts[0].docker(*other)
