"""Networks of a plugin whose scope is global: every host of the cluster has them, as in Docker.

The plugin is on two hosts and shares what it knows; on the third there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab import Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host, eventually
from tests.plugins.driver import Wires

pytestmark = pytest.mark.root

Plugged = tuple[Cluster, Wires, Wires]


@pytest.fixture(scope="module")
def plugged() -> Iterator[Plugged]:
    """The cluster, and the plugin of its first two hosts."""
    with ExitStack() as stack:
        # Machines have a /tmp of their own, and this in common.
        shared = Path(stack.enter_context(TemporaryDirectory(dir="/dev/shm"))) / "state"
        switch = stack.enter_context(Switch())
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two", "three")]
        one, two = (
            stack.enter_context(Wires(host.machine, scope="global", shared=shared))
            for host in hosts[:2]
        )
        server = stack.enter_context(etcd(keeper))
        yield stack.enter_context(Cluster(switch, server, hosts)), one, two


def create(plugged: Plugged, name: str, *words: str) -> str:
    """A network of the plugin, seen by all; its id."""
    cluster, _, _ = plugged
    made = cluster.one.docker("network", "create", "-d", "wires", *words, name)
    for host in cluster.hosts:
        eventually(lambda host=host: name in host.networks())  # type: ignore[misc]
    return made


def names(host: Host, network: str) -> set[str]:
    """Who is on a network, as a host shows it."""
    found = json.loads(host.docker("network", "inspect", network))[0]["Containers"]
    return {each["Name"] for each in found.values()}


def test_containers_of_two_hosts(plugged: Plugged) -> None:
    """One network: its addresses, names and users are the cluster's."""
    cluster, first, second = plugged
    made = create(plugged, "far", "--opt", "way=none")
    for host in cluster.hosts:
        (line,) = [line for line in host.networks().splitlines() if " far " in line]
        assert line.split() == [made[:12], "far", "wires", "global"]
    a, b = cluster.one.run("aa", "far"), cluster.two.run("bb", "far")
    assert a != b
    assert a.startswith("10.0.0.")
    eventually(lambda: cluster.one.pings("aa", b, wait=1))
    eventually(lambda: cluster.one.pings("aa", "bb"))
    eventually(lambda: cluster.two.pings("bb", "aa"))
    for host in cluster.hosts:
        eventually(lambda host=host: names(host, "far") == {"aa", "bb"})  # type: ignore[misc]
    said = cluster.three.docker("network", "rm", "far", check=False)
    assert "has active endpoints" in said
    assert "far" in cluster.three.networks()
    asked = ("run", "--rm", "--net", "far", "busybox", "true")
    assert 'plugin "wires" not found' in cluster.three.docker(*asked, check=False)
    assert first.calls().count("CreateNetwork") == 1
    assert "CreateNetwork" not in second.calls()
    assert "CreateEndpoint" in second.calls()


def test_a_daemon_starts_again(plugged: Plugged) -> None:
    """What others have is known as before; the plugin, which knows, is not told again."""
    cluster, first, _ = plugged
    first.forget()
    cluster.one.daemon.restart()
    eventually(lambda: names(cluster.one, "far") == {"aa", "bb"})
    eventually(lambda: cluster.one.pings("aa", "bb"))
    assert "CreateNetwork" not in first.calls()


def test_its_end(plugged: Plugged) -> None:
    """Taken away by any host that has the plugin, which is told there alone."""
    cluster, first, second = plugged
    first.forget()
    cluster.one.docker("rm", "-f", "aa")
    cluster.two.docker("rm", "-f", "bb")
    for host in cluster.hosts:
        eventually(lambda host=host: names(host, "far") == set())  # type: ignore[misc]
    cluster.two.docker("network", "rm", "far")
    for host in cluster.hosts:
        eventually(lambda host=host: " far " not in host.networks())  # type: ignore[misc]
    assert "DeleteNetwork" in second.calls()
    assert "DeleteNetwork" not in first.calls()
    assert create(plugged, "again")
    assert "10.0.0.0/24" in cluster.three.docker("network", "inspect", "again")
    cluster.one.docker("network", "rm", "again")


def test_addresses_of_the_plugin(plugged: Plugged) -> None:
    """Its pools are in the store under its own names, and it gives out their addresses."""
    cluster, first, second = plugged
    first.forget()
    second.forget()
    create(plugged, "theirs", "--ipam-driver", "wires", "--subnet", "10.66.0.0/24")
    a, b = cluster.one.run("cc", "theirs"), cluster.two.run("dd", "theirs")
    assert {a, b} == {"10.66.0.2", "10.66.0.3"}
    eventually(lambda: cluster.one.pings("cc", "dd"))
    assert dict(second.asked())["IpamDriver.RequestAddress"]["PoolID"] == "pool-10.66.0.0/24"
    cluster.one.docker("rm", "-f", "cc")
    cluster.two.docker("rm", "-f", "dd")
    eventually(lambda: names(cluster.two, "theirs") == set())
    cluster.two.docker("network", "rm", "theirs")
    assert "ReleasePool" in second.calls()
