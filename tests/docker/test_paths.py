"""Every way to a published port, whichever firewall there is, with and without the proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fairlead.firewall.backends import BACKENDS
from tests.docker.images import PYTHON, TALK, make_tools
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine, Switch

pytestmark = pytest.mark.root

SIX = "2001:db8:1::1"
PUBLISHED = "-p 8080:80 -p 8080:80/udp"


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """A firewall."""
    return str(request.param)


@pytest.fixture(scope="module", params=["proxied", "unproxied"])
def lan(request: pytest.FixtureRequest, backend: str) -> Iterator[Lan]:
    """Two networks, `red` with `web` and a peer of it, and `blue`; a host with both families."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        host, neighbour = switch.machine("host"), switch.machine("neighbour")
        host.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        host.shell(f"ip address add {SIX}/64 dev eth0 nodad")
        neighbour.shell("ip address add 2001:db8:1::2/64 dev eth0 nodad")
        proxied = str(request.param == "proxied").lower()
        flags = ("--firewall-backend", backend, f"--userland-proxy={proxied}")
        daemon = stack.enter_context(Daemon(host, *flags))
        daemon.import_busybox()
        make_tools(daemon)
        made = Lan(daemon, neighbour)
        for name in ("red", "blue"):
            made.create(name, "--ipv6")
        made.serve("web", "tcp:80 udp:80", f"--network red {PUBLISHED}")
        for name, network in (("peer", "red"), ("other", "blue"), ("old", "bridge")):
            made.tools(name, f"--network {network}")
        made.tools("onhost", "--network host")
        yield made


def asked(machine: Machine, protocol: str, host: object, port: int) -> str:
    """What a machine is told."""
    words = [PYTHON, str(TALK), "ask", protocol, str(host), str(port), "2"]
    return machine.run(words).stdout.strip()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_from_everywhere(lan: Lan, protocol: str) -> None:
    """Itself, its peer, another network, the old bridge, the host and the neighbour reach it."""
    here = str(lan.host.address)
    paths = {
        (name, address): lan.ask(name, protocol, address, 8080)
        for name in ("web", "peer", "other", "onhost")
        for address in (here, SIX)
    }
    paths |= {("old", here): lan.ask("old", protocol, here, 8080)}
    paths |= {
        ("host", address): asked(lan.host, protocol, address, 8080)
        for address in (here, SIX, "127.0.0.1")
    }
    outside = {a: asked(lan.neighbour, protocol, a, 8080) for a in (here, SIX)}
    paths |= {("neighbour", address): said for address, said in outside.items()}
    assert {path: said for path, said in paths.items() if not said.endswith(" web")} == {}
    # Who comes from outside is seen as who he is.
    assert outside[here].split()[0] == str(lan.neighbour.address)
    assert outside[SIX].split()[0] == "2001:db8:1::2"


def test_a_port_that_is_not_published(lan: Lan) -> None:
    """The same askers find nothing beside it: the test above can fail."""
    here = str(lan.host.address)
    for name in ("web", "peer", "other", "old", "onhost"):
        assert lan.ask(name, "tcp", here, 8081) == "refused"
    assert asked(lan.neighbour, "tcp", here, 8081) == "refused"


def test_networks_are_apart_all_the_same(lan: Lan) -> None:
    """At its own address other networks reach no port of it, published or not."""
    there = lan.endpoints("web")["red"]
    for address in (there["IPAddress"], there["GlobalIPv6Address"]):
        assert lan.ask("peer", "tcp", address, 80).endswith(" web")
        assert lan.ask("other", "tcp", address, 80) in ("timeout", "unreachable: No route to host")
        assert not lan.reaches("other", address)
    found = lan.daemon.api("GET", "/fairlead/doctor").json["Findings"]
    assert [f for f in found if f["Kind"] == "drift"] == []


@pytest.mark.parametrize("leads", ["red", "blue"])
def test_on_two_networks(lan: Lan, leads: str) -> None:
    """A port of a container on two networks answers everybody, whichever of them leads out."""
    other = "blue" if leads == "red" else "red"
    options = f"--network name={leads},gw-priority=1 --network {other}"
    lan.serve("two", "tcp:80 udp:80", f"{options} -p 8090:80 -p 8090:80/udp")
    try:
        for protocol in ("tcp", "udp"):
            said = asked(lan.neighbour, protocol, lan.host.address, 8090)
            assert (said.split()[0], said.split()[-1]) == (str(lan.neighbour.address), "two")
            for name in ("two", "peer", "other"):
                assert lan.ask(name, protocol, lan.host.address, 8090).endswith(" two"), name
            for name in ("peer", "other"):
                assert lan.ask(name, protocol, "two", 80).endswith(" two"), name
    finally:
        lan.docker("rm", "-f", "two")


def test_the_port_moves_with_the_gateway(lan: Lan) -> None:
    """A network that comes later and leads out takes the ports along."""
    lan.serve("two", "tcp:80", "--network red -p 8090:80")
    try:
        lan.docker("network", "connect", "--gw-priority", "9", "blue", "two")
        lan.docker("network", "disconnect", "red", "two")
        eventually(lambda: asked(lan.neighbour, "tcp", lan.host.address, 8090).endswith(" two"))
    finally:
        lan.docker("rm", "-f", "two")
