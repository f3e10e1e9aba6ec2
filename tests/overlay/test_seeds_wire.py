"""What a tutorial says of the way between hosts: gossip on port 7946, packets on UDP port 4789."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.lab import Switch
from tests.lab.debian import unpacked
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host, eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two hosts that have serf, and an etcd."""
    folder = unpacked("serf") / "usr" / "bin"
    with Switch() as switch, ExitStack() as stack:
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two")]
        server = stack.enter_context(etcd(keeper))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bin")
            yield stack.enter_context(Cluster(switch, server, hosts))


def test_gossip_on_7946(cluster: Cluster) -> None:
    """Each host listens there by TCP and UDP, and says that it hears by gossip."""
    for host in cluster.hosts:
        eventually(
            lambda host=host: (  # type: ignore[misc]
                len(re.findall(rf"{host.machine.address}:7946 ", host.shell("ss -lntu"))) == 2
            )
        )
        assert "Hears by: serf" in host.daemon.fairlead("info").stdout


def test_vxlan_on_4789(cluster: Cluster) -> None:
    """A ping between hosts is a UDP packet to port 4789 of each, on the hosts' own network."""
    one, two = cluster.hosts
    one.docker("network", "create", "-d", "overlay", "ov_net1")
    eventually(lambda: "ov_net1" in two.networks())
    one.run("web", "ov_net1")
    two.run("db", "ov_net1")
    for host, other in ((one, two), (two, one)):
        host.shell(
            "iptables -t raw -I PREROUTING -i eth0 -p udp --dport 4789"
            f" -s {other.machine.address} -d {host.machine.address}"
        )
    assert one.pings("web", "db", count=3)
    for host in cluster.hosts:
        rule = host.shell("iptables -t raw -L PREROUTING -nvx | grep dpt:4789")
        assert int(rule.split()[0]) >= 3, rule
