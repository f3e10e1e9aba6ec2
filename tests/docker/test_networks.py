"""Networks: who reaches whom, which addresses they get, and how networks come and go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy
from tests.lab import CommandFailed, Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """A clean start for each test, and no trace after it."""
    yield Lan(daemon, neighbour)
    traces.none()


def test_who_reaches_whom(lan: Lan) -> None:
    """Containers of one network reach each other; those of different networks never do."""
    lan.create("red")
    lan.create("blue")
    homes = {"bridge": ("aa", "bb"), "red": ("cc", "dd"), "blue": ("ee", "ff")}
    place = {name: network for network, names in homes.items() for name in names}
    for name, network in place.items():
        lan.run(name, f"--network {network}")
    address = {name: lan.address(name, network) for name, network in place.items()}
    for one in ("aa", "cc", "ee"):
        friends = {address[other] for other in place if place[other] == place[one]}
        assert lan.answers(one, list(address.values())) == friends


def test_isolation_holds_for_each_direction_of_tcp(lan: Lan) -> None:
    """A server on another network is not reached at its own address, whoever asks."""
    lan.create("red")
    lan.serve("web", "tcp:80", "--network red")
    lan.tools("asker", "--network bridge")
    assert lan.ask("asker", "tcp", lan.address("web", "red"), 80) in ("timeout", "refused")
    assert lan.ask("web", "tcp", "127.0.0.1", 80).endswith("web")


def test_gateways_of_other_networks_are_the_host(lan: Lan) -> None:
    """The host's own services are reached at its address, as on any Docker host."""
    lan.create("red")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", str(lan.host.address))
    assert lan.reaches("aa", str(lan.neighbour.address))


def test_an_internal_network(lan: Lan) -> None:
    """Its containers reach each other and nothing else; nobody reaches them."""
    lan.create("deep", "--internal")
    lan.run("aa", "--network deep")
    lan.run("bb", "--network deep")
    lan.run("out")
    assert "default" not in lan.inside("aa", "ip route")
    assert lan.reaches("aa", "bb")
    assert not lan.reaches("aa", str(lan.neighbour.address))
    assert not lan.reaches("aa", lan.address("out", "bridge"))
    assert not lan.reaches("out", lan.address("aa", "deep"))


def test_without_communication(lan: Lan) -> None:
    """With enable_icc=false containers of one network do not reach each other, but the outside."""
    lan.create("strict", "-o com.docker.network.bridge.enable_icc=false")
    lan.run("aa", "--network strict")
    lan.run("bb", "--network strict")
    assert not lan.reaches("aa", lan.address("bb", "strict"))
    assert lan.reaches("aa", str(lan.neighbour.address))


def test_without_masquerade(lan: Lan) -> None:
    """With enable_ip_masquerade=false the outside sees the container's own address."""
    lan.create("plain", "-o com.docker.network.bridge.enable_ip_masquerade=false")
    lan.tools("aa", "--network plain")
    seen = lan.seen_by_neighbour("aa")
    assert seen == lan.address("aa", "plain")


def test_masquerade(lan: Lan) -> None:
    """Otherwise it sees the host's."""
    lan.create("usual")
    lan.tools("aa", "--network usual")
    assert lan.seen_by_neighbour("aa") == str(lan.host.address)


def test_a_source_address_of_choice(lan: Lan) -> None:
    """com.docker.network.host_ipv4 is the address the outside sees."""
    lan.host.shell("ip addr add 192.0.2.100/24 dev eth0")
    try:
        lan.create("snat", "-o com.docker.network.host_ipv4=192.0.2.100")
        lan.tools("aa", "--network snat")
        assert lan.seen_by_neighbour("aa") == "192.0.2.100"
        tidy(lan.daemon)
    finally:
        lan.host.shell("ip addr del 192.0.2.100/24 dev eth0")


def test_an_address_of_choice(lan: Lan) -> None:
    """--ip gives that address, again after each restart; nobody else gets it meanwhile."""
    lan.create("red", "--subnet 10.5.0.0/24")
    lan.run("aa", "--network red --ip 10.5.0.2")
    lan.run("bb", "--network red")
    assert lan.address("aa", "red") == "10.5.0.2"
    assert lan.address("bb", "red") == "10.5.0.3"
    assert "10.5.0.2/24" in lan.inside("aa", "ip addr show eth0")
    lan.docker("restart", "-t", "0", "aa")
    assert lan.address("aa", "red") == "10.5.0.2"
    with pytest.raises(CommandFailed, match="Address already in use"):
        lan.run("cc", "--network red --ip 10.5.0.3")


def test_auxiliary_addresses_and_range(lan: Lan) -> None:
    """Containers get addresses of the range, and none that the user set aside."""
    lan.create(
        "red",
        "--subnet 10.5.0.0/24 --ip-range 10.5.0.128/30 --gateway 10.5.0.254"
        " --aux-address printer=10.5.0.129",
    )
    for name in ("aa", "bb", "cc"):
        lan.run(name, "--network red")
    found = {lan.address(name, "red") for name in ("aa", "bb", "cc")}
    assert found == {"10.5.0.128", "10.5.0.130", "10.5.0.131"}
    assert "default via 10.5.0.254" in lan.inside("aa", "ip route")
    with pytest.raises(CommandFailed, match="no available IPv4 addresses on this network"):
        lan.run("dd", "--network red")


def test_another_router(lan: Lan) -> None:
    """The auxiliary address DefaultGatewayIPv4 is where containers send what is for elsewhere."""
    lan.create("red", "--subnet 10.5.0.0/24 --aux-address DefaultGatewayIPv4=10.5.0.2")
    lan.run("aa", "--network red")
    assert "default via 10.5.0.2" in lan.inside("aa", "ip route")
    assert lan.address("aa", "red") == "10.5.0.3"


def test_a_full_network(lan: Lan) -> None:
    """A /29 holds five containers beside its gateway; a sixth is told why, and fits later."""
    lan.create("small", "--subnet 10.5.0.0/29")
    names = ["aa", "bb", "cc", "dd", "ee"]
    for name in names:
        lan.run(name, "--network small")
    assert [lan.address(name, "small") for name in names] == [f"10.5.0.{n}" for n in range(2, 7)]
    before = lan.host.snapshot()
    with pytest.raises(
        CommandFailed, match=r"no available IPv4 addresses on this network's address pools: small"
    ):
        lan.run("ff", "--network small")
    assert lan.host.snapshot() == before
    lan.docker("rm", "-f", "cc")
    lan.docker("start", "ff")
    assert lan.address("ff", "small") == "10.5.0.4"


def test_subnets_by_default(lan: Lan) -> None:
    """Networks without a subnet get 172.18.0.0/16 and on; a freed one is used again."""
    for name in ("one", "two", "three"):
        lan.create(name)
    subnets = [lan.subnet(name) for name in ("one", "two", "three")]
    assert subnets == ["172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]
    lan.docker("network", "rm", "two")
    lan.create("four")
    assert lan.subnet("four") == "172.19.0.0/16"


def test_connecting_a_running_container(lan: Lan) -> None:
    """It has the new interface at once, with address and aliases; disconnecting takes it away."""
    lan.create("red", "--subnet 10.5.0.0/24")
    lan.run("aa")
    lan.run("bb", "--network red")
    lan.docker("network", "connect", "--ip", "10.5.0.9", "--alias", "nick", "red", "aa")
    assert "inet 10.5.0.9/24" in lan.inside("aa", "ip addr show eth1")
    assert lan.reaches("bb", "nick")
    assert lan.reaches("aa", "bb")
    lan.docker("network", "disconnect", "red", "aa")
    assert "eth1" not in lan.inside("aa", "ip link")
    assert not lan.reaches("aa", lan.address("bb", "red"))
    assert "eth0" in lan.inside("aa", "ip link")


def test_connecting_a_stopped_container(lan: Lan) -> None:
    """What is connected while it is stopped is there when it starts, and the reverse."""
    lan.create("red")
    lan.create("blue")
    lan.docker("create", "--name", "aa", "--network", "red", "busybox", "sleep", "1000000")
    lan.docker("network", "connect", "blue", "aa")
    lan.docker("start", "aa")
    assert lan.inside("aa", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    lan.docker("stop", "-t", "0", "aa")
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("start", "aa")
    assert lan.inside("aa", "ls /sys/class/net").split() == ["eth0", "lo"]
    assert set(lan.endpoints("aa")) == {"blue"}


def test_the_default_route_moves(lan: Lan) -> None:
    """It is the first network's by name, or by priority, and moves when that one is left."""
    for number, name in enumerate(("blue", "green", "red"), 5):
        lan.create(name, f"--subnet 10.{number}.0.0/24")
    lan.run("aa", "--network green")
    lan.docker("network", "connect", "blue", "aa")
    assert "default via 10.5.0.1" in lan.inside("aa", "ip route")
    lan.docker("network", "connect", "--gw-priority", "1", "red", "aa")
    assert "default via 10.7.0.1" in lan.inside("aa", "ip route")
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("network", "disconnect", "blue", "aa")
    assert "default via 10.6.0.1" in lan.inside("aa", "ip route")
    assert lan.reaches("aa", str(lan.neighbour.address))


def test_a_mac_address_of_choice(lan: Lan) -> None:
    """--mac-address is what the interface has."""
    lan.run("aa", "--mac-address 02:42:01:02:03:04")
    assert "02:42:01:02:03:04" in lan.inside("aa", "ip link show eth0")


def test_mtu(lan: Lan) -> None:
    """The network's MTU is the interface's, inside and on the bridge."""
    lan.create("thin", "-o com.docker.network.driver.mtu=1400")
    lan.run("aa", "--network thin")
    assert "mtu 1400" in lan.inside("aa", "ip link show eth0")


def test_a_bridge_name_of_choice(lan: Lan) -> None:
    """com.docker.network.bridge.name is the bridge's name on the host."""
    lan.create("named", "-o com.docker.network.bridge.name=br-mine")
    assert "br-mine" in lan.host.run(["ip", "-o", "link"]).stdout
    lan.docker("network", "rm", "named")
    eventually(lambda: "br-mine" not in lan.host.run(["ip", "-o", "link"]).stdout)


def test_rules_of_the_user_stay(lan: Lan) -> None:
    """What a user puts into DOCKER-USER, or opens between two networks, outlives other changes."""
    lan.create("red")
    lan.run("aa")
    lan.run("bb", "--network red")
    lan.host.shell("iptables -I DOCKER-USER -i docker0 -d 192.0.2.0/24 -j DROP")
    for number, name in enumerate(("docker0", lan.bridge("red")), 1):
        lan.host.shell(f"iptables -R DOCKER-ISOLATION-STAGE-2 {number} -o {name} -j ACCEPT")
    try:
        lan.create("blue")
        lan.run("cc", "--network blue -p 8080:80")
        lan.docker("rm", "-f", "cc")
        lan.docker("network", "rm", "blue")
        assert not lan.reaches("aa", str(lan.neighbour.address))
        assert lan.reaches("bb", lan.address("aa", "bridge"))
    finally:
        lan.host.shell("iptables -D DOCKER-USER 1")
        lan.host.shell("iptables -R DOCKER-ISOLATION-STAGE-2 1 -o docker0 -j DROP")


def test_a_network_in_use_stays(lan: Lan) -> None:
    """It is removed only when nobody is on it any more; the refusal names who is."""
    lan.create("red")
    lan.run("aa", "--network red")
    with pytest.raises(CommandFailed, match=r'has active endpoints \(name:"aa" id:"[0-9a-f]{12}"'):
        lan.docker("network", "rm", "red")
    lan.docker("rm", "-f", "aa")
    lan.docker("network", "rm", "red")


def test_prune(lan: Lan) -> None:
    """It removes the networks nobody uses and says which."""
    for name in ("used", "old", "kept"):
        lan.create(name, "--label keep=yes" if name == "kept" else "")
    lan.run("aa", "--network used")
    said = lan.docker("network", "prune", "-f", "--filter", "label!=keep=yes")
    assert said.split() == ["Deleted", "Networks:", "old"]
    assert set(lan.names()) == {"bridge", "host", "none", "used", "kept"}


def test_listing(lan: Lan) -> None:
    """ls filters by name, driver, label and use."""
    lan.create("red", "--label colour=red")
    lan.create("blue")
    lan.run("aa", "--network red")
    assert lan.names("label=colour") == ["red"]
    assert lan.names("name=ue") == ["blue"]
    assert lan.names("dangling=true") == ["blue"]
    assert lan.names("driver=null") == ["none"]
    assert set(lan.names("type=custom")) == {"red", "blue"}


def test_events(lan: Lan) -> None:
    """A network's life is told, in order."""
    since = f"{time.time():.3f}"
    lan.create("red")
    lan.run("aa", "--network red")
    lan.docker("rm", "-f", "aa")
    lan.docker("network", "rm", "red")
    words = ("events", "--since", since, "--until", f"{time.time():.3f}", "--format", "{{json .}}")
    told = [
        json.loads(line) for line in lan.docker(*words, "--filter", "type=network").split("\n")[:-1]
    ]
    assert [event["Action"] for event in told] == ["create", "connect", "disconnect", "destroy"]
    assert {event["Actor"]["Attributes"]["name"] for event in told} == {"red"}


def test_container_mode_follows_its_owner(lan: Lan) -> None:
    """A container in another's namespace sees what is connected to that one later."""
    lan.create("red")
    lan.run("aa")
    lan.run("bb", "--network container:aa")
    lan.docker("network", "connect", "red", "aa")
    assert lan.inside("bb", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
