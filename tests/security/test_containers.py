"""What a container gets at: other networks, the host's services, the daemon, other kernels' doors."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from tests.docker.images import LENT, TOOLS
from tests.docker.stage import eventually
from tests.security import frames, probe
from tests.security.scene import Family, Scene, scene
from tests.security.wire import Wire

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """The scene, with one firewall: here it makes no difference."""
    with scene() as made:
        yield made


# Docker's, with which a container that asks for nothing starts.
DEFAULT = 0x00000000A80425FB


def test_bridges_are_apart(on: Scene, family: Family) -> None:
    """A container reaches no container of another network, in any protocol, by any route."""
    on.network("front", family.create)
    on.network("back", family.create)
    on.container("one", "--network front", 80, version=family.version)
    on.container("two", "--network back", 80, version=family.version)
    target = family.of(on.endpoint("two", "back"))
    questions = [
        probe.Question("one", target, protocol, port)
        for protocol, port in (("tcp", 80), ("udp", 80), ("icmp", 0))
    ]
    assert set(probe.ask(on.places, questions).values()) == {""}

    with on.opened(family, "forward"):
        assert all(probe.ask(on.places, questions, lambda _: True).values())


def test_an_internal_network_has_no_way_out(on: Scene, family: Family) -> None:
    """Not even with routes of the container's own making, and nobody outside has a way in."""
    on.network("deep", f"--internal {family.create}")
    on.network("front", family.create)
    inner = on.container("inner", "--network deep", 80, version=family.version)
    on.container("web", "--network front", 80, version=family.version)
    on.servers.add(on.places["neighbour"], 80, version=family.version)
    endpoint = on.endpoint("inner", "deep")
    address = family.of(endpoint)
    bridge = on.daemon.api("GET", "/networks/deep").json
    gateways = [ip_address(pool["Gateway"]) for pool in bridge["IPAM"]["Config"]]
    (gateway,) = (g for g in gateways if g.version == family.version)
    everywhere = ip_network("0.0.0.0/0" if family.version == 4 else "::/0")
    inner.there(lambda: _route(everywhere, gateway))
    targets = (family.neighbour, family.of(on.endpoint("web", "front")))
    questions = [
        probe.Question("inner", target, protocol, port)
        for target in targets
        for protocol, port in (("tcp", 80), ("udp", 80), ("icmp", 0))
    ]
    assert set(probe.ask(on.places, questions).values()) == {""}
    with on.routed(on.neighbour, address, family.host):
        assert probe.one(on.places["neighbour"], address, "tcp", 80, expect=False) == ""


ISOLATED = "-o com.docker.network.bridge.gateway_mode_ipv4=isolated"


def test_an_isolated_network_does_not_reach_the_host(on: Scene) -> None:
    """An internal network does, at the host's address there; in mode isolated there is none."""
    on.servers.add(on.places["host"], 631)
    on.network("deep", "--internal --subnet 10.7.0.0/24")
    on.network("lone", f"--internal --subnet 10.8.0.0/24 {ISOLATED}")
    inner = on.container("inner", "--network deep")
    lonely = on.container("lonely", "--network lone")
    said = probe.one(
        inner, ip_address(on.endpoint("inner", "deep")["Gateway"] or "10.7.0.1"), "tcp", 631
    )
    assert said.startswith("host:631")
    for target in ("10.8.0.1", str(on.host.address), "172.17.0.1"):
        assert probe.one(lonely, ip_address(target), "tcp", 631, expect=False) == ""


def _route(destination: object, gateway: object) -> None:
    version = "-6" if ":" in str(gateway) else "-4"
    words = ["ip", version, "route", "add", str(destination), "via", str(gateway)]
    subprocess.run(words, check=True, timeout=60)


def test_the_daemon_is_not_on_the_network(on: Scene) -> None:
    """No address of the host answers a container on any port but what is published."""
    on.network("front")
    on.container("web", "--network front -p 8080:80", 80)
    listening = on.host.run(["ss", "-Hltnu"]).stdout
    ports = {int(port) for port in re.findall(r":(\d+)\s", listening)}
    assert ports == {8080}
    gateway = ip_address(on.endpoint("web", "front")["Gateway"])
    questions = [
        probe.Question("web", target, protocol, port)
        for target in (gateway, on.host.address, ip_address("172.17.0.1"))
        for protocol in ("tcp", "udp")
        for port in (53, 2375, 2376, 2377, 4243, 7946, 8080, 9323, 61053)
    ]
    there = {q for q in questions if (q.protocol, q.port) == ("tcp", 8080)}
    answers = probe.ask(on.places, questions, lambda q: q in there)
    assert {q for q, said in answers.items() if said} == there


def test_sockets_of_the_daemon_are_for_root(on: Scene) -> None:
    """No socket of ours has an abstract name, which host-network containers would reach."""
    on.daemon.docker(
        "run", "-d", "--name", "hosted", "--network", "host", "busybox", "sleep", "1000000"
    )
    on.daemon.docker(
        "run", "-d", "--name", "bridged", "-p", "8080:80", "busybox", "sleep", "1000000"
    )
    assert "@" not in on.host.run(["ss", "-Hxl"]).stdout
    for name, sees in (("hosted", True), ("bridged", False)):
        listed = on.daemon.docker("exec", name, "cat", "/proc/net/unix").stdout
        assert ("docker.sock" in listed) is sees, listed
        assert "@" not in listed
    sockets = on.host.shell("find /run /var/lib /tmp -type s").stdout.split()
    assert "/run/docker.sock" in sockets
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3"]
    for path in sockets:
        program = f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})"
        done = on.host.run([*nobody, "-c", program], check=False)
        assert "Permission denied" in done.stderr, path


def capabilities(on: Scene, *words: str) -> dict[str, int]:
    """The sets of a process that a docker command starts."""
    said = on.daemon.docker(*words, "grep", "^Cap", "/proc/self/status").stdout
    return {line[3:6]: int(line.split()[1], 16) for line in said.splitlines()}


@pytest.mark.parametrize("user", ["", "1000:1000"])
@pytest.mark.parametrize("options", ["", "--cap-add NET_ADMIN", "--cap-drop ALL", "--privileged"])
def test_capabilities(on: Scene, options: str, user: str) -> None:
    """Nothing is inherited or ambient, in what runs and in what is executed; no more than asked."""
    as_user = [f"--user={user}"] * bool(user)
    name = ("--name", "web")
    on.daemon.docker("run", "-d", *name, *options.split(), *as_user, "busybox", "sleep", "1000000")
    running = "grep ^Cap /proc/1/status; exec grep ^Cap /proc/self/status"
    first = on.daemon.docker("exec", "web", "sh", "-c", running).stdout.splitlines()
    main = {line[3:6]: int(line.split()[1], 16) for line in first[:5]}
    executed = capabilities(on, "exec", "web")
    as_other = capabilities(on, "exec", "--user=65534", "web")
    for found in (main, executed, as_other):
        assert found["Inh"] == found["Amb"] == 0
    asked = {"": DEFAULT, "--cap-add NET_ADMIN": DEFAULT | 1 << 12, "--cap-drop ALL": 0}
    if options in asked:
        assert main["Bnd"] == executed["Bnd"] == asked[options]
    assert as_other["Eff"] == as_other["Prm"] == 0
    if user:
        assert main["Eff"] == main["Prm"] == 0


# What changes by itself.
MOVING = "random|nr_|dentry|inode|file-nr|conntrack_count|ns_last|pty|docker0|veth|br-"


def settings(on: Scene) -> str:
    """All settings of the host's kernel that somebody sets."""
    return on.host.shell(f"sysctl -a 2>/dev/null | grep -vE '{MOVING}'").stdout


def test_a_container_cannot_change_the_hosts_settings(on: Scene) -> None:
    """Sysctls of the host's kernel and network are refused, whatever the text around them."""
    before = settings(on)
    hostile = [
        {"net.ipv4.ip_forward": "0\nkernel.shm_rmid_forced=1"},
        {"net.ipv4.ip_forward": "0+kernel.core_pattern=|/bin/sh"},
        {"net.ipv4.ip_forward=0\nkernel.core_pattern": "x"},
        {"kernel.core_pattern": "|/bin/sh"},
        {"kernel/core_pattern": "|/bin/sh"},
        {"net.ipv4/../../kernel/core_pattern": "x"},
        {"net.../../kernel/core_pattern": "x"},
        {"net/../kernel/core_pattern": "x"},
        {"../kernel/core_pattern": "x"},
        {"vm.swappiness": "1"},
        {"net.ipv4.ip_forward": "0\0"},
        {"net.ipv4.nosuch": "1"},
        {"": "1"},
        {"net": "1"},
        {"net.ipv4.ip forward": "0"},
        {" net.ipv4.ip_forward": "0"},
    ]
    for sysctls in hostile:
        body = {"Image": "busybox", "Cmd": ["sleep", "9"], "HostConfig": {"Sysctls": sysctls}}
        made = on.daemon.api("POST", "/containers/create?name=bad", body)
        if made.status == 201:
            started = on.daemon.api("POST", "/containers/bad/start")
            assert 400 <= started.status < 600, (sysctls, started.body)
            assert "Traceback" not in started.body.decode()
            on.daemon.api("DELETE", "/containers/bad?force=1")
        else:
            assert made.status in (400, 409, 500), (sysctls, made.body)
            assert json.loads(made.body)["message"] != "internal error", sysctls
    for mode in ("host", "container:hosted"):
        if mode != "host":
            hosted = ("run", "-d", "--name", "hosted", "--network", "host")
            on.daemon.docker(*hosted, "busybox", "sleep", "1000000")
        words = ("--network", mode, "--sysctl", "net.ipv4.ip_forward=0", "busybox", "true")
        assert on.daemon.docker("run", "--rm", *words, check=False).returncode != 0
    after = settings(on)
    assert after == before


def test_many_addresses_of_one_container(on: Scene) -> None:
    """A flood of source addresses takes from nobody the traffic that is meant for him.

    The bridge forgets nobody: once its table is full it sends what it does not know to all ports,
    but everyone it knew before is still known.
    """
    on.network("front")
    for name in ("one", "two"):
        on.container(name, "--network front", 80)
    attacker = on.container("attacker", "--network front")
    two = ip_address(on.endpoint("two", "front")["IPAddress"])
    one = ip_address(on.endpoint("one", "front")["IPAddress"])
    assert probe.one(on.places["one"], two, "udp", 80).startswith("two:80")
    with Wire(attacker) as wire:
        for number in range(5000):
            source = b"\x02\x66" + number.to_bytes(4)
            wire.send(frames.ethernet(frames.BROADCAST, source, 0x88B5, b"flood"))
        for _ in range(20):
            assert probe.one(on.places["one"], two, "udp", 80).startswith("two:80")
        wire.listen()
        between = [s for s in wire.heard if {s.source, s.target} == {one, two}]
        assert between == []


def test_a_container_that_ends_at_once_leaves_no_door_open(on: Scene) -> None:
    """Its port is free and closed again when it is gone."""
    place = on.places["neighbour"]
    for _ in range(3):
        on.daemon.docker("run", "--rm", "-p", "8080:80", "busybox", "true")
        eventually(lambda: "8080" not in on.host.run(["ss", "-Hltn"]).stdout)
        assert probe.one(place, on.host.address, "tcp", 8080, expect=False) == ""


def test_tools_are_lent_read_only(on: Scene) -> None:
    """The tests' own loans are no holes."""
    words = ("run", "--rm", *LENT, TOOLS, "touch", "/usr/here")
    assert on.daemon.docker(*words, check=False).returncode != 0
