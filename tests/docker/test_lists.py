"""Lists of sources at published ports, and of destinations of networks, as users give them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.dig import EVERYWHERE
from tests.docker.family import HOST6, NEIGHBOUR6, wired
from tests.docker.images import DIG, PYTHON, TALK, make_tools
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces, tidy, warmed
from tests.lab import Daemon, Machine, Switch

pytestmark = pytest.mark.root

FAR = "203.0.113.0/24;2001:db8:9::/64"
NEAR = f"192.0.2.2/32;{NEIGHBOUR6}/128"
"""The neighbour."""
SECOND = "192.0.2.77"
NAMES = "/tmp/names"
SAID = "fairlead.publish_from"


@pytest.fixture(scope="module")
def stood() -> Iterator[tuple[Lan, Traces]]:
    """A daemon and the machine as it was. Of both firewalls speak the packets of tests/firewall."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        host = wired(switch.machine("host"), HOST6)
        neighbour = wired(switch.machine("neighbour"), NEIGHBOUR6)
        host.path("/etc/resolv.conf").write_text(f"nameserver {neighbour.address}\n")
        outside(stack, neighbour)
        daemon = stack.enter_context(Daemon(host))
        daemon.import_busybox()
        make_tools(daemon)
        yield Lan(daemon, neighbour), warmed(daemon)


def outside(stack: ExitStack, neighbour: Machine) -> None:
    """The neighbour answers for names, and at a second address as well, which is on no list."""
    neighbour.shell(f"ip address add {SECOND}/24 dev eth0")
    talk = [PYTHON, "-u", str(TALK), "serve", "tcp:7000"]
    names = [sys.executable, str(DIG), "serve", str(neighbour.address)]
    told = {"/tmp/talk": talk, NAMES: names}
    for name, words in told.items():
        with neighbour.path(name).open("wb") as said:
            server = neighbour.popen(words, stdout=said)
        stack.callback(server.wait)
        stack.callback(server.kill)
    eventually(lambda: all("ready" in neighbour.path(name).read_text() for name in told))


@pytest.fixture
def lan(stood: tuple[Lan, Traces]) -> Iterator[Lan]:
    """Nothing is on it when a test begins, and nothing is left when it ends."""
    made, traces = stood
    tidy(made.daemon)
    yield made
    traces.none()


def asked(machine: Machine, host: object, port: int, protocol: str = "tcp") -> str:
    """Who answers a question, or what became of it."""
    words = [PYTHON, str(TALK), "ask", protocol, str(host), str(port), "1"]
    return machine.run(words).stdout.split()[-1]


def served(by: str, machine: Machine, host: object, port: int, protocol: str = "tcp") -> None:
    """Fails unless somebody answers a machine, however slowly."""
    eventually(lambda: asked(machine, host, port, protocol) == by)


def served_in(lan: Lan, name: str, by: str, host: object, port: int) -> None:
    """Fails unless somebody answers a container."""
    eventually(lambda: lan.ask(name, "tcp", host, port).endswith(f" {by}"))


def test_a_list_at_an_endpoint(lan: Lan) -> None:
    """It goes for NAT and the proxy, of both families and protocols; the host is not asked."""
    lan.create("red")
    lan.create("blue")
    ports = "-p {0}:80 -p {0}:80/udp"
    for name, port, who in (("near", 8080, NEAR), ("far", 8081, FAR)):
        network = f"--network name=red,driver-opt={SAID}={who}"
        lan.serve(name, "tcp:80 udp:80", f"{network} {ports.format(port)}")
    lan.tools("peer", "--network red")
    lan.tools("other", "--network blue")
    for host in (lan.host.address, HOST6):
        # The network has no IPv6: it is the proxy that answers there.
        for protocol in ("tcp", "udp"):
            served("near", lan.neighbour, host, 8080, protocol)
            assert asked(lan.neighbour, host, 8081, protocol) == "timeout"
            served("far", lan.host, host, 8081, protocol)
    for loopback in ("127.0.0.1", "::1"):
        served("far", lan.host, loopback, 8081)
    served_in(lan, "peer", "far", lan.host.address, 8081)
    assert lan.ask("other", "tcp", lan.host.address, 8081) == "timeout"

    shown = lan.endpoints("far")["red"]["DriverOpts"]
    assert shown == {SAID: FAR}
    assert "203.0.113.0/24" in lan.daemon.fairlead("explain", "far").stdout
    said = lan.daemon.fairlead("doctor", check=False).stdout
    assert "ports of far are open to 203.0.113.0/24, 2001:db8:9::/64: 8081/tcp, 8081/udp" in said


def test_a_list_survives(lan: Lan) -> None:
    """A way out by another network, a restart of the container, the death of the daemon."""
    lan.create("red")
    lan.create("aaa")
    lan.serve("web", "tcp:80", f"--network name=red,driver-opt={SAID}={FAR} -p 8080:80")
    host = lan.host.address
    lan.docker("network", "connect", "aaa", "web")
    assert asked(lan.neighbour, host, 8080) == "timeout"
    lan.docker("restart", "-t", "0", "web")
    assert asked(lan.neighbour, host, 8080) == "timeout"
    lan.daemon.kill9()
    assert asked(lan.neighbour, host, 8080) == "timeout"
    lan.daemon.start()
    assert asked(lan.neighbour, host, 8080) == "timeout"
    served("web", lan.host, host, 8080)
    lan.host.shell("nft delete table inet fairlead")
    eventually(lambda: asked(lan.neighbour, host, 8080) == "timeout")
    served("web", lan.host, host, 8080)
    # With the network goes its word.
    lan.docker("network", "disconnect", "red", "web")
    served("web", lan.neighbour, host, 8080)


def test_a_list_of_a_network_and_of_a_port(lan: Lan) -> None:
    """The nearest word counts, and each shows where it was given."""
    lan.create("red", f"--ipv6 -o {SAID}={FAR}")
    lan.serve("web", "tcp:80", "--network red -p 8080:80")
    host = lan.host.address
    assert lan.network("red")["Options"][SAID] == FAR
    assert asked(lan.neighbour, host, 8080) == "timeout"
    assert asked(lan.neighbour, HOST6, 8080) == "timeout"

    words = ("--from", "192.0.2.0/24", "--from", "2001:db8:1::/64,198.51.100.7")
    lan.daemon.fairlead("port", "add", *words, "web", "9090:80")
    served("web", lan.neighbour, host, 9090)
    served("web", lan.neighbour, HOST6, 9090)
    assert asked(lan.neighbour, host, 8080) == "timeout"
    shown = lan.daemon.api("GET", "/containers/web/json").json["HostConfig"]["PortBindings"]
    assert shown["80/tcp"] == [
        {"HostIp": "", "HostPort": "8080"},
        {
            "HostIp": "",
            "HostPort": "9090",
            "Sources": ["192.0.2.0/24", "2001:db8:1::/64", "198.51.100.7"],
        },
    ]
    lan.daemon.fairlead("port", "rm", "web", "9090:80")
    lan.daemon.fairlead("port", "add", "--from", "198.51.100.7", "web", "9090:80")
    assert asked(lan.neighbour, host, 9090) == "timeout"
    lan.docker("restart", "-t", "0", "web")
    assert asked(lan.neighbour, host, 9090) == "timeout"


WRONG = ("", ";", "nobody", "192.0.2.1/33", "192.0.2.5/24", "::ffff:192.0.2.0/120", "10.0.0.0/8 x")


@pytest.mark.parametrize("option", [SAID, "fairlead.egress"])
def test_what_is_no_list_is_refused(lan: Lan, option: str) -> None:
    """With 400 and what to write instead, where it is given; and nothing is left."""
    before = lan.host.snapshot()
    for text in WRONG:
        body = {"Name": "wrong", "Options": {option: text}}
        refused = lan.daemon.api("POST", "/networks/create", body)
        assert (refused.status, option in refused.json["message"]) == (400, True), text
        assert refused.json["hint"], text
    for driver in ("macvlan", "ipvlan"):
        body = {"Name": "wrong", "Driver": driver, "Options": {option: "10.0.0.0/8"}}
        assert lan.daemon.api("POST", "/networks/create", body).status == 400
    assert lan.host.snapshot() == before


def test_what_is_no_list_of_a_container_is_refused(lan: Lan) -> None:
    """At its creation, when it joins, and for a port that is added."""
    lan.create("red")
    lan.run("web", "--network red")
    before = lan.host.snapshot()
    for text in WRONG:
        end = {"DriverOpts": {SAID: text}}
        body = {
            "Image": "busybox", "HostConfig": {"NetworkMode": "red"},
            "NetworkingConfig": {"EndpointsConfig": {"red": end}},
        }  # fmt: skip
        port = {"PortBindings": {"80/tcp": [{"HostPort": "8080", "Sources": text.split(";")}]}}
        create = {"Image": "busybox", "HostConfig": {**port, "NetworkMode": "red"}}
        for path, said in (
            ("/containers/create", body),
            ("/containers/create", create),
            ("/networks/bridge/connect", {"Container": "web", "EndpointConfig": end}),
            ("/fairlead/containers/web/ports", port),
        ):
            refused = lan.daemon.api("POST", path, said)
            assert refused.status == 400, (path, text)
            assert refused.json["hint"], (path, text)
    assert lan.host.snapshot() == before


def test_where_a_network_leads(lan: Lan) -> None:
    """To what is on its list; its ports are published and its names asked as ever."""
    lan.create("limited", f"--ipv6 -o fairlead.egress={lan.neighbour.address}")
    lan.create("wide", "--ipv6")
    lan.serve("web", "tcp:80", "--network limited -p 8080:80")
    lan.tools("asker", "--network limited")
    lan.serve("stranger", "tcp:80", "--network wide -p 8081:80")
    served_in(lan, "asker", "neighbour", lan.neighbour.address, 7000)
    assert lan.ask("asker", "tcp", SECOND, 7000) == "timeout"
    assert lan.ask("asker", "tcp", NEIGHBOUR6, 7000) == "timeout"
    served_in(lan, "stranger", "neighbour", SECOND, 7000)
    served_in(lan, "stranger", "neighbour", NEIGHBOUR6, 7000)
    for host in (lan.host.address, HOST6):
        served("web", lan.neighbour, host, 8080)
        served_in(lan, "asker", "stranger", host, 8081)
    served_in(lan, "asker", "web", "web", 80)
    assert lan.ask("asker", "tcp", lan.address("stranger", "wide"), 80) == "timeout"
    assert lan.network("limited")["Options"]["fairlead.egress"] == str(lan.neighbour.address)
    assert "the network leads to 192.0.2.2" in lan.daemon.fairlead("explain", "limited").stdout


def test_a_network_that_leads_nowhere(lan: Lan) -> None:
    """It is an internal one that has published ports, and that keeps its names to itself."""
    lan.create("nowhere", "-o fairlead.egress=none")
    lan.create("some", "-o fairlead.egress=198.51.100.0/24")
    lan.serve("web", "tcp:80", "--network nowhere -p 8080:80")
    lan.tools("asker", "--network some")
    served("web", lan.neighbour, lan.host.address, 8080)
    assert lan.ask("web", "tcp", lan.neighbour.address, 7000) == "timeout"
    assert lan.dig("web", "secret.example").rcode == "SERVFAIL"
    # Of this one the host asks, where the network itself does not lead.
    assert lan.ask("asker", "tcp", lan.neighbour.address, 7000) == "timeout"
    assert lan.dig("asker", "asked.example").found == [EVERYWHERE]
    questions = lan.neighbour.path(NAMES).read_text()
    assert "asked.example" in questions
    assert "secret" not in questions


EAGER = """
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
over, heard = threading.Event(), []
def tcp():
    while not over.wait(0.0005):
        with socket.socket() as sock:
            sock.settimeout(0.3)
            try:
                sock.connect((host, port))
                sock.settimeout(2)
                heard.append(("tcp", sock.recv(100)))
            except OSError:
                continue
def udp():
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        while not over.wait(0.0005):
            try:
                sock.sendto(b"?", (host, port))
                heard.append(("udp", sock.recv(100, socket.MSG_DONTWAIT)))
            except OSError:
                continue
threads = [threading.Thread(target=work) for work in (tcp, tcp, udp)]
for thread in threads: thread.start()
print("ready", flush=True)
sys.stdin.read()
over.set()
for thread in threads: thread.join()
print([who for who in heard if who[1]], flush=True)
"""


def test_nobody_is_early(lan: Lan) -> None:
    """Who asks without a pause while a port with a list comes and goes is never answered."""
    lan.create("red")
    lan.serve("web", "tcp:80 udp:80", "--network red")
    words = [PYTHON, "-c", EAGER, str(lan.host.address), "9090"]
    server = lan.neighbour.popen(words, stdin=-1)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        for _ in range(5):
            both = ("9090:80", "9090:80/udp")
            lan.daemon.fairlead("port", "add", "--from", "203.0.113.0/24", "web", *both)
            lan.daemon.fairlead("port", "rm", "web", *both)
        said, _ = server.communicate(timeout=60)
        assert said == "[]\n"
    finally:
        server.kill()
        server.wait()
