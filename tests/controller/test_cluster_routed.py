"""Networks without encapsulation on the hosts of a cluster, with fake kernels."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface

import pytest

from fairlead.model.errors import Invalid
from fairlead.model.facts import Hint
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.nftables import NftElement
from fairlead.model.state import HOST, Address, Bridge, Neighbour, Proxy, Route
from fairlead.model.tunnel import Fdb, Vxlan
from tests.controller.cluster import Cluster, Host, eventually

NONE = {"fairlead.encapsulation": "none"}
FLAT = NetworkRequest("flat", "overlay", options=NONE)


async def made(cluster: Cluster) -> None:
    """The network, and a container on it on each of two hosts."""
    await cluster.a.machine.controller.create_network(FLAT)
    await eventually(lambda: all(host.knows("flat") for host in cluster.hosts))
    await cluster.a.run("one", "flat")
    await cluster.b.run("two", "flat")
    await eventually(lambda: len(cluster.c.peers("flat")) == 2)


def routes(host: Host) -> dict[str, str]:
    """Where a host sends what is for single addresses."""
    kernel = host.machine.kernel.state.values()
    found = [r for r in kernel if isinstance(r, Route) and r.namespace == HOST]
    answered = {str(r.address) for r in kernel if isinstance(r, Proxy)}
    assert answered == {str(r.destination.network_address) for r in found}
    return {str(r.destination): str(r.via) for r in found}


async def test_hosts_route_to_each_other(cluster: Cluster) -> None:
    """A route for each container elsewhere, no tunnel, no VNI; nothing where nobody is."""
    await made(cluster)
    await eventually(lambda: routes(cluster.a) == {"10.0.0.3/32": "192.0.2.12"})
    await eventually(lambda: routes(cluster.b) == {"10.0.0.2/32": "192.0.2.11"})
    for host in cluster.hosts:
        kernel = host.machine.kernel.state.values()
        assert not any(isinstance(r, Vxlan | Fdb) for r in kernel)
        assert host.machine.controller.network("flat").vnis == ()
        await host.is_right()
    kernel = cluster.c.machine.kernel.state.values()
    net = cluster.c.machine.controller.network("flat")
    assert not any(isinstance(r, Bridge) and r.name == net.ifname for r in kernel)
    assert not any(isinstance(r, NftElement) and net.ifname in r.item for r in kernel)
    lay = json.loads(cluster.memory.read(f"docker/network/v1.0/overlay/network/{net.id}").value)  # type: ignore[union-attr]
    assert [subnet["Vni"] for subnet in lay["subnets"]] == [0]


async def test_an_address_moves(cluster: Cluster) -> None:
    """To another host, and to this one."""
    await made(cluster)
    for host, way in ((cluster.b, "192.0.2.12"), (cluster.c, "192.0.2.13")):
        box = await host.run("mover", "flat", ip="10.0.0.9")
        await eventually(lambda way=way: routes(cluster.a).get("10.0.0.9/32") == way)  # type: ignore[misc]
        await host.machine.controller.close_sandbox(box.id)
        await eventually(lambda: "10.0.0.9/32" not in routes(cluster.a))
    await cluster.a.run("mover", "flat", ip="10.0.0.9")
    kernel = cluster.a.machine.kernel.state.values()
    assert any(isinstance(r, Neighbour) and str(r.address) == "10.0.0.9" for r in kernel)
    for host in cluster.hosts:
        await host.is_right()


async def test_a_host_behind_a_router(cluster: Cluster) -> None:
    """It is warned of once and the others are reached; when it comes near, so is it."""
    cluster.c.machine.kernel.remote.add(ip_address("192.0.2.12"))
    await made(cluster)
    await cluster.c.run("three", "flat")
    assert routes(cluster.c) == {"10.0.0.2/32": "192.0.2.11"}
    box = await cluster.b.run("more", "flat")
    await eventually(lambda: "more" in cluster.c.peers("flat"))
    warned = [w for w in cluster.c.machine.controller.warnings if "192.0.2.12" in w]
    assert len(warned) == 1
    assert "behind a router" in warned[0]
    await cluster.c.is_right()

    # Somebody gives the host a way, and the kernel tells of it.
    cluster.c.machine.kernel.remote.clear()
    healer = cluster.c.machine.controller.healer
    healer.hear([Hint("route", "192.0.2.12/32", lost=False, link="eth0")])
    await healer.heed()
    assert len(routes(cluster.c)) == 3
    await cluster.c.is_right()

    # It is gone again, and so are the routes; whoever ends then leaves nothing.
    cluster.c.machine.kernel.remote.add(ip_address("192.0.2.12"))
    healer.hear([Hint("route", "192.0.2.0/24", lost=True, link="eth0")])
    await healer.heed()
    assert len(routes(cluster.c)) == 1
    await cluster.b.machine.controller.close_sandbox(box.id)
    await eventually(lambda: "more" not in cluster.c.peers("flat"))
    await cluster.c.is_right()


async def test_routes_that_are_lost_come_back(cluster: Cluster) -> None:
    """A route is deleted, or goes with a link that is down for a while."""
    await made(cluster)
    await eventually(lambda: len(routes(cluster.a)) == 1)
    kernel, healer = cluster.a.machine.kernel, cluster.a.machine.controller.healer
    key = ("route", HOST, "10.0.0.3/32")
    for hint in (Hint("route", "10.0.0.3/32"), Hint("link", "eth0", lost=False)):
        lost = kernel.state.pop(key)
        healer.hear([hint])
        await healer.heed()
        assert kernel.state[key] == lost
    await cluster.a.is_right()


async def test_a_host_with_docker_is_told_of(cluster: Cluster) -> None:
    """It knows tunnels only. One warning, and what it draws as a VNI is not ours."""
    await made(cluster)
    net = cluster.a.machine.controller.network("flat")
    folder = f"docker/network/v1.0/endpoint/{net.id}"
    sample = cluster.memory.below(folder)[0]
    record = json.loads(sample.value)
    record["id"] = "d" * 64
    record["locator"] = "192.0.2.13"
    record["ep_iface"] |= {"addr": "10.0.0.77/24", "mac": "02:42:0a:00:00:4d"}
    cluster.memory.write(f"{folder}/{'d' * 64}", json.dumps(record).encode())
    place = f"docker/network/v1.0/overlay/network/{net.id}"
    lay = json.loads(cluster.memory.read(place).value)  # type: ignore[union-attr]
    lay["subnets"][0]["Vni"] = 300
    cluster.memory.write(place, json.dumps(lay).encode())

    warnings = cluster.a.machine.controller.warnings
    await eventually(lambda: any("VXLAN only" in w for w in warnings))
    assert sum("host 192.0.2.13" in w and "VXLAN only" in w for w in warnings) == 1
    assert cluster.a.machine.controller.network("flat").vnis == ()
    await cluster.a.is_right()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fairlead.encapsulation": "gre"}, "invalid fairlead.encapsulation 'gre'"),
        ({**NONE, "encrypted": ""}, "cannot be encrypted"),
    ],
)
async def test_what_an_overlay_cannot_be_is_refused(
    cluster: Cluster,
    options: dict[str, str],
    words: str,
) -> None:
    """Not taken as if it were nothing: the network is not there afterwards, anywhere."""
    with pytest.raises(Invalid, match=words):
        await cluster.a.machine.controller.create_network(
            NetworkRequest("ov", "overlay", options=options)
        )
    assert not cluster.a.knows("ov")
    assert not cluster.memory.below("docker/network/v1.0/network")


async def test_subnets_may_be_several(cluster: Cluster) -> None:
    """All are on one bridge, each with its gateway."""
    pools = tuple(PoolRequest(f"10.{n}.0.0/24") for n in (31, 32))
    request = NetworkRequest("flat", "overlay", pools=pools, options=NONE)
    await cluster.a.machine.controller.create_network(request)
    await eventually(lambda: cluster.b.knows("flat"))
    await cluster.a.run("one", "flat", ip="10.31.0.9")
    await cluster.b.run("two", "flat", ip="10.32.0.9")
    await eventually(lambda: routes(cluster.a) == {"10.32.0.9/32": "192.0.2.12"})
    held = [r.address for r in cluster.a.machine.kernel.state.values() if isinstance(r, Address)]
    assert {ip_interface(f"10.{n}.0.1/24") for n in (31, 32)} <= set(held)
    await cluster.a.is_right()
