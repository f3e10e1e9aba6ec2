"""The life of networks and containers that a plugin makes, as people see it and as it is asked."""

from __future__ import annotations

import json

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.plugins.driver import Wires

pytestmark = pytest.mark.root

IPAM = "--ipam-driver wires"
ACCEPT = "application/vnd.docker.plugins.v1.2+json"


def test_containers_reach_each_other_and_the_world(lan: Lan, wires: Wires) -> None:
    """On a network of a plugin, by address and by name."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24 --opt colour=red")
    lan.run("aa", "--network red")
    lan.run("bb", "--network red --ip 10.9.1.9")
    assert lan.address("aa", "red") == "10.9.1.2"
    assert lan.reaches("aa", "10.9.1.9")
    assert lan.reaches("aa", "bb")
    assert lan.reaches("bb", "10.9.1.1")
    assert "default via 10.9.1.1 dev eth0" in lan.inside("aa", "ip route")
    shown = lan.network("red")
    assert shown["Driver"] == "wires"
    assert shown["Scope"] == "local"
    assert {c["Name"] for c in shown["Containers"].values()} == {"aa", "bb"}
    mac = lan.inside("aa", "cat /sys/class/net/eth0/address").strip()
    assert mac == lan.endpoints("aa")["red"]["MacAddress"]
    assert wires.accepted() <= {ACCEPT}


def test_what_the_plugin_tells(lan: Lan) -> None:
    """Docker shows it nowhere; here `explain` does, of the container that it is about."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.run("aa", "--network red")
    endpoint = lan.endpoints("aa")["red"]["EndpointID"]
    said = lan.daemon.fairlead("explain", "aa").stdout
    assert f"told    wire = po-{endpoint[:8]}" in said
    assert "because driver wires says so of its place on network red" in said


def test_what_the_plugin_is_told(lan: Lan, wires: Wires) -> None:
    """Docker's calls with Docker's words, in Docker's order."""
    id_ = lan.create("red", "-d wires --subnet 10.9.1.0/24 --opt colour=red --internal")
    lan.docker("run", "-d", "--name", "aa", "--network", "red", "-p", "8080:80", "busybox", "top")
    box = lan.daemon.api("GET", "/containers/aa/json").json["NetworkSettings"]
    lan.docker("rm", "-f", "aa")
    lan.docker("network", "rm", "red")
    assert wires.calls() == [
        "CreateNetwork",
        "CreateEndpoint",
        "Join",
        "EndpointOperInfo",
        "Leave",
        "DeleteEndpoint",
        "DeleteNetwork",
    ]
    told = dict(wires.asked())
    assert told["NetworkDriver.CreateNetwork"] == {
        "NetworkID": id_,
        "Options": {
            "com.docker.network.generic": {"colour": "red"},
            "com.docker.network.enable_ipv4": True,
            "com.docker.network.enable_ipv6": False,
            "com.docker.network.internal": True,
        },
        "IPv4Data": [
            {"AddressSpace": "LocalDefault", "Pool": "10.9.1.0/24", "Gateway": "10.9.1.1/24"}
        ],
        "IPv6Data": [],
    }
    made = told["NetworkDriver.CreateEndpoint"]
    assert made["NetworkID"] == id_
    assert made["Interface"] == {"Address": "10.9.1.2/24", "AddressIPv6": "", "MacAddress": ""}
    assert made["Options"]["com.docker.network.portmap"] == [
        {
            "Proto": 6,
            "IP": "",
            "Port": 80,
            "HostIP": "",
            "HostPort": 8080,
            "HostPortEnd": 8080,
        }
    ]
    joined = told["NetworkDriver.Join"]
    assert joined["EndpointID"] == made["EndpointID"] == box["Networks"]["red"]["EndpointID"]
    assert joined["SandboxKey"] == box["SandboxKey"]


def test_ports_are_the_plugins_business(lan: Lan, wires: Wires) -> None:
    """It hears of them when its network is the way out, and when it no longer is."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.create("blue", "--subnet 10.9.2.0/24")
    lan.run("aa", "--network red -p 8080:80")
    told = dict(wires.asked())["NetworkDriver.ProgramExternalConnectivity"]
    assert told["Options"]["com.docker.network.portmap"][0]["HostPort"] == 8080
    settings = {"Container": "aa", "EndpointConfig": {"GwPriority": 9}}
    assert lan.daemon.api("POST", "/v1.48/networks/blue/connect", settings).status == 200
    assert wires.calls()[-1] == "RevokeExternalConnectivity"
    lan.docker("network", "disconnect", "blue", "aa")
    assert wires.calls()[-1] == "ProgramExternalConnectivity"
    lan.docker("rm", "-f", "aa")
    assert wires.calls()[-3:] == ["RevokeExternalConnectivity", "Leave", "DeleteEndpoint"]


def test_addresses_of_a_plugin(lan: Lan, wires: Wires) -> None:
    """Pools, gateways, addresses and what is set aside: asked for, and given back."""
    lan.create(
        "red",
        f"-d wires {IPAM} --ipam-opt shade=dark --subnet 10.8.0.0/24 --ip-range 10.8.0.128/25 "
        "--aux-address printer=10.8.0.7",
    )
    lan.run("aa", "--network red")
    lan.run("bb", "--network red --ip 10.8.0.99")
    assert lan.address("aa", "red") == "10.8.0.2"
    assert lan.reaches("aa", "10.8.0.99")
    shown = lan.network("red")["IPAM"]
    assert shown["Driver"] == "wires"
    assert shown["Options"] == {"shade": "dark"}
    assert shown["Config"][0]["Gateway"] == "10.8.0.1"
    told = dict(wires.asked())
    assert told["IpamDriver.RequestPool"] == {
        "AddressSpace": "here",
        "Pool": "10.8.0.0/24",
        "SubPool": "10.8.0.128/25",
        "Options": {"shade": "dark"},
        "V6": False,
    }
    gateway = next(b for c, b in wires.asked() if c == "IpamDriver.RequestAddress")
    assert gateway["Options"] == {"RequestAddressType": "com.docker.network.gateway"}
    lan.docker("rm", "-f", "aa", "bb")
    lan.docker("network", "rm", "red")
    freed = [b["Address"] for c, b in wires.asked() if c == "IpamDriver.ReleaseAddress"]
    assert sorted(freed) == ["10.8.0.1", "10.8.0.2", "10.8.0.7", "10.8.0.99"]
    assert wires.calls()[-1] == "ReleasePool"


def test_a_bridge_with_the_addresses_of_a_plugin(lan: Lan, wires: Wires) -> None:
    """The driver is ours, the addresses are not; both families."""
    lan.create("red", f"{IPAM} --ipv6")
    lan.run("aa", "--network red")
    lan.run("bb", "--network red")
    assert lan.endpoints("aa")["red"]["GlobalIPv6Address"].startswith("fd77:")
    assert lan.reaches("aa", "bb")
    assert lan.reaches("aa", str(lan.neighbour.address))
    lan.docker("rm", "-f", "aa", "bb")
    lan.docker("network", "rm", "red")
    assert wires.calls().count("RequestAddress") == wires.calls().count("ReleaseAddress") == 6
    assert wires.calls().count("ReleasePool") == 2


def test_without_addresses(lan: Lan, wires: Wires) -> None:
    """With the null IPAM the driver itself gives them."""
    lan.create("red", "-d wires --ipam-driver null")
    given = {"Interface": {"Address": "10.5.5.5/24", "MacAddress": "02:00:00:00:00:55"}}
    wires.fail({"NetworkDriver.CreateEndpoint": {"merge": given}})
    lan.run("aa", "--network red")
    assert lan.address("aa", "red") == "10.5.5.5"
    assert "02:00:00:00:00:55" in lan.inside("aa", "ip link show eth0")
    data = dict(wires.asked())["NetworkDriver.CreateNetwork"]["IPv4Data"]
    assert data == [{"AddressSpace": "null", "Pool": "0.0.0.0/0"}]


def test_routes_of_the_plugin(lan: Lan, wires: Wires) -> None:
    """On link and through a next hop, also a router that is in no subnet."""
    routes = [
        {"Destination": "10.200.0.0/16", "RouteType": 0, "NextHop": "169.254.1.1"},
        {"Destination": "169.254.1.1/32", "RouteType": 1, "NextHop": ""},
        {"Destination": "0.0.0.0/0", "RouteType": 0, "NextHop": "169.254.1.1"},
    ]
    options = f"routes={json.dumps(routes, separators=(',', ':'))}"
    lan.create(
        "red", f"-d wires --subnet 10.9.1.0/24 --opt way=none --opt prefix=cali --opt {options}"
    )
    lan.run("aa", "--network red")
    table = lan.inside("aa", "ip route")
    assert "10.200.0.0/16 via 169.254.1.1 dev cali0" in table
    assert "169.254.1.1 dev cali0" in table
    assert "default via 169.254.1.1 dev cali0" in table
    assert "docker_gwbridge" not in lan.names()


def test_connecting_and_disconnecting(lan: Lan, wires: Wires) -> None:
    """While the container runs; its interface goes back where the plugin finds it."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.run("aa", "")
    lan.docker("network", "connect", "red", "aa")
    assert "10.9.1.2" in lan.inside("aa", "ip addr show eth1")
    lan.docker("network", "disconnect", "red", "aa")
    assert "eth1" not in lan.inside("aa", "ip link")
    assert wires.calls()[-2:] == ["Leave", "DeleteEndpoint"]
    lan.docker("network", "connect", "red", "aa")
    lan.docker("restart", "-t", "0", "aa")
    assert "10.9.1.2" in lan.inside("aa", "ip addr")


def test_a_way_out_where_the_plugin_gives_none(lan: Lan, wires: Wires) -> None:
    """docker_gwbridge: the default route and the ports are there, and it goes with the container."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24 --opt way=none")
    lan.serve("web", "tcp:80", "--network red -p 8080:80")
    shown = lan.network("docker_gwbridge")
    (member,) = shown["Containers"].values()
    assert member["Name"].startswith("gateway_")
    assert list(lan.endpoints("web")) == ["red"]
    gateway = shown["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway}" in lan.inside("web", "ip route")
    asked = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080"]
    assert lan.neighbour.run(asked).stdout.strip().endswith("web")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", str(lan.neighbour.address))
    lan.docker("rm", "-f", "web", "aa")
    assert lan.network("docker_gwbridge")["Containers"] == {}


def test_a_network_on_which_nobody_wants_a_way_out(lan: Lan, wires: Wires) -> None:
    """DisableGatewayService: there is none."""
    wires.fail({"NetworkDriver.Join": {"merge": {"DisableGatewayService": True}}})
    lan.create("red", "-d wires --subnet 10.9.1.0/24 --opt way=none")
    lan.run("aa", "--network red")
    assert "default" not in lan.inside("aa", "ip route")
    assert "docker_gwbridge" not in lan.names()


def test_info_names_the_driver(lan: Lan, wires: Wires) -> None:
    """With ours, as long as it is there."""
    assert "wires" in lan.docker("info", "--format", "{{.Plugins.Network}}")
    assert lan.docker("plugin", "ls", "--format", "{{.Name}}") == ""


def test_the_daemon_restarts(lan: Lan, wires: Wires) -> None:
    """Containers keep their interfaces; the plugin is told of its networks again."""
    lan.create("red", f"-d wires {IPAM}")
    lan.run("aa", "--network red")
    before = lan.endpoints("aa")["red"]
    wires.forget()
    lan.daemon.restart()
    assert lan.endpoints("aa")["red"] == before
    assert lan.reaches("aa", before["Gateway"])
    # What it replays depends on what the plugin asked for: this one forgets pools.
    eventually(lambda: "CreateNetwork" in wires.calls())
    assert "RequestPool" in wires.calls()
    lan.docker("rm", "-f", "aa")
    assert wires.calls()[-3:] == ["Leave", "DeleteEndpoint", "ReleaseAddress"]


def test_a_plugin_that_forgot(lan: Lan, wires: Wires) -> None:
    """It hears nothing when it starts, as with Docker; a start of the daemon tells it what is held."""
    lan.create("red", f"{IPAM} --subnet 10.8.0.0/24 --aux-address printer=10.8.0.3")
    lan.run("aa", "--network red")
    wires.kill()
    lan.host.shell("rm /run/wires.state")
    wires.forget()
    wires.start()
    assert wires.calls() == []
    assert lan.reaches("aa", "10.8.0.1")
    lan.daemon.restart()
    held = ["10.8.0.1", "10.8.0.3", "10.8.0.2"]

    def told() -> list[str]:
        return [b["Address"] for c, b in wires.asked() if c == "IpamDriver.RequestAddress"]

    eventually(lambda: told() == held)
    lan.run("bb", "--network red")
    assert lan.address("bb", "red") == "10.8.0.4"
    assert lan.reaches("bb", "aa")


def test_the_daemon_dies_and_a_container_meanwhile(lan: Lan, wires: Wires) -> None:
    """The plugin hears of it from the next daemon."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.run("aa", "--network red")
    pid = lan.docker("inspect", "-f", "{{.State.Pid}}", "aa").strip()
    lan.daemon.kill9()
    lan.host.shell(f"kill -9 {pid}")
    wires.forget()
    lan.daemon.start()
    eventually(lambda: {"Leave", "DeleteEndpoint"} <= set(wires.calls()))
    eventually(lambda: "po-" not in lan.host.shell("ip link").stdout)


def test_its_link_goes_while_the_daemon_is_away(lan: Lan, wires: Wires) -> None:
    """The daemon starts, and everybody else has what they had."""
    lan.create("red", "-d wires --subnet 10.9.1.0/24")
    lan.create("blue")
    lan.run("aa", "--network red")
    lan.run("bb", "--network blue")
    lan.daemon.kill9()
    lan.host.shell("ip -o link | grep -o 'po-[^@]*' | xargs ip link del")
    lan.daemon.start()
    assert lan.reaches("bb", str(lan.neighbour.address))
    lan.docker("network", "connect", "blue", "aa")
    assert lan.reaches("aa", "bb")
    # The plugin says that it has no such link any more; that keeps nothing from going.
    lan.docker("rm", "-f", "aa", "bb")
    lan.docker("network", "rm", "red")
    assert "red" not in lan.names()


def test_files_that_say_where_a_plugin_is(lan: Lan) -> None:
    """A .spec and a .json with TLS; the certificate is looked at where an authority is named."""
    host = lan.host
    host.shell(
        "mkdir -p /etc/docker/plugins /run/tls; cd /run/tls; openssl req -x509 -newkey rsa:2048 "
        "-nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days 2 "
        "-addext subjectAltName=DNS:localhost 2>/dev/null; cp cert.pem other.pem"
    )
    host.path("/etc/docker/plugins/plain.spec").write_text("tcp://127.0.0.1:7001\n")
    tls = {"CAFile": "/run/tls/cert.pem"}
    for name, address in (("safe", "https://localhost:7002"), ("wrong", "https://127.0.0.1:7002")):
        spec = {"Name": name, "Addr": address, "TLSConfig": tls}
        folder = host.path(f"/etc/docker/plugins/{name}")
        folder.mkdir()
        (folder / f"{name}.json").write_text(json.dumps(spec))
    keys = ("/run/tls/cert.pem", "/run/tls/key.pem")
    with Wires(host, "plain", where="7001"), Wires(host, "safe", where="7002", tls=keys):
        for name in ("plain", "safe"):
            lan.create(f"net-{name}", f"-d {name}")
            lan.run(f"c-{name}", f"--network net-{name}")
            lan.docker("rm", "-f", f"c-{name}")
            lan.docker("network", "rm", f"net-{name}")
        done = lan.daemon.docker("network", "create", "-d", "wrong", "red", check=False)
        assert done.returncode != 0
        assert "certificate" in done.stderr
    host.shell("rm -r /etc/docker/plugins")
