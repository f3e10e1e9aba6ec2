"""Containers on different machines share a network, as the tutorials show it."""

from __future__ import annotations

import pytest

from tests.overlay.cluster import Cluster, eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def network(cluster: Cluster) -> str:
    """The tutorial's network, made on one host and there on all; its id."""
    made = cluster.one.docker("network", "create", "-d", "overlay", "ov_net1")
    for host in cluster.hosts:
        eventually(lambda host=host: "ov_net1" in host.networks())  # type: ignore[misc]
    return made


@pytest.fixture(scope="module")
def pair(cluster: Cluster, network: str) -> tuple[str, str]:
    """A container on either of two hosts; their addresses."""
    return cluster.one.run("web", "ov_net1", "-p", "8080:80"), cluster.two.run("db", "ov_net1")


def test_every_host_shows_it(cluster: Cluster, network: str) -> None:
    """`network ls` says overlay and global."""
    for host in cluster.hosts:
        (line,) = [line for line in host.networks().splitlines() if "ov_net1" in line]
        assert line.split() == [network[:12], "ov_net1", "overlay", "global"]


def test_containers_reach_each_other(cluster: Cluster, pair: tuple[str, str]) -> None:
    """By address, by name and by alias, in both directions."""
    first, second = pair
    assert cluster.one.pings("web", second)
    assert cluster.two.pings("db", first)
    assert cluster.one.pings("web", "db")
    assert cluster.two.pings("db", "web.ov_net1")


def test_a_mac_address_of_the_container(cluster: Cluster, pair: tuple[str, str]) -> None:
    """Who names no version of the API may say it as up to 1.51; others reach it there."""
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "600"],
        "MacAddress": "02:00:00:00:00:77",
        "HostConfig": {"NetworkMode": "ov_net1"},
    }
    made = cluster.one.daemon.api("POST", "/containers/create?name=mac", body)
    assert made.status == 201
    assert "deprecated" in made.json["Warnings"][0]
    cluster.one.docker("start", "mac")
    found = cluster.one.docker("exec", "mac", "cat", "/sys/class/net/eth0/address")
    assert found == "02:00:00:00:00:77"
    assert cluster.two.pings("db", "mac")
    newest = cluster.one.daemon.api("POST", "/v1.52/containers/create?name=none", body)
    assert (newest.status, newest.json["Warnings"]) == (201, [])
    cluster.one.docker("start", "none")
    found = cluster.one.docker("exec", "none", "cat", "/sys/class/net/eth0/address")
    assert found != "02:00:00:00:00:77"
