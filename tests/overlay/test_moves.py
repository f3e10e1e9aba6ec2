"""An address that another container has now, on another host: who remembers the last one learns."""

from __future__ import annotations

import pytest

from tests.overlay.cluster import Cluster, eventually

pytestmark = pytest.mark.root


def test_a_new_owner_is_reached_by_those_who_knew_the_last(cluster: Cluster) -> None:
    """Both families, on the host of either owner and on a third one."""
    one, two, three = cluster.hosts
    one.docker("network", "create", "-d", "overlay", "--ipv6", "--subnet", "10.9.0.0/24",
               "--subnet", "fd00:9::/64", "moves")  # fmt: skip
    for host in (two, three):
        eventually(lambda host=host: "moves" in host.networks())  # type: ignore[misc]
    given = ("--ip", "10.9.0.77", "--ip6", "fd00:9::77")
    watchers = [(host, f"watch{number}") for number, host in enumerate(cluster.hosts)]
    for host, name in watchers:
        host.run(name, "moves")
    one.run("first", "moves", *given)
    targets = ("10.9.0.77", "fd00:9::77")
    for host, name in watchers:
        assert all(host.pings(name, target) for target in targets)
    one.docker("rm", "-f", "first")
    eventually(lambda: "first" not in three.docker("network", "inspect", "moves"))

    two.run("second", "moves", *given)

    for host, name in watchers:
        for target in targets:
            eventually(lambda: host.pings(name, target, wait=1), 5)  # noqa: B023  # asked at once
            # Known again, not found by chance: no packet of a row is lost any more.
            assert host.pings(name, target, count=3, wait=1)
