"""The daemon's settings that open and close doors, as a neighbour who knows the way feels them."""

from __future__ import annotations

import json

import pytest

from fairlead.firewall.backends import BACKENDS
from tests.docker.images import PYTHON, TALK, make_tools
from tests.docker.lan import Lan
from tests.docker.test_flags import Start, rules, start  # noqa: F401
from tests.lab.daemon import PROGRAM, SOCKET

pytestmark = pytest.mark.root

DIRECT = "172.17.0.2"
OPEN, SHUT = 80, 81
MARKED = """
nft add table ip marking
nft 'add chain ip marking in { type filter hook prerouting priority -350; }'
nft add rule ip marking in iifname eth0 meta mark set 0x10
"""


def served(lan: Lan) -> None:
    """A container at DIRECT that serves at OPEN, which is published, and at SHUT."""
    make_tools(lan.daemon)
    lan.serve("web", f"tcp:{OPEN} tcp:{SHUT}", f"-p 8080:{OPEN}")
    assert lan.address("web", "bridge") == DIRECT
    lan.neighbour.shell(f"ip route add 172.17.0.0/16 via {lan.host.address}")


def fate(lan: Lan, port: int) -> str:
    """What the neighbour hears who asks the container at its own address."""
    words = [PYTHON, str(TALK), "ask", "tcp", DIRECT, str(port), "1"]
    said = lan.neighbour.run(words).stdout.strip()
    return "open" if said.endswith(" web") else said


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("flags", "prepare", "found"),
    [
        ((), "true", ("timeout", "timeout")),
        (("--allow-direct-routing",), "true", ("open", "timeout")),
        (("--bridge-accept-fwmark", "0x10/0xf0"), MARKED, ("open", "open")),
        (("--bridge-accept-fwmark", "0x20"), MARKED, ("timeout", "timeout")),
    ],
)
def test_doors(
    start: Start,  # noqa: F811
    backend: str,
    flags: tuple[str, ...],
    prepare: str,
    found: tuple[str, str],
) -> None:
    """Direct routing opens what is published; the right mark opens everything."""
    lan = start("--firewall-backend", backend, *flags, prepare=prepare)
    served(lan)
    assert (fate(lan, OPEN), fate(lan, SHUT)) == found


def test_a_host_without_a_raw_table(start: Start) -> None:  # noqa: F811
    """As with Docker, whoever says so is told that published ports are open to their neighbours."""
    says = ["env", "DOCKER_INSECURE_NO_IPTABLES_RAW=1", str(PROGRAM), "daemon"]
    lan = start("-H", f"unix://{SOCKET}", command=says)
    served(lan)
    assert (fate(lan, OPEN), fate(lan, SHUT)) == ("open", "timeout")
    assert "DOCKER" not in lan.host.run(["iptables-save", "-t", "raw"]).stdout
    warning = "WARNING: DOCKER_INSECURE_NO_IPTABLES_RAW is set"
    assert warning in lan.daemon.api("GET", "/info").json["Warnings"]


def test_the_policy_is_left_alone(start: Start) -> None:  # noqa: F811
    """--ip-forward-no-drop: the host goes on to forward for others, who see no change."""
    closed = "echo 0 >/proc/sys/net/ipv4/ip_forward"
    lan = start("--ip-forward-no-drop", prepare=closed)
    assert ":FORWARD ACCEPT" in rules(lan.host)
    assert lan.host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "1\n"


def test_no_rules_for_ipv6(start: Start) -> None:  # noqa: F811
    """--ip6tables=false: not one rule of IPv6, and those of IPv4 stay."""
    lan = start("--ip6tables=false")
    lan.create("red", "--ipv6")
    lan.run("aa", "--network red -p 8080:80")
    assert "DOCKER" not in lan.host.run(["ip6tables-save"]).stdout
    assert "DOCKER" in rules(lan.host)


def test_the_old_bridge_with_both_families(start: Start) -> None:  # noqa: F811
    """--ipv6, --bip6, --fixed-cidr-v6 and --default-gateway-v6 are the default network's."""
    lan = start(
        "--ipv6", "--bip6", "fd09::1/64", "--fixed-cidr-v6", "fd09::80/121",
        "--default-gateway-v6", "fd09::fe",
    )  # fmt: skip
    lan.run("aa")
    said = lan.inside("aa", "ip addr show eth0; ip -6 route")
    assert "inet6 fd09::8" in said
    assert "default via fd09::fe" in said
    assert lan.reaches("aa", "fd09::1")


def test_what_info_says_of_networks(start: Start) -> None:  # noqa: F811
    """Pools and the firewall are what was asked for."""
    pools = [{"base": "10.100.0.0/16", "size": 24}]
    lan = start("--firewall-backend", "nftables", file={"default-address-pools": pools})
    info = json.loads(lan.docker("info", "--format", "{{json .}}"))
    assert info["DefaultAddressPools"] == [{"Base": "10.100.0.0/16", "Size": 24}]
    told = lan.daemon.api("GET", "/v1.52/info").json
    assert told["FirewallBackend"]["Driver"] == "nftables"
    assert set(told["Plugins"]["Network"]) >= {"bridge", "host", "null"}


def test_mtu_of_the_way_out(start: Start) -> None:  # noqa: F811
    """Networks of a host behind a tunnel have its MTU; a clamp makes wider ones tell it to others."""
    lan = start(prepare="ip link set eth0 mtu 1400")
    make_tools(lan.daemon)
    for name, more in (
        ("usual", ""),
        ("wide", "-o com.docker.network.driver.mtu=1500"),
        ("clamped", "-o com.docker.network.driver.mtu=1500 -o fairlead.mss_clamp=true"),
    ):
        lan.create(name, more)
        lan.tools(f"on-{name}", f"--network {name}")
    assert "mtu 1400" in lan.inside("on-usual", "ip link show eth0")
    assert "mtu 1500" in lan.inside("on-wide", "ip link show eth0")
    assert told_segment(lan, "on-wide") > 1360
    assert told_segment(lan, "on-clamped") <= 1360


def told_segment(lan: Lan, name: str) -> int:
    """The largest TCP segment in bytes that the neighbour may send to a container."""
    program = (
        "import socket; s = socket.create_server(('', 9000)); print('ready', flush=True);"
        "c = s.accept()[0]; print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))"
    )
    with lan.neighbour.popen([PYTHON, "-c", program]) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        to = f"('{lan.neighbour.address}', 9000)"
        lan.docker("exec", name, PYTHON, "-c", f"import socket; socket.create_connection({to}, 10)")
        return int(server.stdout.readline())


def test_who_may_come_to_a_port(start: Start) -> None:  # noqa: F811
    """A rule in DOCKER-USER keeps a published port for one source; others are not concerned."""
    lan = start()
    served(lan)
    words = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080", "1"]
    lan.neighbour.shell("ip address add 192.0.2.200/24 dev eth0")
    only = "-i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL ! -s 192.0.2.200"
    assert lan.neighbour.run(words).stdout.strip().endswith(" web")
    lan.host.shell(f"iptables -I DOCKER-USER {only} -j DROP")
    assert lan.neighbour.run(words).stdout.strip() == "timeout"
    lan.neighbour.shell(f"ip route add {lan.host.address}/32 dev eth0 src 192.0.2.200")
    assert lan.neighbour.run(words).stdout.strip().endswith(" web")
