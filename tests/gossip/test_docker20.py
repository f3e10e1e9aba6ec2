"""Our agent and the one inside a Docker 20.10 daemon in one cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.gossip.hosts import Host, Town, eventually
from tests.lab import Switch
from tests.lab.docker20 import Docker20, docker20
from tests.lab.stores import etcd

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Host, Docker20, str]]:
    """A host of ours, a Docker 20.10 daemon, and the id of an overlay of its."""
    with Switch() as switch, Town(switch) as town:
        new = town.host("new")
        with (
            etcd(switch.machine("store")) as store,
            docker20(switch.machine("old"), store.url) as old,
        ):
            meet(new, old)
            network = old.docker("network", "create", "-d", "overlay", "ov1").stdout.strip()
            yield new, old, network


def meet(new: Host, old: Docker20) -> None:
    """Joins Docker's serf, which begins a while after its API."""
    address = str(old.machine.address)
    eventually(lambda: "error" not in new.attempt("join", addresses=[address]), "Docker gossips")
    new.hears("JOINED", name=old.machine.name, address=address)


def endpoint(old: Docker20, container: str) -> dict[str, str]:
    """What Docker says of a container on the overlay."""
    (plain,) = json.loads(old.docker("inspect", container).stdout)
    found: dict[str, str] = plain["NetworkSettings"]["Networks"]["ov1"]
    return found


def tables(old: Docker20, network: str) -> str:
    """The neighbours and the forwarding table of Docker's overlay."""
    # Before the dash is how often Docker has made it.
    inside = f"nsenter --net=$(ls /run/docker/netns/*-{network[:10]})"
    return old.machine.shell(f"{inside} ip neigh\n{inside} bridge fdb show dev vxlan0").stdout


def test_dockers_endpoints_are_heard(pair: tuple[Host, Docker20, str]) -> None:
    """A container that Docker starts and removes on an overlay is told of, and we understand."""
    new, old, network = pair
    old.docker("run", "-d", "--name", "c1", "--net", "ov1", "busybox", "sleep", "1000")
    there = endpoint(old, "c1")
    heard = new.hears("JOIN", endpoint=there["EndpointID"])
    assert heard["network"] == network
    assert heard["host"] == str(old.machine.address)
    assert heard["mac"] == there["MacAddress"]
    assert heard["address"] == f"{there['IPAddress']}/24"
    old.docker("rm", "-f", "c1")
    new.hears("LEAVE", endpoint=there["EndpointID"])


def test_docker_hears_of_our_endpoints(pair: tuple[Host, Docker20, str]) -> None:
    """What we tell is in its tables, and goes again; its question about another is answered."""
    new, old, network = pair
    old.docker("run", "-d", "--name", "c2", "--net", "ov1", "busybox", "sleep", "1000")
    ours = {**new.event(200), "network": network}
    new.tell(ours)
    tunnel = f"{ours['mac']} dst {new.address}"
    eventually(lambda: tunnel in tables(old, network), "Docker leads to our endpoint")
    assert f"10.0.0.200 dev vxlan0 lladdr {ours['mac']} PERMANENT" in tables(old, network)
    new.tell({**ours, "joined": False})
    eventually(lambda: tunnel not in tables(old, network), "and no longer")

    silent = {**new.event(201), "network": network}
    new.do("know", event=silent)
    ping = ("exec", "c2", "ping", "-c", "1", "-W", "1", "10.0.0.201")

    def asked() -> bool:
        # Nobody is there to answer the ping itself.
        old.docker(*ping, check=False)
        return f"{silent['mac']} dst {new.address}" in tables(old, network)

    eventually(asked, "Docker asked, and believed our answer")
    assert new.heard("LOOKUP", network=network, address="10.0.0.201")


def test_docker_dies_and_is_missed(pair: tuple[Host, Docker20, str]) -> None:
    """It is ended without a good-bye."""
    new, old, _ = pair
    old.kill9()
    assert new.hears("FAILED")["address"] == str(old.machine.address)
