"""The networking flags of `docker run`, as the container and its neighbours feel them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.images import PYTHON
from tests.docker.lan import Lan
from tests.docker.tidy import Traces, warmed
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

ASK = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10);"
    "print(s.recv(2048).decode())"
)
IDLE = ("busybox", "sleep", "1000000")


@pytest.fixture(scope="module")
def traces(daemon: Daemon) -> Traces:
    """The machine before anything was done, but for one thing that lasts."""
    return warmed(daemon)


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, neighbour: Machine) -> Iterator[Lan]:
    """Networks `red` with both families and `blue` with IPv4."""
    made = Lan(daemon, neighbour)
    made.create("red", "--subnet 10.5.0.0/24 --ipv6 --subnet fd05::/64")
    made.create("blue", "--subnet 10.6.0.0/24")
    yield made
    traces.none()


def links(lan: Lan, name: str) -> dict[str, dict[str, Any]]:
    """The interfaces of a container made by `tools`."""
    found = json.loads(lan.inside(name, "ip -json addr"))
    return {link["ifname"]: link for link in found}


def addresses(link: dict[str, Any]) -> set[str]:
    """The addresses of an interface that somebody asked for."""
    return {
        f"{a['local']}/{a['prefixlen']}"
        for a in link["addr_info"]
        if a["scope"] == "global" or a["local"] in ("169.254.7.7", "fe80::77")
    }


def test_every_word_of_the_long_syntax(lan: Lan) -> None:
    """Each network gets what was asked of it, and the one with priority leads out."""
    lan.tools(
        "app",
        "--network name=blue,alias=low,ip=10.6.0.77,mac-address=02:00:00:00:00:06 "
        "--network name=red,alias=one,alias=two,ip=10.5.0.77,ip6=fd05::77,"
        "mac-address=02:00:00:00:00:05,link-local-ip=169.254.7.7,link-local-ip=fe80::77,"
        "driver-opt=com.docker.network.endpoint.ifname=front0,"
        "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.proxy_arp=1,"
        "gw-priority=7",
    )
    found = links(lan, "app")
    assert set(found) == {"lo", "eth0", "front0"}
    assert addresses(found["eth0"]) == {"10.6.0.77/24"}
    assert found["eth0"]["address"] == "02:00:00:00:00:06"
    assert found["front0"]["address"] == "02:00:00:00:00:05"
    assert {a.partition("/")[0] for a in addresses(found["front0"])} == {
        "10.5.0.77", "fd05::77", "169.254.7.7", "fe80::77",
    }  # fmt: skip
    assert lan.inside("app", "cat /proc/sys/net/ipv4/conf/front0/proxy_arp") == "1\n"
    assert "default via 10.5.0.1 dev front0" in lan.inside("app", "ip route")
    assert "default via fd05::1 dev front0" in lan.inside("app", "ip -6 route")
    shown = lan.endpoints("app")
    assert shown["red"]["GwPriority"] == 7
    assert shown["red"]["IPAMConfig"] == {
        "IPv4Address": "10.5.0.77",
        "IPv6Address": "fd05::77",
        "LinkLocalIPs": ["169.254.7.7", "fe80::77"],
    }
    lan.tools("peer", "--network red")
    for name in ("one", "two", "app"):
        assert lan.dig("peer", name).found == ["10.5.0.77"]
        assert lan.dig("peer", name, "AAAA").found == ["fd05::77"]
    lan.tools("other", "--network blue")
    assert lan.dig("other", "low").found == ["10.6.0.77"]
    assert lan.dig("other", "one").found == []
    hosts = lan.inside("app", "cat /etc/hosts").splitlines()[6:]
    assert [line.split("\t")[0] for line in hosts] == ["10.6.0.77", "10.5.0.77", "fd05::77"]
    lan.docker("restart", "-t", "0", "app")
    again = links(lan, "app")
    assert addresses(again["front0"]) == addresses(found["front0"])


def test_interfaces_in_order(lan: Lan) -> None:
    """The first network is eth0 at every start; the others follow in one order."""
    for name in ("aaa", "zzz"):
        lan.create(name)
    lan.tools("app", "--network zzz --network red --network aaa --network blue")
    before = lan.inside("app", "ip -o -4 addr")
    assert before.splitlines()[1].split()[3].startswith(lan.address("app", "zzz"))
    for _ in range(3):
        lan.docker("restart", "-t", "0", "app")
        assert lan.inside("app", "ip -o -4 addr") == before


def test_a_link_on_the_default_bridge(lan: Lan) -> None:
    """It names its target in /etc/hosts and the environment, until it is taken back."""
    lan.docker(
        "run", "-d", "--name", "db", "--hostname", "dbhost", "--expose", "5432", "--expose",
        "53/udp", "-e", "SECRET=a=b", *IDLE,
    )  # fmt: skip
    lan.docker(
        "run", "-d", "--name", "web", "--link", "db:my-store", "-e", "MY_STORE_NAME=mine", *IDLE
    )
    address = lan.address("db", "bridge")
    said = lan.inside("web", "env").splitlines()
    for entry in (
        f"MY_STORE_PORT=tcp://{address}:5432",
        f"MY_STORE_PORT_5432_TCP_ADDR={address}",
        "MY_STORE_PORT_5432_TCP_PORT=5432",
        f"MY_STORE_PORT_53_UDP=udp://{address}:53",
        "MY_STORE_ENV_SECRET=a=b",
        "MY_STORE_NAME=mine",
    ):
        assert entry in said
    assert not [entry for entry in said if entry.startswith("MY_STORE_ENV_PATH")]
    assert f"{address}\tmy-store dbhost db\n" in lan.inside("web", "cat /etc/hosts")
    assert lan.reaches("web", "my-store")

    lan.docker("rename", "db", "database")
    assert f"{address}\tmy-store dbhost database\n" in lan.inside("web", "cat /etc/hosts")
    lan.docker("rm", "--link", "web/my-store")
    assert "my-store" not in lan.inside("web", "cat /etc/hosts")
    links = lan.docker("inspect", "-f", "{{json .HostConfig.Links}}", "web").strip()
    assert links in ("null", "[]")


def test_a_link_on_a_network(lan: Lan) -> None:
    """It is a name for the one who has it, and no environment."""
    lan.run("db", "--network red --expose 5432")
    lan.tools("web", "--network red --link db:store")
    lan.tools("other", "--network red")
    assert lan.dig("web", "store").found == [lan.address("db", "red")]
    assert lan.dig("other", "store").found == []
    assert "STORE" not in lan.inside("web", "env")


def test_name_servers_and_hosts_of_choice(lan: Lan) -> None:
    """--dns and its like are in resolv.conf, --add-host before the container's own lines."""
    lan.docker(
        "run", "-d", "--name", "app", "--dns", "192.0.2.53", "--dns", "2001:db8::53",
        "--dns-search", "ex.org", "--dns-search", "ex.net", "--dns-opt", "timeout:1",
        "--add-host", "db:192.0.2.7", "--add-host", "six=[2001:db8::7]",
        "--add-host", "up:host-gateway", "--hostname", "app", "--domainname", "ex.org", *IDLE,
    )  # fmt: skip
    resolv = [
        line
        for line in lan.inside("app", "cat /etc/resolv.conf").splitlines()
        if line and not line.startswith("#")
    ]
    assert resolv == [
        "nameserver 192.0.2.53",
        "nameserver 2001:db8::53",
        "search ex.org ex.net",
        "options timeout:1",
    ]
    assert lan.inside("app", "cat /etc/hosts").splitlines()[6:] == [
        "192.0.2.7\tdb",
        "2001:db8::7\tsix",
        "172.17.0.1\tup",
        "172.17.0.1\thost.docker.internal gateway.docker.internal",
        f"{lan.address('app', 'bridge')}\tapp.ex.org app",
    ]
    assert lan.inside("app", "cat /etc/hostname; hostname") == "app.ex.org\napp\n"
    lan.docker("run", "-d", "--name", "bare", "--dns-search", ".", *IDLE)
    assert "\nsearch " not in lan.inside("bare", "cat /etc/resolv.conf")


def test_only_a_loopback(lan: Lan) -> None:
    """NetworkDisabled is no network at all."""
    body = {"Image": "busybox", "Cmd": ["sleep", "1000000"], "NetworkDisabled": True}
    assert lan.daemon.api("POST", "/containers/create?name=app", body).status == 201
    lan.docker("start", "app")
    assert len(lan.inside("app", "ip -o link").splitlines()) == 1
    assert lan.endpoints("app") == {}


@pytest.mark.parametrize(
    ("version", "body", "mac"),
    [
        ("1.43", {"MacAddress": "02:00:00:00:00:77"}, "02:00:00:00:00:77"),
        ("1.44", {"MacAddress": "02:00:00:00:00:77"}, "02:00:00:00:00:77"),
        (
            "1.44",
            {
                "NetworkingConfig": {
                    "EndpointsConfig": {"bridge": {"MacAddress": "02:00:00:00:00:78"}}
                }
            },
            "02:00:00:00:00:78",
        ),
    ],
)
def test_a_mac_address_by_version(lan: Lan, version: str, body: dict[str, Any], mac: str) -> None:
    """Old clients say it of the container, newer ones of its network."""
    made = {"Image": "busybox", "Cmd": ["sleep", "1000000"], **body}
    answer = lan.daemon.api("POST", f"/v{version}/containers/create?name=app", made)
    assert answer.status == 201
    assert bool(answer.json["Warnings"]) == (version == "1.44" and "MacAddress" in body)
    lan.docker("start", "app")
    assert lan.inside("app", "cat /sys/class/net/eth0/address").strip() == mac
    old = lan.daemon.api("GET", "/v1.43/containers/app/json").json
    assert old["Config"]["MacAddress"] == mac


def test_settings_of_an_interface_by_version(lan: Lan) -> None:
    """Up to 1.47 net.*.eth0.* goes to the first network, since then it is to be said there."""
    host = {"Sysctls": {"net.ipv4.conf.eth0.proxy_arp": "1", "net.ipv4.conf.all.arp_notify": "1"}}
    body = {"Image": "busybox", "Cmd": ["sleep", "1000000"], "HostConfig": host}
    answer = lan.daemon.api("POST", "/v1.48/containers/create?name=app", body)
    assert answer.status == 500
    assert "must be supplied using driver option" in answer.json["message"]
    assert lan.daemon.api("POST", "/v1.47/containers/create?name=app", body).status == 201
    lan.docker("start", "app")
    read = "cat /proc/sys/net/ipv4/conf/eth0/proxy_arp /proc/sys/net/ipv4/conf/all/arp_notify"
    assert lan.inside("app", read).split() == ["1", "1"]
    shown = lan.daemon.api("GET", "/containers/app/json").json
    assert shown["HostConfig"]["Sysctls"] == {"net.ipv4.conf.all.arp_notify": "1"}


def test_a_port_over_ipv6(lan: Lan) -> None:
    """One at an IPv6 address of the host is there only, and leads to an IPv4 container too."""
    lan.serve("app", "tcp:80", "--network blue -p [::1]:8084:80")
    assert lan.docker("port", "app").splitlines() == ["80/tcp -> [::1]:8084"]
    assert lan.host.run([PYTHON, "-c", ASK, "::1", "8084"]).stdout.split()[-1] == "app"
    assert lan.host.run(["ss", "-Hltn", "sport = :8084"]).stdout.split()[3] == "[::1]:8084"


def test_ports_of_two_families_are_one_number(lan: Lan) -> None:
    """A port of the system's choice is the same for both, and -P takes whole ranges."""
    lan.run("app", "--network red -P --expose 7000-7002 --expose 53/udp")
    found = lan.daemon.api("GET", "/containers/app/json").json["NetworkSettings"]["Ports"]
    assert set(found) == {"7000/tcp", "7001/tcp", "7002/tcp", "53/udp"}
    for bindings in found.values():
        assert [b["HostIp"] for b in bindings] == ["0.0.0.0", "::"]
        assert len({b["HostPort"] for b in bindings}) == 1


def test_an_empty_list_of_bindings(lan: Lan) -> None:
    """It stands for a port of the system's choice."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000000"],
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": []}},
    }
    assert lan.daemon.api("POST", "/containers/create?name=app", body).status == 201
    shown = lan.docker("inspect", "-f", "{{json .HostConfig.PortBindings}}", "app")
    assert json.loads(shown) == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}
    lan.docker("start", "app")
    assert len(lan.docker("port", "app").splitlines()) == 2


def test_ports_that_cannot_be(lan: Lan) -> None:
    """Each is refused with a reason when the container starts, and nothing is left."""
    before = lan.host.snapshot()
    for spec, words in (
        ("192.0.2.99:8080:80", "cannot assign requested address"),
        ("8080:80/sctp", "sctp"),
    ):
        done = lan.daemon.docker("run", "-d", "-p", spec, *IDLE, check=False)
        assert done.returncode == 125
        assert words in done.stderr
    lan.docker("container", "prune", "-f")
    assert lan.host.snapshot() == before


def test_bodies_with_nothing_in_them(lan: Lan) -> None:
    """Null in place of anything is answered, never a fault of ours."""
    lan.run("app", "--network red")
    lan.run("side", "--network container:app")
    nothing: list[tuple[str, str, object]] = [
        ("POST", "/containers/create", None),
        ("POST", "/containers/create", b"null"),
        ("POST", "/containers/create", {"Image": None, "HostConfig": None}),
        *(
            ("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {key: None}})
            for key in ("PortBindings", "NetworkMode", "Links", "Dns", "ExtraHosts", "Sysctls", "Mounts", "Binds")
        ),
        ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Links": [None], "Dns": [None]}}),
        ("POST", "/containers/create", {"Image": "busybox", "Healthcheck": {"Test": None, "Interval": None}}),
        ("POST", "/containers/create", {"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": {"red": None}}}),
        ("POST", "/containers/create", {"Image": "busybox", "NetworkingConfig": {"EndpointsConfig": None}}),
        ("POST", "/containers/create", {"Image": "busybox", "ExposedPorts": {"80/tcp": None}}),
        ("POST", "/networks/create", b"null"),
        ("POST", "/networks/create", {"Name": None, "IPAM": {"Config": [None]}}),
        *(
            ("POST", f"/networks/{net}/{verb}", body)
            for net in ("red", "blue", "bridge", "host", "none", "nosuch")
            for verb in ("connect", "disconnect")
            for body in (None, b"null", {}, {"Container": None}, {"Container": "side", "EndpointConfig": None, "Force": None})
        ),
        ("POST", "/networks/blue/connect", {"Container": "app", "EndpointConfig": {"IPAMConfig": None, "Links": None, "Aliases": [None]}}),
        ("POST", "/containers/app/update", b"null"),
        ("POST", "/containers/app/exec", b"null"),
        ("POST", "/fairlead/containers/app/ports", b"null"),
        ("DELETE", "/fairlead/containers/app/ports", {"PortBindings": {"80/tcp": [None]}}),
        ("POST", "/volumes/create", b"null"),
    ]  # fmt: skip
    for method, path, body in nothing:
        answer = lan.daemon.api(method, path, body)
        said = answer.json if answer.body else {}
        ours = answer.status == 500 and said.get("message") == "internal error"
        assert not ours, (method, path, body)
    assert lan.daemon.api("GET", "/_ping").status == 200
