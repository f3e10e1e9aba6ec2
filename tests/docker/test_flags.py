"""The daemon's own settings, as far as they concern networks: flags and daemon.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from fairlead.firewall.backends import BACKENDS
from tests.docker.dig import EVERYWHERE
from tests.docker.images import DIG, make_tools
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import Daemon, DaemonFailed, Machine, Switch

pytestmark = pytest.mark.root

Start = Callable[..., Lan]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a daemon with flags on a machine of its own."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        host, neighbour = switch.machine("host"), switch.machine("neighbour")

        def started(
            *flags: str, prepare: str = "true", file: object = None, command: Sequence[str] = ()
        ) -> Lan:
            host.shell(prepare)
            if file is not None:
                host.path("/etc/docker/daemon.json").write_text(json.dumps(file))
            daemon = stack.enter_context(Daemon(host, *flags, command=command))
            daemon.import_busybox()
            return Lan(daemon, neighbour)

        yield started


def rules(machine: Machine) -> str:
    """Returns all rules of the firewall."""
    return machine.run(["iptables-save"]).stdout


def test_the_default_bridge(start: Start) -> None:
    """--bip, --fixed-cidr, --mtu, --default-gateway and --icc are the default network's."""
    lan = start(
        "--bip", "10.9.0.1/24", "--fixed-cidr", "10.9.0.128/25", "--mtu", "1400", "--icc=false",
        "--default-gateway", "10.9.0.254",
    )  # fmt: skip
    for name in ("aa", "bb"):
        lan.run(name)
    said = lan.inside("aa", "ip addr show eth0; ip route")
    assert "inet 10.9.0.128/24" in said
    assert "mtu 1400" in said
    assert "default via 10.9.0.254" in said
    assert lan.reaches("aa", "10.9.0.1")
    assert not lan.reaches("aa", lan.address("bb", "bridge"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_links_are_open_without_icc(start: Start, backend: str) -> None:
    """Who is linked reaches the ports that the other exposes, and nobody else does."""
    lan = start("--icc=false", "--firewall-backend", backend)
    make_tools(lan.daemon)
    lan.serve("db", "tcp:80 tcp:90", "--expose 80")
    lan.tools("web", "--link db")
    lan.tools("stranger")
    there = lan.address("db", "bridge")

    assert lan.ask("web", "tcp", "db", 80).endswith(" db")
    assert lan.ask("web", "tcp", there, 90) == "timeout"
    assert lan.ask("stranger", "tcp", there, 80) == "timeout"

    lan.docker("restart", "-t", "0", "db")
    eventually(lambda: lan.ask("web", "tcp", "db", 80).endswith(" db"))
    lan.docker("rm", "-f", "web")
    lan.tools("web")
    assert lan.ask("web", "tcp", there, 80) == "timeout"


def test_address_pools(start: Start) -> None:
    """--default-address-pool and the same in daemon.json are where subnets come from."""
    pools = [{"base": "10.100.0.0/16", "size": 24}]
    lan = start(file={"default-address-pools": pools})
    assert lan.subnet("bridge") == "10.100.0.0/24"
    lan.create("red")
    assert lan.subnet("red") == "10.100.1.0/24"


def test_ports_on_one_address(start: Start) -> None:
    """--ip is where ports are published unless one says otherwise."""
    lan = start("--ip", "127.0.0.1")
    lan.run("aa", "-p 8080:80")
    assert lan.docker("port", "aa").split() == ["80/tcp", "->", "127.0.0.1:8080"]


def test_no_masquerade(start: Start) -> None:
    """--ip-masq=false: the outside sees containers' own addresses."""
    lan = start("--ip-masq=false")
    make_tools(lan.daemon)
    lan.tools("aa")
    lan.neighbour.shell(f"ip route add 172.17.0.0/16 via {lan.host.address}")
    assert lan.seen_by_neighbour("aa") == lan.address("aa", "bridge")


def test_no_firewall(start: Start) -> None:
    """--iptables=false: not one rule, and containers reach each other all the same."""
    lan = start("--iptables=false")
    lan.create("red")
    for name in ("aa", "bb"):
        lan.run(name, "--network red -p 80")
    assert "DOCKER" not in rules(lan.host)
    assert lan.reaches("aa", "bb")


def test_no_forwarding(start: Start) -> None:
    """--ip-forward=false leaves the host's setting alone."""
    lan = start("--ip-forward=false", prepare="echo 0 >/proc/sys/net/ipv4/ip_forward")
    lan.run("aa")
    assert lan.host.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"
    assert ":FORWARD ACCEPT" in rules(lan.host)


def test_a_host_that_forwarded_before(start: Start) -> None:
    """There the policy of FORWARD stays: a router goes on to route."""
    lan = start(prepare="echo 1 >/proc/sys/net/ipv4/ip_forward")
    assert ":FORWARD ACCEPT" in rules(lan.host)


def test_no_default_bridge(start: Start) -> None:
    """--bridge none: no docker0, and no network of that name."""
    lan = start("--bridge", "none")
    assert "docker0" not in lan.host.run(["ip", "-o", "link"]).stdout
    assert set(lan.names()) == {"host", "none"}
    lan.create("red")
    lan.run("aa", "--network red")
    assert lan.reaches("aa", str(lan.neighbour.address))


def test_other_names_beside_docker(start: Start) -> None:
    """--default-bridge-name and --iptables-prefix let it run where Docker's names are taken."""
    taken = "ip link add docker0 type bridge; iptables -N DOCKER"
    lan = start(
        "--default-bridge-name", "fl0", "--iptables-prefix", "FLEET", prepare=taken
    )  # fmt: skip
    lan.run("aa", "-p 8080:80")
    assert lan.reaches("aa", str(lan.neighbour.address))
    said = rules(lan.host)
    assert "-A FLEET " in said
    assert "-A DOCKER" not in said


def test_names_that_are_taken(start: Start) -> None:
    """Otherwise it does not start, changes nothing, and says what to do."""
    with pytest.raises(DaemonFailed, match="docker0 exists and is not fairlead's"):
        start(prepare="ip link add docker0 type bridge")


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"bip": "300.0.0.1/24"}, "bip"),
        ({"nosuch": 1}, "nosuch"),
        ({"mtu": "big"}, "mtu"),
        ({"default-address-pools": [{"base": "10.0.0.0/16", "size": 8}]}, "default-address-pools"),
    ],
)
def test_settings_that_make_no_sense(start: Start, file: object, said: str) -> None:
    """They stop the start, and the message names them."""
    with pytest.raises(DaemonFailed, match=said):
        start(file=file)


def test_name_servers(start: Start) -> None:
    """--dns, --dns-search and --dns-opt are every container's."""
    lan = start("--dns", "192.0.2.53", "--dns-search", "corp.example", "--dns-opt", "timeout:3")
    lan.run("aa")
    said = lan.inside("aa", "cat /etc/resolv.conf")
    assert "nameserver 192.0.2.53" in said
    assert "search corp.example" in said
    assert "timeout:3" in said


def test_a_name_server_on_the_hosts_loopback(start: Start) -> None:
    """A host that asks 127.0.0.53, as many do: containers of a network ask it through fairlead."""
    lan = start(prepare="echo nameserver 127.0.0.53 >/etc/resolv.conf")
    make_tools(lan.daemon)
    server = lan.host.popen([sys.executable, str(DIG), "serve", "127.0.0.53"])
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        lan.create("red")
        lan.tools("aa", "--network red")
        assert lan.dig("aa", "www.example.com").found == [EVERYWHERE]
        lan.tools("bb")
        assert "127.0.0.53" not in lan.inside("bb", "cat /etc/resolv.conf")
    finally:
        server.kill()
        server.communicate()


def test_ndots_of_the_host(start: Start) -> None:
    """Where the host's file sets ndots, single labels are not asked outside: clients search."""
    lan = start(prepare="printf 'nameserver 127.0.0.53\\noptions ndots:2\\n' >/etc/resolv.conf")
    make_tools(lan.daemon)
    server = lan.host.popen([sys.executable, str(DIG), "serve", "127.0.0.53"])
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        lan.create("red")
        for name, more in (("aa", ""), ("bb", "--dns-option timeout:3")):
            lan.tools(name, f"--network red {more}")
        assert lan.dig("aa", "www.example.com").found == [EVERYWHERE]
        alone = lan.dig("aa", "intranet")
        assert (alone.rcode, alone.found) == ("NOERROR", [])
        # Options of one's own take the place of the host's.
        assert lan.dig("bb", "intranet").found == [EVERYWHERE]
    finally:
        server.kill()
        server.communicate()


def test_over_tcp(start: Start) -> None:
    """-H tcp:// answers like the socket, at that address only."""
    lan = start("-H", "tcp://127.0.0.1:2375")
    said = lan.docker("-H", "tcp://127.0.0.1:2375", "network", "ls", "-q")
    assert len(said.split()) == 3
    listening = lan.host.run(["ss", "-Hltn", "sport", "=", ":2375"]).stdout.splitlines()
    assert [line.split()[3] for line in listening] == ["127.0.0.1:2375"]
