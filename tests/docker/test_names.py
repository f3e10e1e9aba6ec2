"""Names: what containers call each other, and whom they ask about the rest of the world."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.docker.dig import EVERYWHERE, RESOLVER
from tests.docker.images import DIG, PYTHON, TALK
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root

QUESTIONS = "/tmp/questions"


@pytest.fixture(scope="module")
def upstream(neighbour: Machine, machine: Machine) -> Iterator[Machine]:
    """The neighbour is the host's name server; what it is asked stands in QUESTIONS."""
    machine.path("/etc/resolv.conf").write_text(f"nameserver {neighbour.address}\n")
    with neighbour.path(QUESTIONS).open("wb") as questions:
        words = [sys.executable, str(DIG), "serve", str(neighbour.address)]
        server = neighbour.popen(words, stdout=questions)
    eventually(lambda: "ready" in neighbour.path(QUESTIONS).read_text())
    yield neighbour
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def daemon(upstream: Machine, machine: Machine) -> Iterator[Daemon]:
    """A daemon on a host that has a name server."""
    from tests.docker.images import make_tools

    with Daemon(machine) as running:
        running.import_busybox()
        make_tools(running)
        yield running


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, upstream: Machine) -> Iterator[Lan]:
    """A network `red` with a container `asker` that can dig."""
    made = Lan(daemon, upstream)
    made.create("red", "--subnet 10.5.0.0/24")
    made.tools("asker", "--network red --ip 10.5.0.2")
    yield made
    traces.none()


def asked(lan: Lan) -> list[str]:
    """Returns what the name server outside has been asked so far."""
    return lan.neighbour.path(QUESTIONS).read_text().split()[1:]


def test_all_names_of_a_container(lan: Lan) -> None:
    """Its name, short id, aliases and host name, with and without the network's."""
    lan.run("Web1", "--network red --network-alias nick --hostname webhost")
    short = lan.docker("ps", "-q", "--filter", "name=Web1").strip()
    for name in ("Web1", "web1", "WEB1", "Web1.red", "nick", "webhost", short):
        answer = lan.dig("asker", name)
        assert (answer.rcode, answer.found) == ("NOERROR", ["10.5.0.3"]), name
        assert answer.flags == "QR RD RA"
        assert answer.ttl == [600]
    shown = lan.endpoints("Web1")["red"]["DNSNames"]
    assert set(shown) == {"Web1", "nick", "webhost", short}


def test_every_way_to_ask(lan: Lan) -> None:
    """UDP and TCP, and the programs' own resolvers."""
    lan.run("web", "--network red")
    assert lan.dig("asker", "web", "A", "tcp").found == ["10.5.0.3"]
    assert "10.5.0.3" in lan.inside("asker", "getent hosts web")
    assert "10.5.0.2" in lan.inside("web", "nslookup asker")
    assert lan.reaches("web", "asker")


def test_what_is_not_there_of_a_name(lan: Lan) -> None:
    """A name that exists has no IPv6 address and no mail: an empty answer, not a failure."""
    lan.run("web", "--network red")
    for kind in ("AAAA", "MX"):
        answer = lan.dig("asker", "web", kind)
        assert (answer.rcode, answer.found) == ("NOERROR", [])


def test_backwards(lan: Lan) -> None:
    """From the address to the name, with the network's."""
    lan.run("web", "--network red")
    assert lan.dig("asker", "3.0.5.10.in-addr.arpa", "PTR").found == ["web.red."]


def test_an_alias_of_several(lan: Lan) -> None:
    """All who share it are in the answer, and take turns to be first."""
    for name in ("one", "two", "three"):
        lan.run(name, "--network red --network-alias all")
    wanted = {"10.5.0.3", "10.5.0.4", "10.5.0.5"}
    first = set()
    for _ in range(40):
        found = lan.dig("asker", "all").found
        assert set(found) == wanted
        first.add(found[0])
        if first == wanted:
            break
    assert first == wanted


def test_names_come_and_go(lan: Lan) -> None:
    """With connect, disconnect, rename, stop and start, at once."""
    lan.run("web")
    assert lan.dig("asker", "web").found == [EVERYWHERE], "unknown here, so asked outside"
    lan.docker("network", "connect", "--alias", "nick", "red", "web")
    assert lan.dig("asker", "web").found == ["10.5.0.3"]
    assert lan.dig("asker", "nick").found == ["10.5.0.3"]
    lan.docker("rename", "web", "shop")
    assert lan.dig("asker", "shop").found == ["10.5.0.3"]
    assert lan.dig("asker", "web").found == [EVERYWHERE]
    lan.docker("stop", "-t", "0", "shop")
    assert lan.dig("asker", "shop").found == [EVERYWHERE]
    lan.docker("start", "shop")
    assert lan.dig("asker", "nick").found == ["10.5.0.3"]
    lan.docker("network", "disconnect", "red", "shop")
    assert lan.dig("asker", "shop").found == [EVERYWHERE]


def test_names_of_other_networks(lan: Lan) -> None:
    """Only the networks one is on have names; the default one has none."""
    lan.create("blue", "--subnet 10.6.0.0/24")
    lan.run("away", "--network blue")
    lan.run("plain")
    for name in ("away", "away.blue", "plain"):
        assert lan.dig("asker", name).found == [EVERYWHERE]
    lan.docker("network", "connect", "blue", "asker")
    assert lan.dig("asker", "away").found == ["10.6.0.2"]
    assert lan.dig("asker", "away.blue").found == ["10.6.0.2"]


def test_the_world_outside(lan: Lan) -> None:
    """Other names are asked of the host's name server; the answer is passed on."""
    before = len(asked(lan))
    answer = lan.dig("asker", "www.example.com")
    assert (answer.rcode, answer.found) == ("NOERROR", [EVERYWHERE])
    assert asked(lan)[before:] == ["www.example.com."]


def test_names_stay_in_the_house(lan: Lan) -> None:
    """What is answered here is not asked outside, in no type."""
    lan.run("web", "--network red")
    before = len(asked(lan))
    for kind in ("A", "AAAA"):
        lan.dig("asker", "web", kind)
    assert asked(lan)[before:] == []


def test_internal_networks_ask_nobody(lan: Lan) -> None:
    """On an internal network names work, but not one packet goes to a name server outside."""
    lan.create("deep", "--internal --subnet 10.7.0.0/24")
    lan.tools("hermit", "--network deep")
    lan.run("web", "--network deep")
    before = len(asked(lan))
    assert lan.dig("hermit", "web").found == ["10.7.0.3"]
    for transport in ("udp", "tcp"):
        answer = lan.dig("hermit", "www.example.com", "A", transport)
        assert (answer.rcode, answer.found) == ("SERVFAIL", [])
    assert asked(lan)[before:] == []


def test_a_network_that_opens_and_closes(lan: Lan) -> None:
    """An internal container may ask outside while it is on a network that leads there, only."""
    lan.create("deep", "--internal --subnet 10.7.0.0/24")
    lan.tools("hermit", "--network deep")
    lan.docker("network", "connect", "red", "hermit")
    assert lan.dig("hermit", "secret.example.com").found == [EVERYWHERE]
    lan.docker("network", "disconnect", "red", "hermit")
    before = len(asked(lan))
    # Neither what is new, nor what was heard before.
    for name in ("other.example.com", "secret.example.com"):
        for kind in ("A", "TXT"):
            assert lan.dig("hermit", name, kind).rcode == "SERVFAIL"
    assert asked(lan)[before:] == []


@pytest.mark.parametrize("name", ["host.docker.internal", "gateway.docker.internal"])
def test_the_host_has_a_name(lan: Lan, name: str) -> None:
    """For everybody it is the own gateway, where the host answers."""
    lan.create("blue", "--subnet 10.6.0.0/24")
    lan.tools("away", "--network blue")
    before = len(asked(lan))
    assert lan.dig("asker", name).found == ["10.5.0.1"]
    assert lan.dig("away", name).found == ["10.6.0.1"]
    assert lan.dig("away", name, "AAAA").found == []
    lan.run("plain", "--network blue")
    assert lan.reaches("plain", name)
    assert asked(lan)[before:] == []


def test_a_container_called_like_the_host(lan: Lan) -> None:
    """Whoever calls one so means it."""
    lan.run("web", "--network red --network-alias host.docker.internal")
    assert lan.dig("asker", "host.docker.internal").found == ["10.5.0.3"]


def test_other_name_servers_while_containers_run(lan: Lan) -> None:
    """A change of the host's resolv.conf is heeded at once; the old server is not asked."""
    resolv = lan.host.path("/etc/resolv.conf")
    before = resolv.read_text()
    try:
        resolv.write_text("# nobody\n")
        eventually(lambda: lan.dig("asker", "n1.example.com").rcode == "SERVFAIL")
        # As most programs do it: another file in the place of the old one.
        fresh = resolv.with_name("resolv.conf.new")
        fresh.write_text(before)
        fresh.rename(resolv)
        eventually(lambda: lan.dig("asker", "n2.example.com").found == [EVERYWHERE])
    finally:
        resolv.write_text(before)


def test_one_alias_in_two_projects(lan: Lan) -> None:
    """On a shared network each project's containers find their own; somebody is told of it."""
    label = "--label com.docker.compose.project"
    for project in ("shop", "blog"):
        lan.tools(f"{project}-db", f"--network red --network-alias db {label}={project}")
        lan.tools(f"{project}-app", f"--network red {label}={project}")
    for project in ("shop", "blog"):
        own = lan.address(f"{project}-db", "red")
        assert lan.dig(f"{project}-app", "db").found == [own]
    assert len(lan.dig("asker", "db").found) == 2
    warnings = [w for w in lan.daemon.api("GET", "/info").json["Warnings"] if "called db" in w]
    assert len(warnings) == 1
    assert "shop-db" in warnings[0]
    assert "blog-db" in warnings[0]


def test_the_default_bridge(lan: Lan) -> None:
    """There a container asks the host's name server itself, and knows nobody by name."""
    lan.tools("plain")
    lan.run("web")
    shown = lan.inside("plain", "cat /etc/resolv.conf")
    assert f"nameserver {lan.neighbour.address}" in shown
    assert RESOLVER not in shown
    assert lan.dig("plain", "web", "A", "udp", str(lan.neighbour.address)).found == [EVERYWHERE]
    assert lan.ask("plain", "udp", RESOLVER, 53) == "refused"


def test_links_on_the_default_bridge(lan: Lan) -> None:
    """--link puts the other's name into /etc/hosts and follows it."""
    lan.run("web", "--hostname webhost")
    lan.run("app", "--link web:store")
    line = next(
        line for line in lan.inside("app", "cat /etc/hosts").splitlines() if "store" in line
    )
    assert line.split()[0] == lan.address("web", "bridge")
    assert {"store", "web", "webhost"} <= set(line.split())
    assert lan.reaches("app", "store")


def test_links_on_a_network(lan: Lan) -> None:
    """--link gives the one who links, and nobody else, another name for a neighbour."""
    lan.run("web", "--network red")
    lan.run("app", "--network red --link web:store")
    assert lan.reaches("app", "store")
    assert lan.dig("asker", "store").found == [EVERYWHERE]


def test_the_files(lan: Lan) -> None:
    """/etc/resolv.conf names the resolver, /etc/hosts the container itself."""
    lan.run("web", "--network red --hostname web --add-host printer:10.9.9.9")
    resolv = lan.inside("web", "cat /etc/resolv.conf").splitlines()
    assert f"nameserver {RESOLVER}" in resolv
    assert "options ndots:0" in resolv
    hosts = [line.split() for line in lan.inside("web", "cat /etc/hosts").splitlines()]
    assert ["10.5.0.3", "web"] in hosts
    assert ["10.9.9.9", "printer"] in hosts
    assert ["127.0.0.1", "localhost"] in hosts


def test_a_name_server_of_choice(lan: Lan) -> None:
    """--dns is where unknown names are asked, --dns-search what is appended."""
    lan.tools("picky", f"--network red --dns {lan.neighbour.address} --dns-search corp.example")
    before = len(asked(lan))
    assert EVERYWHERE in lan.inside("picky", "getent ahostsv4 missing")
    assert asked(lan)[before:][-1] == "missing.corp.example."


def test_name_servers_of_a_network(lan: Lan) -> None:
    """They are asked from inside, and the host's are not; single labels stay if it says so."""
    own = "-o fairlead.dns=10.8.0.2 -o fairlead.dns_single_labels=false"
    lan.create("corp", f"--internal --subnet 10.8.0.0/24 {own}")
    lan.tools("ns", "--network corp --ip 10.8.0.2")
    lan.tools("client", "--network corp --ip 10.8.0.3")
    words = [sys.executable, str(DIG), "serve", "10.8.0.2"]
    lan.docker("exec", "-d", "ns", "sh", "-c", " ".join(words) + " >/tmp/said")
    eventually(lambda: "ready" in lan.inside("ns", "cat /tmp/said"))
    before = len(asked(lan))
    assert lan.dig("client", "ns").found == ["10.8.0.2"]
    assert lan.dig("client", "db").rcode == "NXDOMAIN"
    assert lan.dig("client", "printer.corp.example").found == [EVERYWHERE]
    assert lan.inside("ns", "cat /tmp/said").split() == ["ready", "printer.corp.example."]
    assert asked(lan)[before:] == []
    assert "ExtServers: [10.8.0.2]" in lan.inside("client", "cat /etc/resolv.conf")
    assert lan.network("corp")["Options"]["fairlead.dns"] == "10.8.0.2"


def test_a_name_server_in_a_container(lan: Lan) -> None:
    """A container may serve on port 53 of all its addresses, and still ask names itself."""
    words = [PYTHON, "-u", str(TALK), "serve", "udp:53", "tcp:53"]
    lan.docker("exec", "-d", "asker", "sh", "-c", " ".join(words) + " >/tmp/said")
    eventually(lambda: "ready" in lan.inside("asker", "cat /tmp/said"))
    lan.tools("client", "--network red")
    for protocol in ("udp", "tcp"):
        assert lan.ask("client", protocol, "10.5.0.2", 53).startswith("10.5.0.3 ")
    assert lan.dig("asker", "client").found == ["10.5.0.3"]
    assert lan.dig("asker", "client", "A", "tcp").found == ["10.5.0.3"]
