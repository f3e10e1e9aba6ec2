"""Published ports with the other firewall, and where no proxy takes what the kernel does not lead.

The stories are those of `test_ports`; only the daemon is another. One dual family stands for both
of IPv6, and icc=false, where packets take other ways.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.family import DUAL, IPV4, Family
from tests.docker.images import make_tools
from tests.docker.published import WEB, Ports
from tests.docker.test_ports import (  # noqa: F401
    ports,
    test_a_range,
    test_an_unpublished_port,
    test_containers_are_not_reached_by_route,
    test_from_containers,
    test_from_itself,
    test_from_outside,
    test_loopback_only_and_a_forged_frame,
    test_one_address_only,
    test_restarting_the_daemon_keeps_the_port,
    test_the_port_follows_the_gateway,
)
from tests.lab import Daemon, Machine, Switch

pytestmark = pytest.mark.root

VARIANTS = {
    "nftables": ("--firewall-backend=nftables",),
    "unproxied": ("--userland-proxy=false",),
    "unproxied-nftables": ("--userland-proxy=false", "--firewall-backend=nftables"),
}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """One variant after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def switch(variant: str) -> Iterator[Switch]:
    """An Ethernet segment for each."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(machine: Machine, variant: str) -> Iterator[Daemon]:
    """The variant's daemon."""
    with Daemon(machine, *VARIANTS[variant]) as running:
        running.import_busybox()
        make_tools(running)
        yield running


@pytest.fixture(params=(IPV4, DUAL), ids=lambda family: str(family.name))
def family(request: pytest.FixtureRequest) -> Family:
    """Both versions of IP."""
    found: Family = request.param
    return found


def test_the_loopback_of_the_host(ports: Ports) -> None:  # noqa: F811
    """The host reaches it at its loopback, of either family, and on the network itself."""
    ports.serve("web", options=WEB)
    assert ports.reach(ports.host, ports.family.loopback) == ["web", "web"]
    hairpin = ports.family.gateway(ports.lan.endpoints("web")[ports.home])
    assert ports.reach(ports.host, hairpin) == ["web", "web"]


def test_without_communication(ports: Ports) -> None:  # noqa: F811
    """icc=false: published ports are for everybody at the host's address, and only there."""
    quiet = "-o com.docker.network.bridge.enable_icc=false quiet"
    ports.daemon.docker("network", "create", *ports.family.create.split(), *quiet.split())
    ports.serve("web", "tcp:80", "udp:80", "tcp:81", options=f"--network quiet {WEB}")
    ports.idle("aa", "--network quiet")
    ports.idle("away")
    assert ports.reach("web", ports.there) == ["web", "web"]
    assert ports.reach("away", ports.there) == ["web", "web"]
    assert ports.reach("aa", ports.there) == ["web", "web"]
    assert ports.reach(ports.neighbour, ports.there) == ["web", "web"]
    own = ports.address("web", "quiet")
    for asker, port in (("aa", 80), ("aa", 81), ("away", 80), ("away", 81)):
        assert "web" not in ports.reach(asker, own, port), (asker, port)
