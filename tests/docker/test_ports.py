"""Published ports: who reaches them, whom the container sees, and what they leave behind.

What packets do is asked in every family; what is said about it, once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from tests.docker.family import HOST6, IPV4, Family, once
from tests.docker.images import PYTHON, TALK
from tests.docker.published import BOTH, WEB, Ports
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy
from tests.lab import CommandFailed, Daemon, Machine

pytestmark = pytest.mark.root

REFUSED = ("refused", "timeout")


@pytest.fixture
def ports(
    traces: Traces, daemon: Daemon, machine: Machine, neighbour: Machine, family: Family
) -> Iterator[Ports]:
    """A clean start for each test, and no trace after it."""
    made = Ports(daemon, machine, neighbour, family, "bridge" if family is IPV4 else "home")
    if family is not IPV4:
        made.network(made.home)
    yield made
    traces.none()


def test_from_outside(ports: Ports) -> None:
    """A neighbour reaches the port, and the container sees the neighbour's own address."""
    ports.serve("web", options=WEB)
    for protocol in BOTH:
        seen, _, name = ports.ask(ports.neighbour, protocol, ports.there, 8080)
        assert (seen, name) == (ports.family.neighbour, "web")


@pytest.mark.parametrize("target", ["eth0", "loopback", "gateway"])
def test_from_the_host(ports: Ports, target: str) -> None:
    """The host itself reaches it at each of its addresses."""
    ports.serve("web", options=WEB)
    gateway = ports.family.gateway(ports.lan.endpoints("web")[ports.home])
    places = {"eth0": ports.there, "gateway": gateway, "loopback": ports.family.loopback}
    assert ports.reach(ports.host, places[target]) == ["web", "web"]


@pytest.mark.parametrize("network", ["front", "other", "bridge", "host"])
def test_from_containers(ports: Ports, network: str) -> None:
    """Containers of the same network, of others and on the host reach it at the host's address."""
    ports.network("front")
    ports.serve("web", options=f"--network front {WEB}")
    if network == "bridge":
        network = ports.home
    elif network == "other":
        ports.network("other")
    ports.idle("client", f"--network {network}")
    assert ports.reach("client", ports.there) == ["web", "web"]


def test_from_itself(ports: Ports) -> None:
    """A container reaches its own port at the host's address."""
    ports.serve("web", options=WEB)
    assert ports.reach("web", ports.there) == ["web", "web"]


@once
def test_over_ipv6_on_the_host(ports: Ports) -> None:
    """A port published on every address is there on the host's ::1, as inspect promises."""
    ports.serve("web", options=WEB)
    assert "[::]:8080" in ports.daemon.docker("port", "web").stdout
    for protocol in BOTH:
        assert ports.ask(ports.host, protocol, "::1", 8080)[-1] == "web"
    seen, _, name = ports.ask(ports.neighbour, "tcp", HOST6, 8080)
    assert (seen, name) == (ports.family.gateway(ports.lan.endpoints("web")["bridge"]), "web")


def test_a_range(ports: Ports) -> None:
    """A range is published one to one."""
    ends = [f"tcp:{port}" for port in range(7000, 7004)]
    ports.serve("web", *ends, options="-p 9000-9003:7000-7003 --hostname web")
    for number in range(4):
        assert ports.host_port("web", f"{7000 + number}/tcp") == 9000 + number
        assert ports.ask(ports.neighbour, "tcp", ports.there, 9000 + number)[-1] == "web"
    assert ports.ask(ports.neighbour, "tcp", ports.there, 9004) == ["refused"]


@once
def test_one_of_a_range(ports: Ports) -> None:
    """A range on the host for one port gives each container the next free one."""
    for name in ("one", "two"):
        ports.serve(name, "tcp:80", options=f"-p 9100-9101:80 --hostname {name}")
    assert [ports.host_port(name, "80/tcp") for name in ("one", "two")] == [9100, 9101]
    assert ports.ask(ports.neighbour, "tcp", ports.there, 9101)[-1] == "two"
    refusal = ports.daemon.docker("run", "-p", "9100-9101:80", "busybox", check=False)
    assert refusal.returncode == 125
    assert "port is already allocated" in refusal.stderr


@once
def test_all_exposed(ports: Ports) -> None:
    """-P publishes every exposed port on a free one of the host's."""
    options = "-P --expose 80 --expose 81/udp --hostname web"
    ports.serve("web", "tcp:80", "udp:81", options=options)
    for end, protocol in (("80/tcp", "tcp"), ("81/udp", "udp")):
        port = ports.host_port("web", end)
        assert 32768 <= port <= 60999
        assert ports.ask(ports.neighbour, protocol, ports.there, port)[-1] == "web"


@once
def test_a_free_port(ports: Ports) -> None:
    """-p 80 and -p 127.0.0.1::80 choose a port of the host's each."""
    ports.serve("web", "tcp:80", options="-p 80 -p 127.0.0.1::80 --hostname web")
    (shown,) = json.loads(ports.daemon.docker("inspect", "web").stdout)
    bindings = shown["NetworkSettings"]["Ports"]["80/tcp"]
    hosts = {binding["HostIp"]: int(binding["HostPort"]) for binding in bindings}
    assert ports.ask(ports.neighbour, "tcp", ports.there, hosts["0.0.0.0"])[-1] == "web"
    assert ports.ask(ports.host, "tcp", "127.0.0.1", hosts["127.0.0.1"])[-1] == "web"


def test_one_address_only(ports: Ports) -> None:
    """A port published on one of the host's addresses is not there on the others."""
    family = ports.family
    ports.host.shell(f"ip addr add {family.second}/{family.prefix} dev eth0 nodad")
    try:
        where = f"{family.shown(family.second)}:8080:80"
        ports.serve("web", options=f"-p {where}/tcp -p {where}/udp --hostname web")
        assert ports.reach(ports.neighbour, family.second) == ["web", "web"]
        for asker in (ports.neighbour, ports.host):
            assert ports.reach(asker, ports.there) == ["refused", "refused"]
        assert ports.reach(ports.host, family.loopback) == ["refused", "refused"]
        tidy(ports.daemon)
    finally:
        ports.host.shell(f"ip addr del {family.second}/{family.prefix} dev eth0")


def test_loopback_only(ports: Ports) -> None:
    """A port published on the loopback is for the host alone."""
    where = f"{ports.family.shown(ports.family.loopback)}:8080:80"
    ports.serve("web", options=f"-p {where}/tcp -p {where}/udp --hostname web")
    assert ports.reach(ports.host, ports.family.loopback) == ["web", "web"]
    assert ports.reach(ports.neighbour, ports.there) == ["refused", "refused"]


@once
def test_loopback_only_and_a_forged_frame(ports: Ports) -> None:
    """Even a frame that a neighbour addresses to 127.0.0.1 by hand gets no answer."""
    ports.serve("web", "tcp:80", options="-p 127.0.0.1:8080:80 -p 8081:80 --hostname web")
    assert _knock(ports, IPv4Address(ports.there), 8081), "the forger himself works"
    assert not _knock(ports, IPv4Address("127.0.0.1"), 8080)


def test_containers_are_not_reached_by_route(ports: Ports) -> None:
    """A neighbour who adds a route to the containers gets nowhere, published port or not."""
    ports.serve("web", "tcp:80", "tcp:81", options="-p 8080:80")
    address, route = ports.address("web"), ports.family.route
    ports.neighbour.shell(f"{route} add {address} via {ports.there}")
    try:
        for port in (80, 81):
            assert ports.ask(ports.neighbour, "tcp", address, port)[0] in REFUSED
        assert ports.neighbour.run(
            ["busybox", "ping", "-c", "1", "-W", "1", address], check=False
        ).returncode != 0  # fmt: skip
        gateway = ports.family.gateway(ports.lan.endpoints("web")[ports.home])
        assert ports.ask(ports.host, "tcp", address, 81)[0] == gateway
    finally:
        ports.neighbour.shell(f"{route} del {address}")


def test_an_unpublished_port(ports: Ports) -> None:
    """What is not published is not there, exposed or not."""
    ports.serve("web", "tcp:80", "tcp:81", options="-p 8080:80 --expose 81")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 81) == ["refused"]


@once
def test_conflict_with_a_container(ports: Ports) -> None:
    """A port that another container has: Docker's error, the holder's name, and no trace."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    ports.daemon.docker("create", "--name", "late", "-p", "8080:80", "busybox", "sleep", "100")
    before = ports.host.snapshot()
    with pytest.raises(
        CommandFailed, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"
    ):
        ports.daemon.docker("start", "late")
    refusal = ports.daemon.api("POST", "/containers/late/start")
    assert refusal.status == 500
    assert re.search(r"\bweb\b", refusal.json["hint"])
    assert ports.host.snapshot() == before
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web"
    state = "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}"
    shown = ports.daemon.docker("inspect", "-f", state, "late").stdout.split()
    assert shown[:2] == ["created", "false"]


@once
def test_conflict_with_a_process_of_the_host(ports: Ports) -> None:
    """A port that a program of the host has: address already in use, and who it is."""
    words = [PYTHON, str(TALK), "serve", "tcp:8080"]
    before = ports.host.snapshot()
    with ports.host.popen(words) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            run = ("run", "--name", "late", "-p", "8080:80", "busybox")
            refusal = ports.daemon.docker(*run, check=False)
            again = ports.daemon.api("POST", "/containers/late/start")
        finally:
            process.kill()
    assert refusal.returncode == 125
    assert "failed to bind host port 0.0.0.0:8080/tcp: address already in use" in refusal.stderr
    assert again.status == 500
    assert "python" in again.json["hint"]
    tidy(ports.daemon)
    assert ports.host.snapshot() == before


def test_the_port_follows_the_gateway(ports: Ports) -> None:
    """When the network with the way out is left, the port leads in through the next one."""
    for name in ("front", "other"):
        ports.network(name)
    ports.serve("web", "tcp:80", options="--network front -p 8080:80 --hostname web")
    ports.daemon.docker("network", "connect", "other", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web"
    ports.daemon.docker("network", "disconnect", "front", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web"
    ports.daemon.docker("network", "disconnect", "other", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[0] in REFUSED
    ports.daemon.docker("network", "connect", "front", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web"


def test_stopping_frees_the_port(ports: Ports) -> None:
    """A stopped container's port is free for others, and its own again at the next start."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    ports.daemon.docker("stop", "-t", "0", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080) == ["refused"]
    ports.serve("next", "tcp:80", options="-p 8080:80 --hostname next")
    assert ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "next"
    ports.daemon.docker("rm", "-f", "next")
    ports.daemon.docker("start", "web")
    eventually(lambda: ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web")


def test_restarting_keeps_the_port(ports: Ports) -> None:
    """docker restart leaves the port where it was."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    ports.daemon.docker("restart", "-t", "0", "web")
    eventually(lambda: ports.ask(ports.neighbour, "tcp", ports.there, 8080)[-1] == "web")


def test_restarting_the_daemon_keeps_the_port(ports: Ports) -> None:
    """A daemon that is killed leaves the port open, and its successor takes it over."""
    ports.serve("web", options=WEB)
    ports.daemon.kill9()
    assert ports.reach(ports.neighbour, ports.there) == ["web", "web"]
    ports.daemon.start()
    assert ports.reach(ports.neighbour, ports.there) == ["web", "web"]
    assert ports.reach(ports.host, ports.there) == ["web", "web"]
    ports.daemon.docker("rm", "-f", "web")
    assert ports.reach(ports.neighbour, ports.there) == ["refused", "refused"]


@once
def test_many_askers_at_once(ports: Ports) -> None:
    """A connection made before its container stops ends with it; others are not disturbed."""
    ports.serve("one", "tcp:80", options="-p 8081:80 --hostname one")
    ports.serve("two", "tcp:80", options="-p 8082:80 --hostname two")
    words = [PYTHON, "-u", str(TALK), "converse", str(ports.there), "8081"]
    with ports.neighbour.popen(words, stdin=-1) as talk:
        assert talk.stdin is not None
        assert talk.stdout is not None
        assert talk.stdout.readline().split()[-1] == "one"
        ports.daemon.docker("rm", "-f", "two")
        ports.daemon.docker("network", "create", "fresh")
        print("still there", file=talk.stdin, flush=True)
        assert talk.stdout.readline() == "still there\n"
        talk.stdin.close()


@once
def test_ps_shows_ports(ports: Ports) -> None:
    """docker ps and docker port print what is published."""
    ports.serve("web", "tcp:80", options="-p 8080:80 -p 127.0.0.1:53:53/udp --expose 443")
    shown = ports.daemon.docker("ps", "--format", "{{.Ports}}").stdout.strip()
    assert shown == ("127.0.0.1:53->53/udp, 443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp")
    assert ports.daemon.docker("port", "web").stdout.splitlines() == [
        "53/udp -> 127.0.0.1:53",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
    ]


def _knock(ports: Ports, target: IPv4Address, port: int) -> bool:
    """Sends a SYN to the host's MAC for any address and says whether a SYN-ACK comes back."""
    mac = ports.host.run(["cat", "/sys/class/net/eth0/address"]).stdout.strip()
    program = f"""
import socket, struct, time
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
source, target = socket.inet_aton("{ports.family.neighbour}"), socket.inet_aton("{target}")
tcp = struct.pack("!HHLLBBHHH", 54321, {port}, 1, 0, 0x50, 2, 1024, 0, 0)
check = checksum(source + target + struct.pack("!BBH", 0, 6, 20) + tcp)
tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + source + target
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind(("eth0", 0))
own = wire.getsockname()[4]
wire.send(bytes.fromhex("{mac.replace(":", "")}") + own + b"\\x08\\x00" + ip + tcp)
wire.settimeout(1)
end = time.monotonic() + 1
try:
    while time.monotonic() < end:
        frame = wire.recv(2048)
        if frame[:6] == own and frame[36:38] == struct.pack("!H", 54321) and frame[47] == 0x12:
            print("answered")
            break
except TimeoutError:
    pass
"""
    return "answered" in ports.neighbour.run([PYTHON, "-c", program]).stdout
