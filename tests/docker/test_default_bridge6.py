"""The default bridge with IPv6, as the daemon's settings make it."""

from __future__ import annotations

import pytest

from tests.docker.family import HOST6, NEIGHBOUR6, wired
from tests.docker.lan import Lan
from tests.lab import Daemon, Switch

pytestmark = pytest.mark.root

SETTINGS = ("--ipv6", "--bip6", "fd00:17::1/64", "--fixed-cidr-v6", "fd00:17::a0/124")


def test_the_default_bridge_with_ipv6() -> None:
    """bip6 is docker0's address, fixed-cidr-v6 where containers are, host-gateway both of it."""
    with Switch() as switch:
        host = wired(switch.machine("host"), HOST6)
        neighbour = wired(switch.machine("neighbour"), NEIGHBOUR6)
        with Daemon(host, *SETTINGS) as daemon:
            daemon.import_busybox()
            lan = Lan(daemon, neighbour)
            lan.run("aa", "--add-host box:host-gateway")
            lan.run("bb")
            shown = lan.endpoints("aa")["bridge"]
            assert shown["GlobalIPv6Address"].startswith("fd00:17::a")
            assert shown["IPv6Gateway"] == "fd00:17::1"
            hosts = [line.split() for line in lan.inside("aa", "cat /etc/hosts").splitlines()]
            assert ["172.17.0.1", "box"] in hosts
            assert ["fd00:17::1", "box"] in hosts
            other = lan.endpoints("bb")["bridge"]["GlobalIPv6Address"]
            for target in (other, "fd00:17::1", HOST6, NEIGHBOUR6):
                assert lan.reaches("aa", target), target
