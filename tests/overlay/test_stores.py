"""The same few commands on every store that a cluster can share: what a reader sees is the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.lab import Machine, Switch
from tests.lab.stores import Server, consul, etcd, zookeeper
from tests.overlay.cluster import Cluster, Host, eventually, pinging

pytestmark = pytest.mark.root

Store = Callable[[Machine], AbstractContextManager[Server]]
STORES: dict[str, tuple[Store, tuple[str, ...]]] = {
    "etcd": (etcd, ()),
    "etcd-v2": (etcd, ("--cluster-store-opt=kv.api=2",)),
    "consul": (consul, ()),
    "zookeeper": (zookeeper, ()),
}


@pytest.fixture(scope="module", params=STORES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two hosts and a store."""
    store, flags = STORES[request.param]
    with Switch() as switch:
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name), *flags) for name in ("one", "two")]
        with store(keeper) as server, Cluster(switch, server, hosts) as made:
            yield made


def test_the_story(cluster: Cluster) -> None:
    """Create here, there at once; containers on both; ping by address and name; all goes."""
    one, two = cluster.hosts
    made = one.docker("network", "create", "-d", "overlay", "ov_net1")
    eventually(lambda: made[:12] in two.networks())
    web, db = one.run("web", "ov_net1"), two.run("db", "ov_net1", "--network-alias", "store")
    assert (web, db) == ("10.0.0.2", "10.0.0.3")
    assert one.pings("web", db)
    assert two.pings("db", web)
    assert one.pings("web", "store")
    assert two.pings("db", "web")

    # Its own sign of life is made anew in between, by some stores after it was removed.
    with pinging(one, "web", db):
        two.daemon.restart()
    assert one.pings("web", "store")

    assert re.search(r"is not known|has active endpoints|is in use", refused(one, "ov_net1"))
    one.docker("rm", "-f", "web")
    eventually(lambda: not two.pings("db", "web", wait=1))
    two.docker("rm", "-f", "db")
    two.docker("network", "rm", "ov_net1")
    eventually(lambda: "ov_net1" not in one.networks())


def refused(host: Host, network: str) -> str:
    """What is said when a network cannot be removed."""
    said = host.docker("network", "rm", network, check=False)
    assert said != network
    return said


def test_hosts_are_told(cluster: Cluster) -> None:
    """`info` names the store, this host, and those that are alive."""
    for host in cluster.hosts:
        own = f"{host.machine.address}:2376"
        eventually(
            lambda host=host: (  # type: ignore[misc]
                all(str(each.machine.address) in info(host) for each in cluster.hosts)
            )
        )
        assert f"Cluster Store: {cluster.server.url}" in info(host)
        assert f"Cluster Advertise: {own}" in info(host)


def info(host: Host) -> str:
    """What `fairlead info` prints."""
    return host.daemon.fairlead("info").stdout
