"""Which subnets and addresses are given out, in which order, beside what Docker 28.5.2 gave."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network

import pytest

from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

THIRTY = [
    *(f"172.{i}.0.0/16" for i in range(18, 32)),
    *(f"192.168.{i}.0/20" for i in range(0, 256, 16)),
]
"""What thirty networks got beside docker0, in this order; the next was refused."""
FULL = (
    "failed to set up container networking: no available IPv4 addresses on this network's"
    " address pools: w "
)


@pytest.fixture
def host(traces: Traces, daemon: Daemon) -> Iterator[Daemon]:
    """The daemon, of whose networks nothing is left."""
    yield daemon
    traces.none()


def create(host: Daemon, name: str, **body: object) -> str:
    """Makes a network and returns its first subnet."""
    answer = host.api("POST", "/networks/create", {"Name": name, **body})
    assert answer.status == 201, answer.body
    return subnet(host, name)


def subnet(host: Daemon, name: str) -> str:
    """A network's first subnet."""
    return str(host.api("GET", f"/networks/{name}").json["IPAM"]["Config"][0]["Subnet"])


def test_the_order_of_subnets(host: Daemon) -> None:
    """Docker's thirty, then small ones that overlap nothing; one that is free again is next."""
    given = [create(host, f"q{number}") for number in range(36)]
    assert given[:30] == THIRTY
    more = [IPv4Network(text) for text in given[30:]]
    assert {net.prefixlen for net in more} == {24}
    ranges = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]
    assert all(any(net.subnet_of(r) for r in ranges) for net in more)
    everything = [ip_network(text) for text in ["172.17.0.0/16", *given]]
    for number, net in enumerate(everything):
        assert not any(net.overlaps(other) for other in everything[:number])
    host.docker("network", "rm", "q3")
    assert create(host, "again") == "172.21.0.0/16"
    host.docker("run", "-d", "--name", "aa", "--network", "q35", "busybox", "sleep", "1000000")
    said = host.docker("exec", "aa", "ip", "route").stdout
    assert f"default via {more[-1].network_address + 1}" in said


def test_what_the_host_uses_is_not_given(host: Daemon, neighbour: Machine) -> None:
    """Not what any table routes, nor where a name server is; what a user asks for is theirs."""
    machine = host.machine
    machine.shell(f"ip route add 172.18.7.0/24 via {neighbour.address} table 100")
    machine.shell("ip route add blackhole 172.19.0.0/20")
    resolv = machine.path("/etc/resolv.conf")
    before = resolv.read_text()
    resolv.write_text(before + "nameserver 172.20.0.53\n")
    try:
        assert create(host, "auto") == "172.21.0.0/16"
        pool = {"IPAM": {"Config": [{"Subnet": "172.18.7.0/24"}]}}
        assert create(host, "mine", **pool) == "172.18.7.0/24"
    finally:
        resolv.write_text(before)
        machine.shell("ip route del 172.18.7.0/24 table 100; ip route del blackhole 172.19.0.0/20")


@pytest.mark.parametrize("program", ["docker", "fairlead"])
def test_any_subnet_of_a_size(host: Daemon, program: str) -> None:
    """--subnet 0.0.0.0/24 and ::/80 are the lowest that are free."""
    run = getattr(host, program)
    for name in ("one", "two"):
        run("network", "create", "--subnet", "0.0.0.0/24", name)
    run("network", "create", "--ipv6", "--subnet", "0.0.0.0/28", "--subnet", "::/80", "six")
    assert [subnet(host, name) for name in ("one", "two")] == ["172.18.0.0/24", "172.18.1.0/24"]
    four, six = host.api("GET", "/networks/six").json["IPAM"]["Config"]
    assert four["Subnet"] == "172.18.2.0/28"
    found = ip_network(six["Subnet"])
    assert (found.version, found.prefixlen) == (6, 80)
    assert six["Subnet"].startswith("fd")


def run(host: Daemon, name: str) -> str:
    """Runs a container on `w`; its address, or why there is none."""
    body = {"Image": "busybox", "Cmd": ["sleep", "9999"], "HostConfig": {"NetworkMode": "w"}}
    assert host.api("POST", f"/containers/create?name={name}", body).status == 201
    return start(host, name)


def start(host: Daemon, name: str) -> str:
    """Starts a container; its address, or why there is none."""
    answer = host.api("POST", f"/containers/{name}/start")
    if answer.status != 204:
        assert answer.status == 500
        return str(answer.json["message"])
    return address(host, name)


def address(host: Daemon, name: str) -> str:
    """A container's address on `w`."""
    found = host.api("GET", f"/containers/{name}/json").json["NetworkSettings"]["Networks"]["w"]
    return str(found["IPAddress"])


def test_the_order_of_addresses(host: Daemon) -> None:
    """A /29: the lowest that is free, kept over a restart; then full."""
    create(host, "w", IPAM={"Config": [{"Subnet": "172.31.9.0/29"}]})
    assert [run(host, name) for name in ("aa", "bb", "cc")] == [
        "172.31.9.2",
        "172.31.9.3",
        "172.31.9.4",
    ]
    host.docker("rm", "-f", "bb")
    assert [run(host, name) for name in ("dd", "ee")] == ["172.31.9.3", "172.31.9.5"]
    host.docker("restart", "-t", "0", "aa")
    assert address(host, "aa") == "172.31.9.2"
    assert run(host, "ff") == "172.31.9.6"
    assert run(host, "gg").startswith(FULL)
    host.docker("stop", "-t", "0", "cc")
    assert run(host, "hh") == "172.31.9.4"
    assert start(host, "cc").startswith(FULL)
