"""Names on networks with IPv6, beside IPv4 and alone: what `test_names` tells of IPv4."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.docker.family import ALONE, DUAL, Family
from tests.docker.lan import Answer, Lan
from tests.docker.test_names import asked, daemon, upstream  # noqa: F401
from tests.docker.tidy import Traces
from tests.lab import Daemon, Machine

pytestmark = pytest.mark.root


@pytest.fixture(params=[DUAL, ALONE], ids=lambda family: str(family.name))
def family(request: pytest.FixtureRequest) -> Family:
    """Which families the networks have."""
    found: Family = request.param
    return found


@pytest.fixture
def lan(traces: Traces, daemon: Daemon, upstream: Machine, family: Family) -> Iterator[Lan]:  # noqa: F811
    """A network `red` with a container `asker` that can dig."""
    made = Lan(daemon, upstream)
    made.create("red", family.made(0))
    made.tools("asker", f"--network red --ip6 {family.at(0, 2)}")
    yield made
    traces.none()


def ask(lan: Lan, name: str, *options: str) -> Answer:
    """What the asker's resolver says of a name's addresses of IPv6."""
    return lan.dig("asker", name, "AAAA", *options)


def test_all_names_of_a_container(lan: Lan, family: Family) -> None:
    """Its name, short id, aliases and host name, with and without the network's, by UDP and TCP."""
    web = family.at(0, 3)
    lan.run("Web1", f"--network red --ip6 {web} --network-alias nick --hostname webhost")
    short = lan.docker("ps", "-q", "--filter", "name=Web1").strip()
    for name in ("Web1", "WEB1", "Web1.red", "nick", "webhost", short):
        answer = ask(lan, name)
        assert (answer.rcode, answer.found, answer.ttl) == ("NOERROR", [web], [600]), name
    assert ask(lan, "web1", "tcp").found == [web]
    assert web in lan.inside("asker", "getent ahostsv6 web1")
    four = [lan.address("Web1", "red")] if family is DUAL else []
    answer = lan.dig("asker", "web1")
    assert (answer.rcode, answer.found) == ("NOERROR", four)


def test_backwards(lan: Lan, family: Family) -> None:
    """From either address to the name; who has none is asked for outside."""
    lan.run("web", f"--network red --ip6 {family.at(0, 3)}")
    before = len(asked(lan))
    addresses = [family.at(0, 3), *([lan.address("web", "red")] if family is DUAL else [])]
    for address in addresses:
        question = ip_address(address).reverse_pointer
        assert lan.dig("asker", question, "PTR").found == ["web.red."]
    assert asked(lan)[before:] == []
    stranger = ip_address(family.at(0, 99)).reverse_pointer
    lan.dig("asker", stranger, "PTR")
    assert asked(lan)[before:] == [f"{stranger}."]


def test_an_alias_of_several(lan: Lan, family: Family) -> None:
    """All who share it are in the answer, and take turns to be first."""
    wanted = {family.at(0, place) for place in (3, 4, 5)}
    for number, address in enumerate(sorted(wanted)):
        lan.run(f"c{number}", f"--network red --ip6 {address} --network-alias all")
    first = set()
    for _ in range(40):
        found = ask(lan, "all").found
        assert set(found) == wanted
        first.add(found[0])
        if first == wanted:
            break
    assert first == wanted


def test_names_come_and_go(lan: Lan, family: Family) -> None:
    """With connect, disconnect, rename, stop and start, at once."""
    web = family.at(0, 3)
    lan.run("web")
    lan.docker("network", "connect", "--ip6", web, "--alias", "nick", "red", "web")
    assert ask(lan, "web").found == ask(lan, "nick").found == [web]
    lan.docker("rename", "web", "shop")
    assert ask(lan, "shop").found == [web]
    lan.docker("stop", "-t", "0", "shop")
    assert web not in ask(lan, "shop").found
    lan.docker("start", "shop")
    assert ask(lan, "nick").found == [web]
    lan.docker("network", "disconnect", "red", "shop")
    assert web not in ask(lan, "shop").found


def test_the_host_has_a_name(lan: Lan, family: Family) -> None:
    """It is the own gateway, where the host answers, in each family that there is."""
    gateway = family.gateway(lan.endpoints("asker")["red"])
    before = len(asked(lan))
    assert ask(lan, "host.docker.internal").found == [gateway]
    assert len(lan.dig("asker", "host.docker.internal").found) == (family is DUAL)
    assert asked(lan)[before:] == []
    lan.run("plain", "--network red")
    assert lan.reaches("plain", gateway)


def test_links_and_files(lan: Lan, family: Family) -> None:
    """A link's name leads there; /etc/hosts has the container's own address."""
    web = family.at(0, 3)
    lan.run("web", f"--network red --ip6 {web} --hostname web")
    lan.tools("app", "--network red --link web:store")
    assert lan.dig("app", "store", "AAAA").found == [web]
    assert web not in ask(lan, "store").found
    hosts = [line.split() for line in lan.inside("web", "cat /etc/hosts").splitlines()]
    assert [web, "web"] in hosts
