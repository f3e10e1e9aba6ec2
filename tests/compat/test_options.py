"""What options of a bridge network do to packets, in both families alike.

The neighbour knows the way to the network's subnets: it lies behind the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

BRIDGE = "com.docker.network.bridge."
HOST6, NEIGHBOUR6 = "2001:db8:2::1", "2001:db8:2::2"


@dataclass(frozen=True, slots=True)
class Family:
    """One version of IP: the network's subnet, and who is where."""

    version: int
    subnet: str
    server: str
    host: str
    neighbour: str

    @property
    def gateway_mode(self) -> str:
        """The option that says how its packets come in and out."""
        return f"{BRIDGE}gateway_mode_ipv{self.version}"


@dataclass(frozen=True, slots=True)
class Place:
    """A network `red` with a server at 80, which is published at 8080, and at 81, which is not."""

    lan: Lan
    family: Family

    def serve(self, *options: str) -> None:
        """Makes the network with these options, and the server."""
        words = [word for option in options for word in ("-o", option)]
        subnets = ["--subnet", "10.6.0.0/24", "--subnet", "fd00:6::/64"]
        self.lan.docker("network", "create", "--ipv6", *subnets, *words, "red")
        ports = "-p 8080:80 --ip 10.6.0.80 --ip6 fd00:6::80"
        self.lan.serve("web", "tcp:80", f"--network red {ports}")
        self.lan.docker("exec", "-d", "web", PYTHON, str(TALK), "serve", "tcp:81")

    def ask(self, host: str, port: int, patience_seconds: int) -> str:
        """What the neighbour hears from a port, or why it hears nothing."""
        words = [PYTHON, str(TALK), "ask", "tcp", host, str(port), str(patience_seconds)]
        return self.lan.neighbour.run(words).stdout.strip()

    def opens(self, port: int) -> bool:
        """Whether the container's own port answers, and sees the neighbour itself."""
        return self.ask(self.family.server, port, 10).startswith(self.family.neighbour)

    def closed(self, port: int) -> bool:
        """Whether what is sent to the container's own port gets lost."""
        return self.ask(self.family.server, port, 1) == "timeout"

    def published(self) -> bool:
        """Whether the published port of the host answers, and sees the neighbour itself."""
        return self.ask(self.family.host, 8080, 10).startswith(self.family.neighbour)

    def source(self) -> str:
        """The address from which the neighbour sees the container's packets come."""
        program = (
            "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM);"
            "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); s.bind(('::', 9000));"
            "print('ready', flush=True); s.settimeout(10); print(s.recvfrom(9)[1][0])"
        )
        target = f"('{self.family.neighbour}', 9000)"
        family = f"socket.AF_INET{6 if self.family.version == 6 else ''}"
        send = f"import socket; socket.socket({family}, socket.SOCK_DGRAM).sendto(b'x', {target})"
        with self.lan.neighbour.popen([PYTHON, "-c", program]) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            self.lan.docker("exec", "web", PYTHON, "-c", send)
            return str(server.stdout.readline().strip()).removeprefix("::ffff:")


@pytest.fixture(scope="module")
def plugged(daemon: Daemon, neighbour: Machine) -> Daemon:
    """The daemon of a host with both families, and a neighbour that sends what is for it there."""
    host = daemon.machine
    host.shell(f"ip addr add {HOST6}/64 dev eth0 nodad")
    neighbour.shell(f"""
        ip addr add {NEIGHBOUR6}/64 dev eth0 nodad
        ip route add 10.6.0.0/24 via {host.address}
        ip route add fd00:6::/64 via {HOST6}
    """)
    return daemon


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def place(
    request: pytest.FixtureRequest, plugged: Daemon, traces: Traces, neighbour: Machine
) -> Iterator[Place]:
    """The network's surroundings, for one family after the other."""
    host = plugged.machine
    if request.param == 4:
        here, there = str(host.address), str(neighbour.address)
        family = Family(4, "10.6.0.0/24", "10.6.0.80", here, there)
    else:
        family = Family(6, "fd00:6::/64", "fd00:6::80", HOST6, NEIGHBOUR6)
    yield Place(Lan(plugged, neighbour), family)
    traces.none()


def test_nat(place: Place) -> None:
    """By default: in by the published port alone, out with the host's address."""
    place.serve()
    assert place.published()
    assert place.closed(80)
    assert place.closed(81)
    assert place.source() == place.family.host


def test_nat_unprotected(place: Place) -> None:
    """As nat, but who knows the way to the container reaches all of its ports."""
    place.serve(f"{place.family.gateway_mode}=nat-unprotected")
    assert place.published()
    assert place.opens(80)
    assert place.opens(81)
    assert place.source() == place.family.host


def test_routed(place: Place) -> None:
    """No translation: the published port is open at the container's own address, no other is."""
    place.serve(f"{place.family.gateway_mode}=routed")
    assert place.ask(place.family.host, 8080, 5) == "refused"
    assert place.opens(80)
    assert place.closed(81)
    assert place.source() == place.family.server


def test_isolated(place: Place) -> None:
    """On an internal network: the host has no address there, containers reach each other."""
    lan, version = place.lan, place.family.version
    subnets = "--subnet 10.6.0.0/24 --subnet fd00:6::/64"
    modes = " ".join(f"-o {BRIDGE}gateway_mode_ipv{v}=isolated" for v in (4, 6))
    lan.create("red", f"--internal --ipv6 {subnets} {modes}")
    shown = lan.host.shell(f"ip -{version} addr show dev {lan.bridge('red')} scope global").stdout
    assert "inet" not in shown
    lan.run("web", "--network red --ip 10.6.0.80 --ip6 fd00:6::80")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", place.family.server)


def test_trusted_interfaces(place: Place) -> None:
    """From them published ports are reached at the container's own address, others are not."""
    place.serve(f"{BRIDGE}trusted_host_interfaces=eth0:nosuch7")
    assert place.opens(80)
    assert place.closed(81)
    assert place.published()


def test_source_of_choice(place: Place) -> None:
    """host_ipv4 and host_ipv6 are what the world sees instead of the interface's own address."""
    other = {4: "192.0.2.77", 6: "2001:db8:2::77"}[place.family.version]
    place.lan.host.shell(f"ip addr add {other} dev eth0")
    try:
        place.serve(f"com.docker.network.host_ipv{place.family.version}={other}")
        assert place.source() == other
    finally:
        place.lan.host.shell(f"ip addr del {other} dev eth0")


def test_without_masquerade(place: Place) -> None:
    """The world sees the container's own address, and published ports work all the same."""
    place.serve(f"{BRIDGE}enable_ip_masquerade=false")
    assert place.source() == place.family.server
    assert place.published()


def test_without_communication(place: Place) -> None:
    """Containers of one network do not reach each other, but are reached at published ports."""
    place.serve(f"{BRIDGE}enable_icc=false")
    place.lan.run("aa", "--network red")
    assert not place.lan.reaches("aa", place.family.server)
    assert place.published()


def test_internal(place: Place) -> None:
    """No way out, and none in."""
    lan = place.lan
    lan.create("red", "--internal --ipv6 --subnet 10.6.0.0/24 --subnet fd00:6::/64")
    lan.serve("web", "tcp:80", "--network red -p 8080:80 --ip 10.6.0.80 --ip6 fd00:6::80")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", place.family.server)
    assert not lan.reaches("aa", place.family.neighbour)
    assert not place.ask(place.family.server, 80, 1).startswith(place.family.neighbour)
    assert place.ask(place.family.host, 8080, 5) == "refused"
    said = lan.inside("aa", f"ip -{place.family.version} route")
    assert "default" not in said


def test_without_an_address_of_ipv4(place: Place) -> None:
    """inhibit_ipv4: the bridge has none; that of IPv6 stays."""
    lan = place.lan
    lan.create("red", f"--ipv6 --subnet 10.6.0.0/24 --subnet fd00:6::/64 -o {BRIDGE}inhibit_ipv4=1")
    shown = lan.host.shell(f"ip addr show dev {lan.bridge('red')}").stdout
    assert "10.6.0.1" not in shown
    assert "fd00:6::1/64" in shown


def test_one_family_alone(place: Place) -> None:
    """A network of IPv6 only works as one of IPv4 only does: names, ways, ports."""
    lan, six = place.lan, place.family.version == 6
    lan.create(
        "red",
        f"--ipv4={str(not six).lower()} --ipv6={str(six).lower()} --subnet {place.family.subnet}",
    )
    ip = f"--ip6 {place.family.server}" if six else f"--ip {place.family.server}"
    lan.serve("web", "tcp:80", f"--network red -p 8080:80 {ip}")
    lan.run("bb", "--network red")
    assert lan.reaches("bb", "web")
    lan.tools("aa", "--network red")
    kind = "AAAA" if six else "A"
    assert lan.dig("aa", "web", kind).found == [place.family.server]
    assert lan.dig("aa", "web", "A" if six else "AAAA").found == []
    assert place.published()
    assert place.source() == place.family.host
    (config,) = lan.network("red")["IPAM"]["Config"]
    assert config["Subnet"] == place.family.subnet
