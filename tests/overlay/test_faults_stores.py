"""The few faults that everybody has, with each of the other stores, and with gossip.

Their clients tell of deaths and changes in ways of their own; those of etcd are in
`test_faults.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.lab import Switch
from tests.lab.debian import unpacked
from tests.lab.stores import consul, zookeeper
from tests.overlay.cluster import Cluster, Host, eventually
from tests.overlay.faults import Pings, programmed

pytestmark = pytest.mark.root

STORES = {"zookeeper": zookeeper, "consul": consul}
TTL_SECONDS = 30
"""Longer than a daemon takes to start again."""


@dataclass
class Pair:
    """Two hosts of a cluster; a container on each pings the other."""

    cluster: Cluster
    network: str
    pings: tuple[Pings, Pings]

    def unharmed(self) -> None:
        """All answers keep coming, and none is missing."""
        for each in self.pings:
            each.go_on()
            assert not each.lost

    def changes(self, name: str) -> None:
        """A container that comes on either host is found by the other, and is gone when it goes."""
        for here, there, asks in zip(
            self.cluster.hosts, reversed(self.cluster.hosts), ("bb", "aa"), strict=True
        ):
            eventually(lambda here=here: _started(here, name))  # type: ignore[misc]
            address = here.address(name, "ov")
            eventually(lambda asks=asks, there=there: there.pings(asks, name))  # type: ignore[misc]
            here.docker("rm", "-f", name)
            eventually(
                lambda there=there, address=address: (  # type: ignore[misc]
                    address not in programmed(there, self.network)
                )
            )


def _started(host: Host, name: str) -> bool:
    """Whether a container could be started; else nothing is left of it."""
    words = ("run", "-d", "--name", name, "--net", "ov", "busybox", "sleep", "600")
    done = host.docker(*words, check=False)
    if "Error" in done:
        host.docker("rm", "-f", name, check=False)
    return "Error" not in done


@pytest.fixture(scope="module", params=STORES)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two hosts that have serf."""
    folder = unpacked("serf") / "usr" / "bin"
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        switch = stack.enter_context(Switch())
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two")]
        server = stack.enter_context(STORES[request.param](keeper))
        ttl = f"--cluster-store-opt=discovery.ttl={TTL_SECONDS}"
        cluster = stack.enter_context(Cluster(switch, server, hosts, ttl))
        network = hosts[0].docker("network", "create", "-d", "overlay", "ov")
        eventually(lambda: "ov " in hosts[1].networks())
        addresses = [host.run(name, "ov") for host, name in zip(hosts, ("aa", "bb"), strict=True)]
        pings = Pings(hosts[0], "aa", addresses[1]), Pings(hosts[1], "bb", addresses[0])
        for each in pings:
            stack.callback(each.close)
        yield Pair(cluster, network, pings)


def test_the_store_goes_and_comes(pair: Pair) -> None:
    """Killed and started again: who runs goes on, local work as well, then all is as before."""
    one = pair.cluster.one
    for host in pair.cluster.hosts:
        eventually(lambda host=host: "Hears by: serf" in host.daemon.fairlead("info").stdout)  # type: ignore[misc]
    pair.cluster.server.kill()
    try:
        refused = one.docker("run", "-d", "--name", "xx", "--net", "ov", "busybox", check=False)
        assert "store" in refused, refused
        one.docker("rm", "-f", "xx", check=False)
        one.docker("run", "--rm", "--net", "none", "busybox", "true")
        pair.unharmed()
    finally:
        pair.cluster.server.start()
    pair.changes("late")
    pair.unharmed()


def test_daemons_are_killed(pair: Pair) -> None:
    """One, which learns what it missed; then both at once, with the store."""
    one, two = pair.cluster.hosts
    two.daemon.kill9()
    fresh = one.run("fresh", "ov")
    pair.unharmed()
    two.daemon.start()
    eventually(lambda: two.pings("bb", fresh))
    one.docker("rm", "-f", "fresh")
    eventually(lambda: fresh not in programmed(two, pair.network))

    for host in pair.cluster.hosts:
        host.daemon.kill9()
    pair.cluster.server.kill()
    pair.unharmed()
    pair.cluster.server.start()
    for host in pair.cluster.hosts:
        host.daemon.start()
    pair.changes("later")
    pair.unharmed()
