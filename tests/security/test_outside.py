"""What a neighbour on the wire gets at, and what he does not, however he forges his packets."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.security import frames, probe
from tests.security.scene import V4, Family, Scene
from tests.security.wire import Wire

pytestmark = pytest.mark.root

DIRECT = {4: "iptables", 6: "ip6tables"}


def published(on: Scene, family: Family, more: str = "") -> None:
    """A container `web` on network `front` that serves on 80 (published as 8080) and 81."""
    on.network("front", family.create)
    options = f"--network front -p {family.all_hosts}:8080:80 {more}"
    on.container("web", options, 80, 81, version=family.version)


def test_the_published_port_and_no_other(on: Scene, family: Family) -> None:
    """A scan of the host from the neighbour finds exactly what is published."""
    published(on, family, f"-p {family.all_hosts}:8081:81/udp")
    ports = [22, 53, 80, 81, 111, 2375, 2376, 4789, 7946, 8079, 8080, 8081, 8082, 9323, 61053]
    place = on.places["neighbour"]
    questions = [
        probe.Question(place.name, family.host, protocol, port)
        for port in ports
        for protocol in ("tcp", "udp")
    ]
    there = {("tcp", 8080), ("udp", 8081)}
    answers = probe.ask({place.name: place}, questions, lambda q: (q.protocol, q.port) in there)
    assert {(q.protocol, q.port) for q, said in answers.items() if said} == there


def test_the_client_is_seen_as_who_it_is(on: Scene, family: Family) -> None:
    """A service that trusts the loopback or the gateway is not open to the neighbour for it."""
    published(on, family, f"-p {family.all_hosts}:8080:80/udp")
    for protocol in ("tcp", "udp"):
        said = probe.one(on.places["neighbour"], family.host, protocol, 8080)
        assert said == f"web:80 {family.neighbour}"


def test_a_route_to_the_containers(on: Scene, family: Family) -> None:
    """A neighbour that routes to a container's own address reaches no port of it, nor an echo."""
    published(on, family)
    address = family.of(on.endpoint("web", "front"))
    place = on.places["neighbour"]
    with on.routed(on.neighbour, address, family.host):
        questions = [
            probe.Question(place.name, address, protocol, port)
            for protocol, port in (("tcp", 80), ("udp", 80), ("tcp", 81), ("udp", 81), ("icmp", 0))
        ]
        assert set(probe.ask({place.name: place}, questions).values()) == {""}

        # Without the rules against it, the published port lies open, and then all of it.
        with on.opened(family, "raw"):
            assert probe.one(place, address, "tcp", 80).startswith("web:80")
        with on.opened(family, "raw", "forward"):
            said = probe.ask({place.name: place}, questions, lambda _: True)
            assert all(said.values()), said


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.2"])
def test_a_frame_for_the_loopback(on: Scene, target: str) -> None:
    """A port published on the loopback answers no frame that a neighbour sends it."""
    on.container("web", f"-p {target}:8080:80", 80)
    loopback = ip_address(target)
    host = on.places["host"]
    assert probe.one(host, loopback, "tcp", 8080).startswith("web:80")
    with (
        Wire(on.places["neighbour"]) as wire,
        Wire(on.places["web"]) as inside,
    ):
        mac = host.mac("eth0")
        neighbour = on.neighbour.address

        def attack() -> None:
            for source_port in (1111, 2222):
                ports = (source_port, 8080)
                wire.send_ip(mac, frames.tcp(neighbour, loopback, ports))
                wire.send_ip(mac, frames.udp(neighbour, loopback, ports))
            wire.send_ip(mac, frames.ping(neighbour, on.host.address))

        wire.until(lambda s: s.source == on.host.address and s.protocol == frames.ICMP, attack)
        inside.listen()
        assert [s for s in wire.heard if s.protocol == frames.TCP] == []
        assert [s for s in inside.heard if s.source == neighbour] == []
        known = on.host.run(["conntrack", "-L", "-s", str(neighbour)], check=False).stdout
        assert target not in known

        # Without the rule, the container is what such frames lead to.
        with on.opened(V4, "raw"):
            inside.until(lambda s: s.source == neighbour, attack)


def test_a_container_and_the_hosts_loopback(on: Scene) -> None:
    """A forged frame from a container gets at no service that listens on the host's loopback."""
    web = on.container("web", "-p 127.0.0.1:8080:80", 80)
    gateway, address = (ip_address(on.endpoint("web")[k]) for k in ("Gateway", "IPAddress"))
    loopback = ip_address("127.0.0.1")
    host = on.places["host"]
    on.servers.add(host, 631)
    with Wire(web) as wire:
        mac = host.mac("docker0")

        def attack() -> None:
            for port in (631, 8080):
                wire.send_ip(mac, frames.tcp(address, loopback, (1111, port)))
            wire.send_ip(mac, frames.ping(address, gateway))

        wire.until(lambda s: s.source == gateway and s.protocol == frames.ICMP, attack)
        assert [s for s in wire.heard if s.protocol == frames.TCP] == []
        # A host that routes its loopback would answer: the test can fail.
        on.host.shell("sysctl -qw net.ipv4.conf.docker0.route_localnet=1")
        wire.until(lambda s: s.protocol == frames.TCP and s.ports[0] == 631, attack)
        on.host.shell("sysctl -qw net.ipv4.conf.docker0.route_localnet=0")
    for name in ("all", "eth0", "docker0"):
        assert host.sysctl(f"net/ipv4/conf/{name}/route_localnet") == "0"


@pytest.mark.parametrize("forged", ["its own", "of the loopback"])
def test_the_hosts_loopback_where_bridges_route_it(on: Scene, forged: str) -> None:
    """Without a proxy the bridges route the loopback for the host, and for no container."""
    on.daemon.restart("--userland-proxy=false")
    try:
        web = on.container("web", "-p 127.0.0.1:8080:80", 80)
        gateway, address = (ip_address(on.endpoint("web")[k]) for k in ("Gateway", "IPAddress"))
        loopback = ip_address("127.0.0.1")
        source = address if forged == "its own" else loopback
        host = on.places["host"]
        on.servers.add(host, 631)
        assert host.sysctl("net/ipv4/conf/docker0/route_localnet") == "1"
        assert probe.one(host, loopback, "tcp", 8080).startswith("web:80")
        with Wire(web) as wire:
            mac = host.mac("docker0")

            def attack() -> None:
                for port in (631, 8080):
                    wire.send_ip(mac, frames.tcp(source, loopback, (1111, port)))
                wire.send_ip(mac, frames.ping(address, gateway))

            wire.until(lambda s: s.source == gateway and s.protocol == frames.ICMP, attack)
            assert [s for s in wire.heard if s.protocol == frames.TCP] == []
            if source == address:
                # Without the rule against it the service answers.
                with on.opened(V4, "raw"):
                    wire.until(lambda s: s.protocol == frames.TCP and s.ports[0] == 631, attack)
    finally:
        on.clear()
        on.daemon.restart()


def test_what_passes_through_the_host(on: Scene, family: Family) -> None:
    """A published port takes nothing that is on its way through the host to somebody else."""
    published(on, family)
    on.servers.add(on.places["far"], 8080, version=family.version)
    with on.routed(on.neighbour, family.far, family.host):
        said = probe.one(on.places["neighbour"], family.far, "tcp", 8080)
        assert said.startswith("far:8080")
        # A rule that does not ask whether the packet is for this host takes it.
        command = DIRECT[family.version]
        web = family.shown(family.of(on.endpoint("web", "front")))
        careless = f"-t nat -I PREROUTING -p tcp --dport 8080 -j DNAT --to-destination {web}:80"
        on.host.run([command, *careless.split()])
        assert probe.one(on.places["neighbour"], family.far, "tcp", 8080).startswith("web:80")
        on.host.run([command, *careless.replace("-I", "-D").split()])


def test_another_rule_for_the_same_port(on: Scene) -> None:
    """Who redirects a port by a rule of his own, on his own address, keeps it."""
    on.host.shell("ip address add 192.0.2.77/24 dev eth0")
    theirs = "-t nat -A PREROUTING -d 192.0.2.77/32 -p tcp --dport 8080 -j REDIRECT --to-ports 9000"
    on.host.run(["iptables", *theirs.split()])
    on.servers.add(on.places["host"], 9000)
    on.container("web", "-p 192.0.2.1:8080:80", 80)
    neighbour = on.places["neighbour"]
    assert probe.one(neighbour, ip_address("192.0.2.77"), "tcp", 8080).startswith("host:9000")
    assert probe.one(neighbour, ip_address("192.0.2.1"), "tcp", 8080).startswith("web:80")
    on.host.run(["iptables", *theirs.replace("-A", "-D").split()])
    on.host.shell("ip address del 192.0.2.77/24 dev eth0")


def test_an_address_of_somebody_else(on: Scene, family: Family) -> None:
    """A port cannot be published at an address that is not the host's."""
    shown = family.shown(family.neighbour)
    words = ("run", "-d", "--name", "thief", "-p", f"{shown}:80:80", "busybox", "sleep", "9")
    refused = on.daemon.docker(*words, check=False)
    assert refused.returncode == 125, refused
    assert "cannot assign requested address" in refused.stderr
    on.daemon.docker("rm", "-f", "thief")
    said = probe.one(on.places["neighbour"], family.neighbour, "tcp", 80, expect=False)
    assert said == ""


@pytest.mark.parametrize("address", ["", "192.0.2.1", "127.0.0.1"])
def test_a_port_that_a_service_has(on: Scene, address: str) -> None:
    """Publishing the port of a service of the host fails, and the service keeps its clients."""
    on.servers.add(on.places["host"], 8080)
    for protocol in ("tcp", "udp"):
        where = f"{address}:" * bool(address) + f"8080:80/{protocol}"
        words = ("run", "-d", "--name", "thief", "-p", where, "busybox", "sleep", "9")
        refused = on.daemon.docker(*words, check=False)
        assert refused.returncode == 125, refused
        assert "8080" in refused.stderr
        on.daemon.docker("rm", "-f", "thief", check=False)
        said = probe.one(on.places["neighbour"], on.host.address, protocol, 8080)
        assert said.startswith("host:8080")
