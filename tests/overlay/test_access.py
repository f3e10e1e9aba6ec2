"""Each host has its own way into an overlay that was made so, and nobody else has it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address

import pytest

from tests.lab import Machine, Switch
from tests.lab.process import Process
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host, eventually
from tests.security import frames
from tests.security.place import of_container, of_machine
from tests.security.wire import Wire

pytestmark = pytest.mark.root

SUBNETS = ("10.77.0.0/24", "fd77::/64")
NET = "near"
ATTACK = 6666
BOTH = [
    pytest.param("iptables", id="iptables"),
    pytest.param("nftables", id="nftables"),
]


class Scene:
    """Two hosts of a cluster, a container of the network on each, and a stranger on the LAN."""

    def __init__(self, cluster: Cluster, stranger: Machine) -> None:
        self.cluster = cluster
        self.stranger = stranger
        self.one, self.two = cluster.one, cluster.two
        self.web = self.one.run("web", NET)
        self.db = self.two.run("db", NET)

    def own(self, host: Host, version: int = 4) -> str:
        """The address that a host has on the network."""
        found = json.loads(host.docker("network", "inspect", NET))[0]["Containers"]
        name = host.shell("hostname")
        mine = next(each for each in found.values() if each["Name"] == f"host_{name}")
        return str(mine[f"IPv{version}Address"]).partition("/")[0]

    def six(self, host: Host, name: str) -> str:
        """The IPv6 address of a container."""
        form = f'{{{{(index .NetworkSettings.Networks "{NET}").GlobalIPv6Address}}}}'
        return host.docker("inspect", "-f", form, name)


def reaches(machine: Machine, target: str, wait: int = 2) -> bool:
    """Whether a machine itself hears from a target."""
    done = machine.run(["busybox", "ping", "-c", "1", "-W", str(wait), target], check=False)
    return done.returncode == 0


@contextmanager
def running(machine: Machine, *words: str) -> Iterator[Process]:
    """A program on a machine, until the end of the block."""
    with machine.popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module", params=BOTH)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """With either firewall."""
    flag = f"--firewall-backend={request.param}"
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        keeper, stranger = switch.machine("store"), switch.machine("stranger")
        hosts = [Host(switch.machine(name)) for name in ("one", "two")]
        server = stack.enter_context(etcd(keeper))
        cluster = stack.enter_context(Cluster(switch, server, hosts, flag))
        cluster.one.docker(
            "network", "create", "-d", "overlay", "-o", "fairlead.host_access=true", "--ipv6",
            "--subnet", SUBNETS[0], "--subnet", SUBNETS[1], NET,
        )  # fmt: skip
        eventually(lambda: NET in cluster.two.networks())
        made = Scene(cluster, stranger)
        eventually(lambda: reaches(cluster.one.machine, made.db, 1))
        eventually(lambda: reaches(cluster.two.machine, made.web, 1))
        yield made


def test_hosts_and_containers_reach_each_other(scene: Scene) -> None:
    """Every container on every host by its own address, and back, in both families."""
    for host in (scene.one, scene.two):
        for target in (
            scene.web,
            scene.db,
            scene.six(scene.one, "web"),
            scene.six(scene.two, "db"),
        ):
            assert reaches(host.machine, target), target
        for name, at in (("web", scene.one), ("db", scene.two)):
            assert at.pings(name, scene.own(host))
            assert at.pings(name, scene.own(host, 6))
    assert scene.one.pings("web", "host_two")
    assert reaches(scene.one.machine, scene.own(scene.two))


def test_ports_need_not_be_published(scene: Scene) -> None:
    """A service of a container elsewhere is there at its own port; large segments pass."""
    scene.two.docker("exec", "-d", "db", "httpd", "-f", "-p", "80", "-h", "/bin")
    fetch = "import urllib.request as u; print(len(u.urlopen({!r}, timeout=5).read()))"
    words = [sys.executable, "-c", fetch.format(f"http://{scene.db}/busybox")]
    size = scene.two.docker("exec", "db", "stat", "-c", "%s", "/bin/busybox")
    eventually(lambda: scene.one.machine.run(words, check=False).stdout.strip() == size)


def test_a_container_finds_what_the_host_serves(scene: Scene) -> None:
    """What listens on the host is there at its address on the network."""
    ask = f"printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {scene.own(scene.one)} 7070"
    with running(scene.one.machine, sys.executable, "-m", "http.server", "7070", "-d", "/etc"):
        words = ("exec", "db", "sh", "-c", ask)
        eventually(lambda: "root:" in scene.two.docker(*words, check=False))


def test_published_ports_are_there_as_for_everybody(scene: Scene) -> None:
    """What a bridge network publishes on a host is found at that host's address there."""
    serve = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    scene.one.docker("run", "-d", "--name", "pub", "-p", "8085:80", *serve)
    try:
        ask = f"printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {scene.own(scene.one)} 8085"
        eventually(lambda: "root:" in scene.two.docker("exec", "db", "sh", "-c", ask, check=False))
    finally:
        scene.one.docker("rm", "-f", "pub")


def test_published_ports_of_the_network_itself(scene: Scene) -> None:
    """At every address of the host, from everywhere: itself, its neighbours, other hosts, hosts."""
    one, two = scene.one, scene.two
    serve = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
    one.docker("run", "-d", "--name", "hair", "--net", NET, "-p", "8090:80", *serve)
    one.docker("run", "-d", "--name", "plain", "busybox", "sleep", "600")
    one.docker("run", "-d", "--name", "beside", "--net", NET, "busybox", "sleep", "600")
    get = "printf 'GET /passwd HTTP/1.0\\r\\n\\r\\n' | nc -w 3"
    gateway = one.docker("exec", "hair", "ip", "route", "show", "default").split()[2]
    try:
        for target in (str(one.machine.address), scene.own(one), scene.own(one, 6), gateway):
            askers = [(one, "hair"), (one, "beside"), (one, "web"), (two, "db")]
            if target == gateway:
                # There is one of that address on each host, and it is its own containers'.
                askers.remove((two, "db"))
            if target == str(one.machine.address):
                # Addresses on the network are not answered to others of this host.
                askers.append((one, "plain"))
            for host, name in askers:
                words = ("exec", name, "sh", "-c", f"{get} {target} 8090")

                def answered(host: Host = host, words: tuple[str, ...] = words) -> bool:
                    return "root:" in host.docker(*words, check=False)

                eventually(answered)
            for host in (one, two) if target != gateway else (one,):
                said = host.shell(f"{get.replace('nc', 'busybox nc')} {target} 8090", check=False)
                assert "root:" in said, (host, target)
    finally:
        one.docker("rm", "-f", "hair", "plain", "beside")


def test_a_stranger_does_not_get_in(scene: Scene) -> None:
    """Who routes the network by way of a host reaches no container, and no address of a host."""
    near = scene.one.machine.address
    scene.stranger.shell(f"ip route replace {SUBNETS[0]} via {near}")
    try:
        for target in (scene.web, scene.db, scene.own(scene.one), scene.own(scene.two)):
            assert not reaches(scene.stranger, target, 1), target
        # It is the way that is closed: the host itself answers.
        assert reaches(scene.stranger, str(near))
    finally:
        scene.stranger.shell(f"ip route del {SUBNETS[0]}")


def test_other_networks_of_the_host_do_not_get_in(scene: Scene) -> None:
    """A container of a bridge network reaches nobody there, nor the host's address there."""
    scene.one.docker("run", "-d", "--name", "other", "busybox", "sleep", "600")
    try:
        for target in (scene.web, scene.db, scene.own(scene.one)):
            assert not scene.one.pings("other", target, wait=1), target
    finally:
        scene.one.docker("rm", "-f", "other")


def test_a_container_does_not_speak_for_its_host(scene: Scene) -> None:
    """VXLAN of this network that a container sends stays here, in whosever name it is sent.

    Masqueraded it would come to the other host from one that it listens to.
    """
    one, two = scene.one, scene.two
    vni = segment(one)
    for name in ("all", "docker0"):
        # What is sent in another's name would be dropped for that else.
        one.shell(f"sysctl -qw net.ipv4.conf.{name}.rp_filter=0")
    one.docker("run", "-d", "--name", "other", "busybox", "sleep", "600")
    with ExitStack() as stack:
        stack.callback(one.docker, "rm", "-f", "other")
        other, web, there = (
            of_container(one.daemon, "other"),
            of_container(one.daemon, "web"),
            of_machine(two.machine),
        )
        for place in (other, web, there):
            stack.callback(place.close)
        out = stack.enter_context(Wire(other))
        wire, inside = stack.enter_context(Wire(there)), stack.enter_context(Wire(web))
        router = bytes.fromhex(one.shell("cat /sys/class/net/docker0/address").replace(":", ""))
        own = ip_address(one.address("other", "bridge"))
        ends = (one.machine.address, two.machine.address)

        def send(source: frames.IP, to: frames.IP, number: int) -> None:
            out.send_ip(router, frames.udp(source, to, (50000, 4789), forged(number, scene.web)))

        for source in (own, ends[1]):
            for to in ends:
                send(source, to, vni)
        # What is nobody's goes its way, and comes from the host.
        seen = wire.until(lambda s: s.ports[1] == 4789, lambda: send(own, ends[1], 0xFFFFFE))
        assert (seen.source, spoken(seen)) == (ends[0], 0xFFFFFE)
        assert vni not in {spoken(seen) for seen in wire.heard}
        assert two.pings("db", scene.web)
        assert any(seen.protocol == frames.ICMP for seen in inside.listen())
        assert ATTACK not in {seen.ports[1] for seen in inside.heard}


def segment(host: Host) -> int:
    """The VNI of the network."""
    id_ = host.docker("network", "inspect", "-f", "{{.Id}}", NET)
    space = f"/run/fairlead/netns/1-{id_[:10]}"
    said = host.shell(f"nsenter --net={space} ip -d link show vxlan0")
    return int(said.partition("vxlan id ")[2].split()[0])


def forged(vni: int, target: str) -> bytes:
    """A frame for all on a network, as it is in a tunnel."""
    inner = frames.udp(ip_address("10.77.0.99"), ip_address(target), (1, ATTACK))
    frame = frames.ethernet(frames.BROADCAST, b"\x02\x42\0\0\0\1", frames.ETH_IP, inner)
    return struct.pack("!II", 0x08000000, vni << 8) + frame


def spoken(seen: frames.Seen) -> int:
    """The VNI of a captured VXLAN packet; 0 if it is none."""
    if seen.ports[1] != 4789:
        return 0
    return int(struct.unpack_from("!I", seen.payload, 4)[0]) >> 8


def test_the_host_is_no_router_for_containers(scene: Scene) -> None:
    """One that takes the host for its router gets no further than the host."""
    at = scene.own(scene.one)
    target = str(scene.stranger.address)
    scene.one.docker("run", "-d", "--name", "sly", "--net", NET, "--cap-add", "NET_ADMIN",
                     "busybox", "sleep", "600")  # fmt: skip
    try:
        assert scene.one.pings("sly", target)
        scene.one.docker("exec", "sly", "ip", "route", "add", f"{target}/32", "via", at)
        assert not scene.one.pings("sly", target, wait=1)
        assert scene.one.pings("sly", at)
    finally:
        scene.one.docker("rm", "-f", "sly")


def test_what_is_broken_is_mended(scene: Scene) -> None:
    """The interface is deleted, set down or loses its address: moments later all is there."""
    link = scene.one.shell("ls /sys/class/net | grep ^fl-")
    at = scene.own(scene.one)
    for script in (
        f"ip link del {link}",
        f"ip link set {link} down",
        f"ip addr del {at}/24 dev {link}",
        f"ip addr flush dev {link}",
    ):
        scene.one.shell(script)
        eventually(lambda: reaches(scene.one.machine, scene.db, 1))
        target = scene.six(scene.two, "db")
        eventually(lambda target=target: reaches(scene.one.machine, target, 1))  # type: ignore[misc]


def test_doctor_finds_nothing_and_explain_everything(scene: Scene) -> None:
    """The host's own way is as it should be, and said to be what it is."""
    link = scene.one.shell("ls /sys/class/net | grep ^fl-")
    found = scene.one.daemon.fairlead("doctor", "--format", "json", check=False).stdout
    assert link not in found
    assert "overlaps" not in found
    told = scene.one.daemon.fairlead("explain", f"host_{scene.one.shell('hostname')}").stdout
    assert f"{link} in the host" in told
    assert "the host has access to network near" in told


def test_a_daemon_that_restarts_keeps_it(scene: Scene) -> None:
    """Packets go on while there is no daemon, and the address is the same afterwards."""
    at = scene.own(scene.one)
    words = ("busybox", "ping", "-q", "-i", "0.05", "-c", "60", "-W", "2", scene.db)
    with scene.one.machine.popen(words) as ping:
        scene.one.daemon.restart()
        told = ping.communicate(timeout=60)[0]
        assert " 0% packet loss" in told, told
    assert scene.own(scene.one) == at


def test_it_ends_with_the_network(scene: Scene) -> None:
    """Removed from elsewhere once its containers are gone; hosts have nothing of it left."""
    scene.one.docker("rm", "-f", "web")
    scene.two.docker("rm", "-f", "db")
    eventually(lambda: "web" not in scene.two.docker("network", "inspect", NET))
    scene.two.docker("network", "rm", NET)
    for host in (scene.one, scene.two):
        eventually(lambda host=host: NET not in host.networks())  # type: ignore[misc]
        eventually(lambda host=host: "fl-" not in host.shell("ls /sys/class/net"))  # type: ignore[misc]
