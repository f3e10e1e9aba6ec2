"""What readers of the tutorials were told to put up with on an overlay, and need not here."""

from __future__ import annotations

import pytest

from tests.overlay.cluster import Cluster, eventually, pinging

pytestmark = pytest.mark.root

ROUNDS = 5


@pytest.fixture(scope="module")
def network(cluster: Cluster) -> str:
    """An overlay with a container that stays on each of the first two hosts."""
    cluster.one.docker("network", "create", "-d", "overlay", "ov_net1")
    for host in cluster.hosts:
        eventually(lambda host=host: "ov_net1" in host.networks())  # type: ignore[misc]
    cluster.one.run("web", "ov_net1")
    cluster.two.run("db", "ov_net1", "--network-alias", "store")
    return "ov_net1"


def test_reachable_at_once(cluster: Cluster, network: str) -> None:
    """One packet to each of some fresh containers, as soon as their start has returned.

    The texts warn that containers may not reach other hosts for a while after their start.
    """
    for number in range(ROUNDS):
        fresh = cluster.two.run(f"fresh{number}", network)
        assert cluster.one.pings("web", fresh, count=1, wait=3), f"round {number}"
        cluster.two.docker("rm", "-f", f"fresh{number}")


def test_reaches_at_once(cluster: Cluster, network: str) -> None:
    """What a fresh container does first of all is to talk to another host, by name."""
    for _ in range(ROUNDS):
        said = cluster.three.docker(
            "run", "--rm", "--net", network, "busybox", "ping", "-c", "1", "-W", "3", "web"
        )
        assert " 0% packet loss" in said


def test_names_of_other_hosts(cluster: Cluster, network: str) -> None:
    """A name, a name with its network, an alias and a short id; not any more when it is gone."""
    short = cluster.two.docker("ps", "-q", "--filter", "name=^db$")
    for name in ("db", f"db.{network}", "store", short):
        assert cluster.one.pings("web", name), name
    cluster.two.run("guest", network, "--network-alias", "visitor")
    for name in ("guest", "visitor"):
        eventually(lambda name=name: cluster.one.pings("web", name, wait=1))  # type: ignore[misc]
    cluster.two.docker("network", "disconnect", network, "guest")
    for name in ("guest", "visitor"):
        eventually(lambda name=name: not cluster.one.pings("web", name, wait=1))  # type: ignore[misc]
    cluster.two.docker("rm", "-f", "guest")


@pytest.mark.parametrize("way", ["stopped", "killed"])
@pytest.mark.parametrize("whose", ["own", "other"])
def test_a_daemon_starts_again(cluster: Cluster, network: str, whose: str, way: str) -> None:
    """While a ping runs across hosts, a daemon ends, with a word or without, and comes back."""
    host = cluster.one if whose == "own" else cluster.two
    with pinging(cluster.one, "web", cluster.two.address("db", network)):
        if way == "stopped":
            host.daemon.stop()
        else:
            host.daemon.kill9()
        host.daemon.start()
        # The store has been asked, and what it said has been done.
        cluster.three.run("late", network)
        eventually(lambda: host.pings("web" if whose == "own" else "db", "late", wait=1))
        cluster.three.docker("rm", "-f", "late")
    assert cluster.two.pings("db", "web")
    assert cluster.one.pings("web", "store")
