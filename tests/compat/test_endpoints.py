"""What a container may ask of its place in a network, with `connect` and with `run`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.docker.lan import Lan
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

BOTH = "--ipv6 --subnet 10.6.0.0/24 --subnet fd00:6::/64"
SYSCTLS = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1"


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A network `red` of both families, and no trace of it after the test."""
    made = Lan(daemon, neighbour)
    made.create("red", BOTH)
    yield made
    traces.none()


@pytest.mark.parametrize("program", ["docker", "fairlead"])
def test_everything_that_connect_takes(lan: Lan, program: str) -> None:
    """Addresses of both families, link-local ones, names, a link, options, and a priority."""
    lan.run("db", "--network red")
    lan.run("aa")
    words = (
        "network connect --ip 10.6.0.77 --ip6 fd00:6::77 --link-local-ip 169.254.9.9"
        " --link-local-ip fe80::77 --alias nick --alias nack --link db:store"
        f" --driver-opt {SYSCTLS} --driver-opt com.docker.network.endpoint.ifname=lan7"
        " --gw-priority 3 red aa"
    )
    getattr(lan.daemon, program)(*words.split())
    shown = lan.inside("aa", "ip addr show lan7")
    for address in ("10.6.0.77/24", "fd00:6::77/64", "169.254.9.9/", "fe80::77/"):
        assert address in shown
    assert lan.inside("aa", "cat /proc/sys/net/ipv4/conf/lan7/log_martians") == "1\n"
    assert "default via 10.6.0.1 dev lan7" in lan.inside("aa", "ip route")
    for name in ("nick", "nack", "aa"):
        assert lan.reaches("db", name)
    assert lan.reaches("aa", "store")
    assert lan.daemon.docker("exec", "db", "nslookup", "store", check=False).returncode != 0
    endpoint = lan.endpoints("aa")["red"]
    assert endpoint["IPAMConfig"] == {
        "IPv4Address": "10.6.0.77",
        "IPv6Address": "fd00:6::77",
        "LinkLocalIPs": ["169.254.9.9", "fe80::77"],
    }
    assert endpoint["Links"] == ["db:store"]
    assert endpoint["Aliases"] == ["nick", "nack"]
    assert endpoint["GwPriority"] == 3
    assert endpoint["DriverOpts"]["com.docker.network.endpoint.ifname"] == "lan7"


@pytest.mark.parametrize("program", ["docker", "fairlead"])
def test_several_networks_at_once(lan: Lan, program: str) -> None:
    """`run` with two networks in long form: each with its address, MAC, name and options."""
    lan.create("blue", "--subnet 10.7.0.0/24")
    run = getattr(lan.daemon, program)
    run(
        *("run", "-d", "--name", "aa"),
        *(
            "--network",
            "name=red,ip=10.6.0.5,ip6=fd00:6::5,alias=one,mac-address=02:00:00:00:00:05",
        ),
        *("--network", f'name=blue,alias=two,gw-priority=1,"driver-opt={SYSCTLS}"'),
        *("busybox", "sleep", "1000000"),
    )
    first, second = (lan.inside("aa", f"ip addr show eth{n}") for n in (0, 1))
    assert "02:00:00:00:00:05" in first
    assert "inet 10.6.0.5/24" in first
    assert "inet6 fd00:6::5/64" in first
    assert "inet 10.7.0.2/24" in second
    assert lan.inside("aa", "cat /proc/sys/net/ipv4/conf/eth1/log_martians") == "1\n"
    assert "default via 10.7.0.1 dev eth1" in lan.inside("aa", "ip route")
    assert "default via fd00:6::1 dev eth0" in lan.inside("aa", "ip -6 route")
    lan.run("bb", "--network red")
    assert lan.reaches("bb", "one")
    assert not lan.reaches("bb", "two")


@pytest.mark.parametrize("program", ["docker", "fairlead"])
def test_disconnect_takes_it_all_away(lan: Lan, program: str) -> None:
    """Interface, names and lines of hosts go; who was on no other network has none."""
    lan.run("aa", "--network red --network-alias nick")
    lan.run("bb", "--network red")
    assert lan.reaches("bb", "nick")
    run = getattr(lan.daemon, program)
    run("network", "disconnect", "red", "aa")
    assert lan.inside("aa", "ls /sys/class/net").split() == ["lo"]
    assert "10.6.0." not in lan.inside("aa", "cat /etc/hosts")
    assert "fd00:6::" not in lan.inside("aa", "cat /etc/hosts")
    assert not lan.reaches("bb", "nick")
    assert lan.endpoints("aa") == {}
    said = run("network", "disconnect", "red", "aa", check=False)
    assert said.returncode == 1
    assert "is not connected to network red" in said.stderr
    run("network", "connect", "red", "aa")
    assert lan.reaches("bb", "aa")


@pytest.mark.parametrize("program", ["docker", "fairlead"])
def test_disconnect_by_force(lan: Lan, program: str) -> None:
    """-f does the same; of a container that is not there it says which endpoint is not."""
    lan.run("aa", "--network red")
    run = getattr(lan.daemon, program)
    run("network", "disconnect", "-f", "red", "aa")
    assert lan.endpoints("aa") == {}
    said = run("network", "disconnect", "-f", "red", "nosuch", check=False)
    assert (said.returncode, "endpoint nosuch not found" in said.stderr) == (1, True)


def test_without_ipv6_there_is_none(lan: Lan) -> None:
    """On a network of IPv4 an interface has no IPv6 address, but the loopback has its own."""
    lan.create("four")
    lan.run("aa", "--network four")
    assert "inet6" not in lan.inside("aa", "ip addr show eth0")
    assert lan.inside("aa", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1\n"
    assert "inet6 ::1/128" in lan.inside("aa", "ip addr show lo")


def test_interface_names(lan: Lan) -> None:
    """The lowest free number of the network's prefix; a name that is taken is refused."""
    lan.create("blue", "-o com.docker.network.container_iface_prefix=wan")
    lan.run("aa", "--network red")
    for network in ("blue", "bridge"):
        lan.docker("network", "connect", network, "aa")
    assert set(lan.inside("aa", "ls /sys/class/net").split()) == {"lo", "eth0", "wan0", "eth1"}
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("network", "connect", "red", "aa")
    assert "eth0" in lan.inside("aa", "ls /sys/class/net").split()
    lan.docker("network", "disconnect", "red", "aa")
    option = "com.docker.network.endpoint.ifname=wan0"
    words = ("network", "connect", "--driver-opt", option, "red", "aa")
    assert lan.daemon.docker(*words, check=False).returncode == 1
    assert set(lan.inside("aa", "ls /sys/class/net").split()) == {"lo", "wan0", "eth1"}


def test_a_container_knows_its_sandbox(lan: Lan) -> None:
    """SandboxKey is the path of its namespace, named by the first twelve of SandboxID."""
    lan.run("aa", "--network red")
    shown = lan.daemon.api("GET", "/containers/aa/json").json["NetworkSettings"]
    assert shown["SandboxKey"].rpartition("/")[2] == shown["SandboxID"][:12]
    said = lan.host.run(["nsenter", f"--net={shown['SandboxKey']}", "ip", "-j", "addr"]).stdout
    assert {"lo", "eth0"} == {link["ifname"] for link in json.loads(said)}


def test_a_mac_address_at_connect(lan: Lan) -> None:
    """It is the interface's, whatever Docker did with it before API 1.54."""
    lan.run("aa")
    settings = {"MacAddress": "02:00:00:00:00:77"}
    body = {"Container": "aa", "EndpointConfig": settings}
    assert lan.daemon.api("POST", "/networks/red/connect", body).status == 200
    assert "02:00:00:00:00:77" in lan.inside("aa", "ip link show eth1")
    assert lan.endpoints("aa")["red"]["MacAddress"] == "02:00:00:00:00:77"


def test_a_restart_keeps_address_and_mac(lan: Lan) -> None:
    """Endpoint and sandbox are new; what others know of the container is not."""
    lan.run("first", "--network red")
    lan.run("aa", "--network red")
    before = lan.endpoints("aa")["red"]
    lan.docker("restart", "-t", "0", "aa")
    after = lan.endpoints("aa")["red"]
    assert before["EndpointID"] != after["EndpointID"]
    for key in ("IPAddress", "GlobalIPv6Address", "MacAddress"):
        assert before[key] == after[key]


def test_events_of_networks(lan: Lan) -> None:
    """create, connect, disconnect, destroy and prune, with name, type and container."""
    since = f"{time.time():.3f}"
    lan.create("gone")
    lan.run("aa", "--network red")
    lan.docker("network", "connect", "gone", "aa")
    lan.docker("network", "disconnect", "gone", "aa")
    lan.docker("network", "rm", "gone")
    lan.docker("network", "prune", "-f")
    words = ("events", "--since", since, "--until", f"{time.time() + 0.1:.3f}")
    kind = ("--filter", "type=network", "--format", "{{json .}}")
    told = [json.loads(line) for line in lan.docker(*words, *kind).splitlines()]
    ids = {"red": lan.network("red")["Id"]}
    container = lan.daemon.api("GET", "/containers/aa/json").json["Id"]
    made = told[0]["Actor"]
    assert [(e["Action"], e["Actor"]["Attributes"].get("name")) for e in told] == [
        ("create", "gone"),
        ("connect", "red"),
        ("connect", "gone"),
        ("disconnect", "gone"),
        ("destroy", "gone"),
        ("prune", None),
    ]
    assert made["Attributes"] == {"name": "gone", "type": "bridge"}
    assert told[1]["Actor"] == {
        "ID": ids["red"],
        "Attributes": {"name": "red", "type": "bridge", "container": container},
    }
    assert told[-1]["Actor"]["Attributes"] == {"reclaimed": "0"}
