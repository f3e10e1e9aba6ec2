"""Networks without encapsulation: hosts on one segment route to each other's containers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab import Machine, Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host, eventually, pinging

pytestmark = pytest.mark.root

NET = "flat"
SUBNETS = ("10.88.0.0/24", "fd88::/64")
NONE = ("-d", "overlay", "-o", "fairlead.encapsulation=none")
LISTEN = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 7000))
print("ready", flush=True)
while True:
    said, who = sock.recvfrom(100)
    print(said.decode(), who[0], flush=True)
"""
SAY = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
sock.bind((sys.argv[1], 0))
sock.sendto(sys.argv[3].encode(), (sys.argv[2], 7000))
"""


LOOK = """
ip -br link
ip route; ip -6 route
ip neigh show proxy; ip -6 neigh show proxy
ip -6 addr
nft list ruleset
iptables-save
"""


class Scene:
    """Three hosts, of which two have a container each on the network, and a stranger."""

    def __init__(self, cluster: Cluster, stranger: Machine) -> None:
        self.cluster = cluster
        self.stranger = stranger
        self.one, self.two, self.three = cluster.hosts
        self.web = self.one.run("web", NET)
        self.db = self.two.run("db", NET)
        self.seen = self.bridge()

    def bridge(self) -> str:
        """What the network's bridge is called, on every host."""
        return f"br-{self.one.docker('network', 'inspect', '-f', '{{.Id}}', NET)[:12]}"


def six(host: Host, name: str, network: str = NET) -> str:
    """The IPv6 address of a container."""
    form = f'{{{{(index .NetworkSettings.Networks "{network}").GlobalIPv6Address}}}}'
    return host.docker("inspect", "-f", form, name)


def space(host: Host, name: str) -> str:
    """The network namespace of a container, as a flag of nsenter."""
    return f"--net=/proc/{host.docker('inspect', '-f', '{{.State.Pid}}', name)}/ns/net"


def say(machine: Machine, *words: str, inside: str = "") -> None:
    """Sends a datagram from an address to another; the machine may refuse to."""
    enter = ["nsenter", inside] if inside else []
    machine.run([*enter, sys.executable, "-c", SAY, *words], check=False)


class Ear:
    """What reaches a container on UDP port 7000."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        assert self._lines.readline() == "ready\n"

    def next(self) -> list[str]:
        """What was said, and from which address."""
        return self._lines.readline().split()


@contextmanager
def ear(host: Host, name: str) -> Iterator[Ear]:
    """Listens in a container until the end of the block."""
    command = ["nsenter", space(host, name), sys.executable, "-c", LISTEN]
    with host.machine.popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield Ear(process)
        finally:
            process.kill()


def reaches(machine: Machine, target: str, wait: int = 1) -> bool:
    """Whether a machine itself hears from a target."""
    done = machine.run(["busybox", "ping", "-c", "1", "-W", str(wait), target], check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """With either firewall: what one lets out the other has to let in."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        keeper, stranger = switch.machine("store"), switch.machine("stranger")
        hosts = [
            Host(switch.machine("one")),
            Host(switch.machine("two"), "--firewall-backend=nftables"),
            Host(switch.machine("three")),
        ]
        for host in hosts:
            host.shell("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0")
        server = stack.enter_context(etcd(keeper))
        cluster = stack.enter_context(Cluster(switch, server, hosts))
        subnets = (word for subnet in SUBNETS for word in ("--subnet", subnet))
        cluster.one.docker("network", "create", *NONE, "--ipv6", *subnets, NET)
        eventually(lambda: NET in cluster.two.networks())
        made = Scene(cluster, stranger)
        eventually(lambda: made.one.pings("web", made.db, wait=1))
        yield made


def test_containers_reach_each_other(scene: Scene) -> None:
    """By address and by name, both ways, in both families."""
    one, two = scene.one, scene.two
    for target in (scene.db, "db", six(two, "db")):
        assert one.pings("web", target), target
    for target in (scene.web, "web", six(one, "web")):
        assert two.pings("db", target), target


def test_several_subnets(scene: Scene) -> None:
    """Who is on different subnets of one network: on one host, and across hosts."""
    one, two = scene.one, scene.two
    subnets = ("--subnet", "10.86.0.0/24", "--subnet", "10.87.0.0/24")
    one.docker("network", "create", *NONE, *subnets, "wide")
    eventually(lambda: "wide" in two.networks())
    try:
        first = one.run("w1", "wide", "--ip", "10.86.0.11")
        second = one.run("w2", "wide", "--ip", "10.87.0.12")
        afar = two.run("w3", "wide", "--ip", "10.87.0.13")
        eventually(lambda: one.pings("w2", afar, wait=1))
        for target in (second, afar, "w2", "w3"):
            eventually(lambda target=target: one.pings("w1", target, wait=1), 10)  # type: ignore[misc]
        assert two.pings("w3", first)
    finally:
        one.docker("rm", "-f", "w1", "w2", check=False)
        two.docker("rm", "-f", "w3", check=False)
        one.docker("network", "rm", "wide")


def test_packets_travel_as_they_are(scene: Scene) -> None:
    """Of full size, from the container's own address, and in no tunnel."""
    assert scene.one.docker("exec", "web", "cat", "/sys/class/net/eth0/mtu") == "1500"
    scene.two.shell(f"""
        iptables -t raw -N TAP
        iptables -t raw -I PREROUTING -i eth0 -j TAP
        iptables -t raw -A TAP -p udp --dport 4789
        iptables -t raw -A TAP -p icmp -s {scene.web} -d {scene.db} -m length --length 1500
    """)
    done = scene.one.docker("exec", "web", "ping", "-c", "3", "-W", "2", "-s", "1472", scene.db)
    assert " 0% packet loss" in done
    tunnelled, whole = scene.two.shell("iptables -t raw -L TAP -nvx | tail -n 2").splitlines()
    scene.two.shell("""
        iptables -t raw -D PREROUTING -i eth0 -j TAP
        iptables -t raw -F TAP
        iptables -t raw -X TAP
    """)
    assert (tunnelled.split()[0], whole.split()[0]) == ("0", "3")
    with ear(scene.two, "db") as heard:
        say(scene.one.machine, scene.web, scene.db, "hello", inside=space(scene.one, "web"))
        assert heard.next() == ["hello", scene.web]


def test_nobody_else_gets_in(scene: Scene) -> None:
    """A machine of the segment with a route, from its own address or one of the network's."""
    near = scene.one.machine.address
    scene.stranger.shell(f"ip route replace {SUBNETS[0]} via {near}")
    try:
        assert reaches(scene.stranger, str(near))
        assert not reaches(scene.stranger, scene.web)
        assert not reaches(scene.stranger, scene.db)
        with ear(scene.one, "web") as heard:
            for source in (str(scene.stranger.address), "10.88.0.200", scene.web, "10.88.0.1"):
                say(scene.stranger, source, scene.web, "stranger")
            say(scene.two.machine, str(scene.two.machine.address), scene.web, "host")
            say(scene.two.machine, scene.db, scene.web, "friend", inside=space(scene.two, "db"))
            assert heard.next() == ["friend", scene.db]
    finally:
        scene.stranger.shell(f"ip route del {SUBNETS[0]}")


def test_containers_speak_for_themselves(scene: Scene) -> None:
    """Neither for members that are elsewhere, nor for addresses that nobody has."""
    inside = space(scene.one, "web")
    third = scene.three.run("third", NET)
    try:
        eventually(lambda: scene.one.pings("web", third, wait=1))
        with ear(scene.two, "db") as heard:
            for source in (third, "10.88.0.200", str(scene.one.machine.address)):
                say(scene.one.machine, source, scene.db, "forged", inside=inside)
            say(scene.one.machine, scene.web, scene.db, "true", inside=inside)
            assert heard.next() == ["true", scene.web]
    finally:
        scene.three.docker("rm", "-f", "third")


def test_other_networks_are_closed(scene: Scene) -> None:
    """A container of a bridge network reaches nobody on it, here or elsewhere, nor does the host."""
    scene.one.docker("run", "-d", "--name", "other", "busybox", "sleep", "600")
    inside = space(scene.one, "other")
    try:
        with ear(scene.one, "web") as here, ear(scene.two, "db") as there:
            for target, source in ((scene.web, scene.db), (scene.db, scene.web)):
                assert not scene.one.pings("other", target, wait=1), target
                assert not reaches(scene.one.machine, target), target
                say(scene.one.machine, source, target, "other", inside=inside)
                say(scene.one.machine, source, target, "host")
            say(scene.two.machine, scene.db, scene.web, "friend", inside=space(scene.two, "db"))
            say(scene.one.machine, scene.web, scene.db, "friend", inside=space(scene.one, "web"))
            assert here.next() == ["friend", scene.db]
            assert there.next() == ["friend", scene.web]
    finally:
        scene.one.docker("rm", "-f", "other")


def test_the_world_is_reached_as_on_any_overlay(scene: Scene) -> None:
    """By way of the host, at its own interface."""
    assert scene.one.pings("web", str(scene.stranger.address))
    assert "docker_gwbridge" in scene.one.networks()


def test_an_address_that_moves_is_followed(scene: Scene) -> None:
    """From one host to another, to the asker's own, and away again."""
    at = "10.88.0.50"
    for host in (scene.two, scene.three, scene.one, scene.two):
        host.run("mover", NET, "--ip", at)
        eventually(lambda: scene.one.pings("web", at, wait=1))
        host.docker("rm", "-f", "mover")


def test_what_is_broken_is_mended(scene: Scene) -> None:
    """A route or the bridge is deleted, the way between hosts is down: all comes back."""
    for script in (
        f"ip route del {scene.db}/32",
        f"ip -6 route del {six(scene.two, 'db')}/128",
        f"ip link del {scene.bridge()}",
        "ip link set eth0 down; ip link set eth0 up",
    ):
        scene.one.shell(script)
        eventually(lambda: scene.one.pings("web", scene.db, wait=1))
        eventually(lambda: scene.one.pings("web", six(scene.two, "db"), wait=1))
    # The only port of the bridge has no carrier for a while.
    third, inside = scene.three.run("third", NET), space(scene.three, "third")
    eventually(lambda: scene.three.pings("third", scene.db, wait=1))
    scene.three.shell(f"nsenter {inside} ip link set eth0 down")
    eventually(lambda: "NO-CARRIER" in scene.three.shell(f"ip link show {scene.bridge()}"))
    scene.three.shell(f"nsenter {inside} ip link set eth0 up")
    # At once: no audit has been by.
    assert scene.three.pings("third", scene.db, wait=5)
    assert scene.two.pings("db", third)
    scene.three.docker("rm", "-f", "third")
    scene.one.shell(f"ip neigh del proxy {scene.db} dev {scene.bridge()}")
    scene.one.daemon.fairlead("doctor", "--fix", check=False)
    assert scene.db in scene.one.shell("ip neigh show proxy")


def test_people_are_told(scene: Scene) -> None:
    """What stands there is explained, and the picture shows routes."""
    told = scene.one.daemon.fairlead("explain", NET).stdout
    assert f"route   {scene.db}/32 via {scene.two.machine.address} dev eth0" in told
    assert f"proxy   {scene.db} is answered for on {scene.bridge()}" in told
    assert f"db is on network {NET}, on host {scene.two.machine.address}" in told
    found = scene.one.daemon.fairlead("doctor", "--format", "json", check=False).stdout
    assert scene.bridge() not in found
    assert "10.88." not in found
    drawn = scene.one.daemon.fairlead("cluster").stdout
    assert f"══> {scene.two.machine.address}" in drawn
    assert "routed" in drawn


def test_daemons_may_restart(scene: Scene) -> None:
    """Nobody who pings notices."""
    with pinging(scene.one, "web", scene.db):
        scene.one.daemon.restart()
        scene.two.daemon.restart()


def test_a_host_behind_a_router_is_told_of(scene: Scene) -> None:
    """Its containers are out of reach, those of others are not, and it is said once."""
    behind, via = scene.two.machine.address, scene.one.machine.address
    scene.three.shell(f"ip route add {behind}/32 via {via}")
    try:
        scene.three.run("lone", NET)
        eventually(lambda: scene.three.pings("lone", scene.web, wait=1))
        assert not scene.three.pings("lone", scene.db, wait=1)
        warned = json.loads(scene.three.docker("info", "-f", "{{json .Warnings}}"))
        assert sum(f"host {behind} is behind a router" in line for line in warned) == 1
    finally:
        scene.three.shell(f"ip route del {behind}/32")
    eventually(lambda: scene.three.pings("lone", scene.db, wait=1))
    scene.three.docker("rm", "-f", "lone")


def test_hosts_have_access_where_they_are_meant_to(scene: Scene) -> None:
    """Each with an address of its own, to every member on every host, and they to it."""
    one, two = scene.one, scene.two
    one.docker("network", "create", *NONE, "-o", "fairlead.host_access=true", "near")
    eventually(lambda: "near" in two.networks())
    web, db = one.run("web2", "near"), two.run("db2", "near")
    for host, other in ((one, two), (two, one)):
        for target in (web, db):
            eventually(lambda h=host, t=target: reaches(h.machine, t))  # type: ignore[misc]
        for name in (f"host_{host.machine.name}", f"host_{other.machine.name}"):
            assert host.pings("web2" if host is one else "db2", name)
    found = json.loads(one.docker("network", "inspect", "near"))[0]["Containers"].values()
    own = next(e["IPv4Address"].partition("/")[0] for e in found if e["Name"] == "host_one")
    scene.stranger.shell(f"ip route replace {own}/32 via {one.machine.address}")
    assert not reaches(scene.stranger, own)
    one.docker("rm", "-f", "web2")
    two.docker("rm", "-f", "db2")
    two.docker("network", "rm", "near")


def test_nothing_is_left(scene: Scene) -> None:
    """With the last container all of it goes from a host, with the network from the cluster."""
    scene.two.docker("rm", "-f", "db")
    scene.one.docker("rm", "-f", "web")
    eventually(lambda: '"db"' not in scene.one.docker("network", "inspect", NET))
    scene.one.docker("network", "rm", NET)
    for host in scene.cluster.hosts:
        eventually(lambda host=host: NET not in host.networks())  # type: ignore[misc]
        for trace in ("10.88.", "fd88:", "5efe", scene.seen):
            eventually(lambda h=host, t=trace: t not in h.shell(LOOK, check=False))  # type: ignore[misc]
        assert "routed" not in host.shell("nft list table inet fairlead", check=False)
