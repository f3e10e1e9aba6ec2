"""Networks: who reaches whom, which addresses they get, and how networks come and go.

What packets do is asked in every family; options of networks, too, in tests/compat/test_options.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.docker.family import IPV4, Family
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


def test_who_reaches_whom(lan: Lan, family: Family) -> None:
    """Containers of one network reach each other; those of different networks never do."""
    homes = {"red": ("aa", "bb"), "blue": ("cc", "dd"), "bridge": ("ee", "ff")}
    if family is not IPV4:
        homes["green"] = homes.pop("bridge")
    for number, name in enumerate(homes):
        if name != "bridge":
            lan.create(name, family.made(number))
    place = {name: network for network, names in homes.items() for name in names}
    for name, network in place.items():
        lan.run(name, f"--network {network}")
    address = {name: family.of(lan.endpoints(name)[network]) for name, network in place.items()}
    for one in ("aa", "cc", "ee"):
        friends = {address[other] for other in place if place[other] == place[one]}
        assert lan.answers(one, list(address.values())) == friends


def test_isolation_holds_for_each_direction_of_tcp(lan: Lan, family: Family) -> None:
    """A server on another network is not reached at its own address, whoever asks."""
    lan.create("red", family.made(1))
    lan.create("blue", family.made(2))
    lan.serve("web", "tcp:80", f"--network red {family.ip} {family.at(1, 80)}")
    lan.tools("asker", "--network blue")
    lan.tools("friend", "--network red")
    assert lan.ask("friend", "tcp", family.at(1, 80), 80).endswith("web")
    assert lan.ask("asker", "tcp", family.at(1, 80), 80) in ("timeout", "refused")
    assert lan.ask("web", "tcp", family.loopback, 80).endswith("web")


def test_gateways_of_other_networks_are_the_host(lan: Lan, family: Family) -> None:
    """The host's own services are reached at its address, as on any Docker host."""
    lan.create("red", family.made(1))
    lan.create("blue", family.made(2))
    lan.run("aa", "--network red")
    for target in (family.host, family.neighbour, family.at(1, 1), family.at(2, 1)):
        assert lan.reaches("aa", target), target


def test_an_internal_network(lan: Lan, family: Family) -> None:
    """Its containers reach each other and nothing else; nobody reaches them."""
    lan.create("deep", f"--internal {family.made(1)}")
    lan.create("red", family.made(2))
    lan.run("aa", "--network deep")
    lan.run("bb", f"--network deep {family.ip} {family.at(1, 9)}")
    lan.run("out", f"--network red {family.ip} {family.at(2, 9)}")
    assert "default" not in lan.inside("aa", family.route)
    assert lan.inside("aa", f"ping -{family.version} -c 1 -W 5 bb")
    assert lan.reaches("aa", family.at(1, 9))
    assert not lan.reaches("aa", family.neighbour)
    assert not lan.reaches("aa", family.at(2, 9))
    assert not lan.reaches("out", family.at(1, 9))


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


def test_an_address_of_choice(lan: Lan, family: Family) -> None:
    """--ip and --ip6 give that address, again after each restart; nobody else gets it meanwhile."""
    lan.create("red", family.made(0))
    lan.run("aa", f"--network red {family.ip} {family.at(0, 2)}")
    lan.run("bb", "--network red")
    assert family.of(lan.endpoints("aa")["red"]) == family.at(0, 2)
    assert family.of(lan.endpoints("bb")["red"]) == family.at(0, 3)
    assert f"{family.at(0, 2)}/{family.prefix}" in lan.inside("aa", "ip addr show eth0")
    lan.docker("restart", "-t", "0", "aa")
    assert family.of(lan.endpoints("aa")["red"]) == family.at(0, 2)
    assert lan.reaches("bb", family.at(0, 2))
    with pytest.raises(CommandFailed, match="Address already in use"):
        lan.run("cc", f"--network red {family.ip} {family.at(0, 3)}")


def test_an_address_on_the_link_only(lan: Lan, family: Family) -> None:
    """--link-local-ip adds addresses that are for neighbours on the network alone."""
    extra = "169.254.7.7" if family.version == 4 else "fe80::7:7"
    lan.create("red", family.made(1))
    lan.run("aa", f"--network red --link-local-ip {extra}")
    lan.run("bb", "--network red")
    assert f"{extra}/" in lan.inside("aa", "ip addr show eth0")
    if family.version == 6:
        assert lan.reaches("bb", f"{extra}%eth0")
    assert lan.endpoints("aa")["red"]["IPAMConfig"]["LinkLocalIPs"] == [extra]
    lan.docker("restart", "-t", "0", "aa")
    assert f"{extra}/" in lan.inside("aa", "ip addr show eth0")


def test_auxiliary_addresses_and_range(lan: Lan, family: Family) -> None:
    """Containers get addresses of the range, and none that the user set aside."""
    at, span = family.at, 30 if family.version == 4 else 126
    lan.create(
        "red",
        f"{family.made(0)} --ip-range {at(0, 128)}/{span} --gateway {at(0, 254)}"
        f" --aux-address printer={at(0, 129)}",
    )
    for name in ("aa", "bb", "cc"):
        lan.run(name, "--network red")
    found = {family.of(lan.endpoints(name)["red"]) for name in ("aa", "bb", "cc")}
    assert found == {at(0, 128), at(0, 130), at(0, 131)}
    assert f"default via {at(0, 254)}" in lan.inside("aa", family.route)
    said = f"no available IPv{family.version} addresses on this network"
    with pytest.raises(CommandFailed, match=said):
        lan.run("dd", "--network red")


def test_another_router(lan: Lan, family: Family) -> None:
    """The auxiliary address DefaultGatewayIPv4, or 6, is where containers send what goes away."""
    router = f"DefaultGatewayIPv{family.version}={family.at(0, 2)}"
    lan.create("red", f"{family.made(0)} --aux-address {router}")
    lan.run("aa", "--network red")
    assert f"default via {family.at(0, 2)}" in lan.inside("aa", family.route)
    assert family.of(lan.endpoints("aa")["red"]) == family.at(0, 3)


def test_a_full_network(lan: Lan, family: Family) -> None:
    """One of eight addresses holds so many beside its gateway; one more is told why, fits later."""
    four = family.version == 4
    subnet = family.subnet(0, 29 if four else 125)
    lan.create("small", f"{family.create} --subnet {subnet}")
    # IPv6 has no broadcast address to keep back.
    names = ["aa", "bb", "cc", "dd", "ee", *([] if four else ["gg"])]
    for name in names:
        lan.run(name, "--network small")
    found = [family.of(lan.endpoints(name)["small"]) for name in names]
    assert found == [family.at(0, n) for n in range(2, 2 + len(names))]
    before = lan.host.snapshot()
    said = rf"no available IPv{family.version} addresses on this network's address pools: small"
    with pytest.raises(CommandFailed, match=said):
        lan.run("ff", "--network small")
    assert lan.host.snapshot() == before
    lan.docker("rm", "-f", "cc")
    lan.docker("start", "ff")
    assert family.of(lan.endpoints("ff")["small"]) == family.at(0, 4)


def test_subnets_by_default(lan: Lan) -> None:
    """Networks without a subnet get 172.18.0.0/16 and on; a freed one is used again."""
    for name in ("one", "two", "three"):
        lan.create(name)
    subnets = [lan.subnet(name) for name in ("one", "two", "three")]
    assert subnets == ["172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/16"]
    lan.docker("network", "rm", "two")
    lan.create("four")
    assert lan.subnet("four") == "172.19.0.0/16"


def test_connecting_a_running_container(lan: Lan, family: Family) -> None:
    """It has the new interface at once, with address and aliases; disconnecting takes it away."""
    lan.create("red", family.made(0))
    lan.run("aa")
    lan.run("bb", "--network red")
    chosen = (family.ip, family.at(0, 9))
    lan.docker("network", "connect", *chosen, "--alias", "nick", "red", "aa")
    assert f" {family.at(0, 9)}/{family.prefix}" in lan.inside("aa", "ip addr show eth1")
    assert lan.inside("bb", f"ping -{family.version} -c 1 -W 5 nick")
    assert lan.inside("aa", f"ping -{family.version} -c 1 -W 5 bb")
    away = family.of(lan.endpoints("bb")["red"])
    lan.docker("network", "disconnect", "red", "aa")
    assert "eth1" not in lan.inside("aa", "ip link")
    assert not lan.reaches("aa", away)
    assert "eth0" in lan.inside("aa", "ip link")


def test_connecting_a_stopped_container(lan: Lan, family: Family) -> None:
    """What is connected while it is stopped is there when it starts, and the reverse."""
    lan.create("red", family.made(0))
    lan.create("blue", family.made(1))
    lan.docker("create", "--name", "aa", "--network", "red", "busybox", "sleep", "1000000")
    lan.docker("network", "connect", family.ip, family.at(1, 9), "blue", "aa")
    lan.docker("start", "aa")
    assert lan.inside("aa", "ls /sys/class/net").split() == ["eth0", "eth1", "lo"]
    lan.docker("stop", "-t", "0", "aa")
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("start", "aa")
    assert lan.inside("aa", "ls /sys/class/net").split() == ["eth0", "lo"]
    assert set(lan.endpoints("aa")) == {"blue"}
    assert f" {family.at(1, 9)}/{family.prefix}" in lan.inside("aa", "ip addr show eth0")


def test_the_default_route_moves(lan: Lan, family: Family) -> None:
    """It is the first network's by name, or by priority, and moves when that one is left."""
    for number, name in enumerate(("blue", "green", "red"), 5):
        lan.create(name, family.made(number))
    lan.run("aa", "--network green")
    lan.docker("network", "connect", "blue", "aa")
    assert f"default via {family.at(5, 1)}" in lan.inside("aa", family.route)
    lan.docker("network", "connect", "--gw-priority", "1", "red", "aa")
    assert f"default via {family.at(7, 1)}" in lan.inside("aa", family.route)
    lan.docker("network", "disconnect", "red", "aa")
    lan.docker("network", "disconnect", "blue", "aa")
    assert f"default via {family.at(6, 1)}" in lan.inside("aa", family.route)
    assert lan.reaches("aa", family.neighbour)


def test_the_daemon_starts_again(lan: Lan, family: Family) -> None:
    """Who was on a network stays as it was, and whoever comes later finds it."""
    lan.create("red", family.made(0))
    lan.run("aa", "--network red")
    shown = lan.endpoints("aa")
    lan.daemon.kill9()
    lan.daemon.start()
    assert lan.endpoints("aa") == shown
    lan.run("bb", "--network red")
    assert family.of(lan.endpoints("bb")["red"]) == family.at(0, 3)
    assert lan.inside("bb", f"ping -{family.version} -c 1 -W 5 aa")
    assert lan.reaches("aa", family.neighbour)


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


def test_explain_takes_a_name_for_a_name(lan: Lan) -> None:
    """A container that is called as the id of a network begins is the one that is meant."""
    name = lan.create("red", "")[:5]
    lan.run(name, "--network red")
    said = lan.daemon.fairlead("explain", name).stdout
    assert said.startswith(f"container {name} ")
