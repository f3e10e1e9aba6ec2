"""Published ports: who reaches them, whom the container sees, and what they leave behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import pytest

from tests.docker.images import LENT, PYTHON, TALK, TOOLS
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy
from tests.lab import CommandFailed, Daemon, Machine

pytestmark = pytest.mark.root

REFUSED = ("refused", "timeout")


@dataclass(frozen=True, slots=True)
class Ports:
    """The host with its daemon, and a neighbour who asks."""

    daemon: Daemon
    host: Machine
    neighbour: Machine

    def serve(self, name: str, *ends: str, options: str = "") -> None:
        """Runs a container that tells everyone who they are, on each of the ends."""
        words = (*options.split(), *LENT, TOOLS, PYTHON, "-u", str(TALK), "serve", *ends)
        self.daemon.docker("run", "-d", "--name", name, *words)
        self.ready(name)

    def ready(self, name: str) -> None:
        """Waits until the container's server listens."""
        logs = f"/containers/{name}/logs?stdout=1"
        eventually(lambda: b"ready" in self.daemon.api("GET", logs).body)

    def idle(self, name: str, options: str = "") -> None:
        """Runs a container that does nothing but can be asked to ask."""
        words = (*options.split(), *LENT, TOOLS, "sleep", "1000000")
        self.daemon.docker("run", "-d", "--name", name, *words)

    def ask(self, asker: Machine | str, protocol: str, host: object, port: int) -> list[str]:
        """Asks from a machine or from a container: the address seen, the port, the server."""
        words = [PYTHON, str(TALK), "ask", protocol, str(host), str(port), "1"]
        if isinstance(asker, Machine):
            return asker.run(words).stdout.split()
        return self.daemon.docker("exec", asker, *words).stdout.split()

    def address(self, name: str, network: str = "bridge") -> str:
        """Returns a container's address."""
        words = '{{(index .NetworkSettings.Networks "' + network + '").IPAddress}}'
        return self.daemon.docker("inspect", "-f", words, name).stdout.strip()

    def host_port(self, name: str, end: str) -> int:
        """Returns the host's port that leads to the container's."""
        shown = self.daemon.docker("port", name, end).stdout.splitlines()[0]
        return int(shown.rpartition(":")[2])


@pytest.fixture
def ports(traces: Traces, daemon: Daemon, machine: Machine, neighbour: Machine) -> Iterator[Ports]:
    """A clean start for each test, and no trace after it."""
    yield Ports(daemon, machine, neighbour)
    traces.none()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_from_outside(ports: Ports, protocol: str) -> None:
    """A neighbour reaches the port, and the container sees the neighbour's own address."""
    ports.serve("web", f"{protocol}:80", options=f"-p 8080:80/{protocol} --hostname web")
    seen, _, name = ports.ask(ports.neighbour, protocol, ports.host.address, 8080)
    assert (seen, name) == (str(ports.neighbour.address), "web")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("target", ["eth0", "127.0.0.1", "localhost", "docker0"])
def test_from_the_host(ports: Ports, protocol: str, target: str) -> None:
    """The host itself reaches it at each of its addresses."""
    ports.serve("web", f"{protocol}:80", options=f"-p 8080:80/{protocol} --hostname web")
    address = {"eth0": str(ports.host.address), "docker0": "172.17.0.1"}.get(target, target)
    assert ports.ask(ports.host, protocol, address, 8080)[-1] == "web"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("network", ["front", "other", "bridge", "host"])
def test_from_containers(ports: Ports, protocol: str, network: str) -> None:
    """Containers of the same network, of others and on the host reach it at the host's address."""
    for name in ("front", "other"):
        ports.daemon.docker("network", "create", name)
    options = f"--network front -p 8080:80/{protocol} --hostname web"
    ports.serve("web", f"{protocol}:80", options=options)
    ports.idle("client", f"--network {network}")
    assert ports.ask("client", protocol, ports.host.address, 8080)[-1] == "web"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_from_itself(ports: Ports, protocol: str) -> None:
    """A container reaches its own port at the host's address."""
    ports.serve("web", f"{protocol}:80", options=f"-p 8080:80/{protocol} --hostname web")
    assert ports.ask("web", protocol, ports.host.address, 8080)[-1] == "web"


def test_over_ipv6_on_the_host(ports: Ports) -> None:
    """A port published on every address is there on the host's ::1, as inspect promises."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    assert "[::]:8080" in ports.daemon.docker("port", "web").stdout
    words = "import socket; print(socket.create_connection(('::1', 8080), 2).recv(99).decode())"
    assert ports.host.run([PYTHON, "-c", words]).stdout.split()[-1] == "web"


def test_a_range(ports: Ports) -> None:
    """A range is published one to one."""
    ends = [f"tcp:{port}" for port in range(7000, 7004)]
    ports.serve("web", *ends, options="-p 9000-9003:7000-7003 --hostname web")
    for number in range(4):
        assert ports.host_port("web", f"{7000 + number}/tcp") == 9000 + number
        assert ports.ask(ports.neighbour, "tcp", ports.host.address, 9000 + number)[-1] == "web"
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 9004) == ["refused"]


def test_one_of_a_range(ports: Ports) -> None:
    """A range on the host for one port gives each container the next free one."""
    for name in ("one", "two"):
        ports.serve(name, "tcp:80", options=f"-p 9100-9101:80 --hostname {name}")
    assert [ports.host_port(name, "80/tcp") for name in ("one", "two")] == [9100, 9101]
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 9101)[-1] == "two"
    refusal = ports.daemon.docker("run", "-p", "9100-9101:80", "busybox", check=False)
    assert refusal.returncode == 125
    assert "port is already allocated" in refusal.stderr


def test_all_exposed(ports: Ports) -> None:
    """-P publishes every exposed port on a free one of the host's."""
    options = "-P --expose 80 --expose 81/udp --hostname web"
    ports.serve("web", "tcp:80", "udp:81", options=options)
    for end, protocol in (("80/tcp", "tcp"), ("81/udp", "udp")):
        port = ports.host_port("web", end)
        assert 32768 <= port <= 60999
        assert ports.ask(ports.neighbour, protocol, ports.host.address, port)[-1] == "web"


def test_a_free_port(ports: Ports) -> None:
    """-p 80 and -p 127.0.0.1::80 choose a port of the host's each."""
    ports.serve("web", "tcp:80", options="-p 80 -p 127.0.0.1::80 --hostname web")
    (shown,) = json.loads(ports.daemon.docker("inspect", "web").stdout)
    bindings = shown["NetworkSettings"]["Ports"]["80/tcp"]
    hosts = {binding["HostIp"]: int(binding["HostPort"]) for binding in bindings}
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, hosts["0.0.0.0"])[-1] == "web"
    assert ports.ask(ports.host, "tcp", "127.0.0.1", hosts["127.0.0.1"])[-1] == "web"


def test_one_address_only(ports: Ports) -> None:
    """A port published on one of the host's addresses is not there on the others."""
    ports.host.shell("ip addr add 192.0.2.100/24 dev eth0")
    try:
        ports.serve("web", "tcp:80", options="-p 192.0.2.100:8080:80 --hostname web")
        assert ports.ask(ports.neighbour, "tcp", "192.0.2.100", 8080)[-1] == "web"
        assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080) == ["refused"]
        assert ports.ask(ports.host, "tcp", "127.0.0.1", 8080) == ["refused"]
        tidy(ports.daemon)
    finally:
        ports.host.shell("ip addr del 192.0.2.100/24 dev eth0")


def test_loopback_only(ports: Ports) -> None:
    """A port published on 127.0.0.1 is for the host alone."""
    ports.serve("web", "tcp:80", options="-p 127.0.0.1:8080:80 --hostname web")
    assert ports.ask(ports.host, "tcp", "127.0.0.1", 8080)[-1] == "web"
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080) == ["refused"]


def test_loopback_only_and_a_forged_frame(ports: Ports) -> None:
    """Even a frame that a neighbour addresses to 127.0.0.1 by hand gets no answer."""
    ports.serve("web", "tcp:80", options="-p 127.0.0.1:8080:80 -p 8081:80 --hostname web")
    assert _knock(ports, ports.host.address, 8081), "the forger himself works"
    assert not _knock(ports, IPv4Address("127.0.0.1"), 8080)


def test_containers_are_not_reached_by_route(ports: Ports) -> None:
    """A neighbour who adds a route to the containers gets nowhere, published port or not."""
    ports.serve("web", "tcp:80", "tcp:81", options="-p 8080:80")
    address = ports.address("web")
    ports.neighbour.shell(f"ip route add 172.17.0.0/16 via {ports.host.address}")
    try:
        for port in (80, 81):
            assert ports.ask(ports.neighbour, "tcp", address, port)[0] in REFUSED
        assert ports.neighbour.run(
            ["busybox", "ping", "-c", "1", "-W", "1", address], check=False
        ).returncode != 0  # fmt: skip
        assert ports.ask(ports.host, "tcp", address, 81)[0] == "172.17.0.1"
    finally:
        ports.neighbour.shell("ip route del 172.17.0.0/16")


def test_an_unpublished_port(ports: Ports) -> None:
    """What is not published is not there, exposed or not."""
    ports.serve("web", "tcp:80", "tcp:81", options="-p 8080:80 --expose 81")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 81) == ["refused"]


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
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web"
    state = "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}"
    shown = ports.daemon.docker("inspect", "-f", state, "late").stdout.split()
    assert shown[:2] == ["created", "false"]


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
        ports.daemon.docker("network", "create", name)
    ports.serve("web", "tcp:80", options="--network front -p 8080:80 --hostname web")
    ports.daemon.docker("network", "connect", "other", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web"
    ports.daemon.docker("network", "disconnect", "front", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web"
    ports.daemon.docker("network", "disconnect", "other", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[0] in REFUSED
    ports.daemon.docker("network", "connect", "front", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web"


def test_stopping_frees_the_port(ports: Ports) -> None:
    """A stopped container's port is free for others, and its own again at the next start."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    ports.daemon.docker("stop", "-t", "0", "web")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080) == ["refused"]
    ports.serve("next", "tcp:80", options="-p 8080:80 --hostname next")
    assert ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "next"
    ports.daemon.docker("rm", "-f", "next")
    ports.daemon.docker("start", "web")
    eventually(lambda: ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web")


def test_restarting_keeps_the_port(ports: Ports) -> None:
    """docker restart leaves the port where it was."""
    ports.serve("web", "tcp:80", options="-p 8080:80 --hostname web")
    ports.daemon.docker("restart", "-t", "0", "web")
    eventually(lambda: ports.ask(ports.neighbour, "tcp", ports.host.address, 8080)[-1] == "web")


def test_many_askers_at_once(ports: Ports) -> None:
    """A connection made before its container stops ends with it; others are not disturbed."""
    ports.serve("one", "tcp:80", options="-p 8081:80 --hostname one")
    ports.serve("two", "tcp:80", options="-p 8082:80 --hostname two")
    words = [PYTHON, "-u", str(TALK), "converse", str(ports.host.address), "8081"]
    with ports.neighbour.popen(words, stdin=-1) as talk:
        assert talk.stdin is not None
        assert talk.stdout is not None
        assert talk.stdout.readline().split()[-1] == "one"
        ports.daemon.docker("rm", "-f", "two")
        ports.daemon.docker("network", "create", "fresh")
        print("still there", file=talk.stdin, flush=True)
        assert talk.stdout.readline() == "still there\n"
        talk.stdin.close()


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
source, target = socket.inet_aton("{ports.neighbour.address}"), socket.inet_aton("{target}")
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
