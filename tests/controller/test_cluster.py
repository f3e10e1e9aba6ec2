"""What one host of a cluster does, all see: networks, containers, names, ways out."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from fairlead.model.advertising import MESSAGES
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Forbidden
from fairlead.model.network import NetworkRequest, PoolRequest, Scope, span
from fairlead.model.state import Address, Namespace, Veth
from fairlead.model.step import Announce
from fairlead.model.tunnel import Fdb, Vxlan
from tests.controller.cluster import Cluster, eventually


async def test_a_network_of_one_is_everybodys(cluster: Cluster) -> None:
    """Made on one host, it is there on all with the same id, pools and scope."""
    net = await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: all(host.knows("ov") for host in cluster.hosts))

    for host in cluster.hosts:
        found = host.machine.controller.network("ov")
        assert (found.id, found.pools, found.scope) == (net.id, net.pools, Scope.GLOBAL)
        assert found.vnis == (256,)
    assert str(net.pools[0].subnet) == "10.0.0.0/24"


async def test_containers_find_each_other(cluster: Cluster) -> None:
    """Each host sends what is for a container elsewhere to its host, and knows its names."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    one = await cluster.a.run("one", "ov")
    two = await cluster.b.run("two", "ov")
    await eventually(lambda: cluster.a.peers("ov") == {"two": "192.0.2.12"})
    await eventually(lambda: cluster.b.peers("ov") == {"one": "192.0.2.11"})

    first, second = cluster.a.address(one, "ov"), cluster.b.address(two, "ov")
    assert first != second
    assert cluster.a.reaches("ov") == {second: "192.0.2.12"}
    assert cluster.b.reaches("ov") == {first: "192.0.2.11"}
    assert any("two" in entry.names for entry in cluster.a.machine.dataplane.entries.values())
    # A host on which nobody is on the network has nothing of it.
    await eventually(lambda: len(cluster.c.peers("ov")) == 2)
    kernel = cluster.c.machine.kernel.state.values()
    assert not any(isinstance(r, Vxlan | Fdb) for r in kernel)
    for host in cluster.hosts:
        await host.is_right()


@pytest.mark.parametrize(("options", "told"), [({}, True), ({MESSAGES: "0"}, False)], ids=str)
async def test_who_is_told_of_new_addresses(
    cluster: Cluster, options: dict[str, str], told: bool
) -> None:
    """Those on a host of everybody who comes, here and elsewhere, unless the network is silent."""
    here, there = cluster.a, cluster.b
    await here.machine.controller.create_network(NetworkRequest("ov", "overlay", options=options))
    await eventually(lambda: there.knows("ov"))
    boxes = await here.run("one", "ov"), await there.run("two", "ov")
    await eventually(lambda: here.peers("ov") == {"two": "192.0.2.12"})
    effects = [effect for step in here.machine.kernel.taken for effect in step.then]
    said = {str(effect.address) for effect in effects if isinstance(effect, Announce)}
    mine = {here.address(boxes[0], "ov"), there.address(boxes[1], "ov")}
    assert said == (mine if told else set())


async def test_the_kernel_of_a_host_on_an_overlay(cluster: Cluster) -> None:
    """A namespace with a bridge and a device from this host's address; 50 bytes are VXLAN's."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await cluster.a.run("one", "ov")
    space = span(cluster.a.machine.controller.network("ov").id)

    found = cluster.a.machine.kernel.state
    device = found["link", space, "vxlan0"]
    assert isinstance(device, Vxlan)
    assert (device.vni, str(device.local), device.mtu, device.port) == (
        256,
        "192.0.2.11",
        1450,
        4789,
    )
    assert isinstance(found["netns", space], Namespace)
    assert found["addr", space, "br0", "10.0.0.1"] == Address(
        space, "br0", ip_interface("10.0.0.1/24")
    )
    cables = [r for r in found.values() if isinstance(r, Veth) and r.namespace == space]
    assert [(c.master, c.peer, c.mtu) for c in cables] == [("br0", "eth0", 1450)]


async def test_the_way_out_is_the_gateway_bridge(cluster: Cluster) -> None:
    """eth1 on docker_gwbridge has the default route and the ports; an internal overlay has none."""
    controller = cluster.a.machine.controller
    await controller.create_network(NetworkRequest("ov", "overlay"))
    await controller.create_network(NetworkRequest("in", "overlay", internal=True))
    box = await cluster.a.run("one", "ov", publish=True)

    gateway = controller.network("docker_gwbridge")
    assert str(gateway.pools[0].subnet) == "172.18.0.0/16"
    (way,) = [e for e in controller.world.in_sandbox(box.id) if e.service]
    assert (way.network, way.inside) == (gateway.id, "eth1")
    assert {p.host_port for p in controller.world.sandboxes[box.id].ports} == {8080}
    inner = await cluster.a.run("two", "in")
    assert not [e for e in controller.world.in_sandbox(inner.id) if e.service]
    # With a bridge network it has a way out of its own, and without it none again.
    await controller.create_network(NetworkRequest("br"))
    await controller.join(box.id, "br", EndpointRequest())
    assert not [e for e in controller.world.in_sandbox(box.id) if e.service]
    await controller.leave(box.id, "br")
    assert [e for e in controller.world.in_sandbox(box.id) if e.service]
    await cluster.a.is_right()


async def test_leaving_and_removing_leave_nothing(cluster: Cluster) -> None:
    """No entry outlives its endpoint, no key its network."""
    controller = cluster.a.machine.controller
    await controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    one, two = await cluster.a.run("one", "ov"), await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)
    with pytest.raises(Forbidden, match="has active endpoints"):
        await cluster.c.machine.controller.remove_network("ov")
    await cluster.b.machine.controller.close_sandbox(two.id)
    await eventually(lambda: cluster.a.reaches("ov") == {})
    await controller.close_sandbox(one.id)
    await eventually(lambda: not cluster.c.peers("ov"))
    await cluster.c.machine.controller.remove_network("ov")
    await eventually(lambda: not any(host.knows("ov") for host in cluster.hosts))

    left = {entry.key for entry in cluster.memory.below("docker/network")}
    assert not [key for key in left if "/ipam/default/data/" in key or "/overlay/" in key]
    assert not [key for key in left if "/endpoint" in key or "/network/v1.0/network/" in key]
    for host in cluster.hosts:
        assert not any(isinstance(r, Vxlan | Fdb) for r in host.machine.kernel.state.values())


async def test_an_address_that_is_taken_elsewhere_is_refused(cluster: Cluster) -> None:
    """`--ip` of a container on another host fails as on one host, and leaves nothing."""
    pool = PoolRequest("10.9.0.0/24")
    await cluster.a.machine.controller.create_network(
        NetworkRequest("ov", "overlay", pools=(pool,))
    )
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov", ip="10.9.0.7")
    with pytest.raises(Forbidden, match="Address already in use"):
        await cluster.b.run("two", "ov", ip="10.9.0.7")

    assert len(cluster.b.machine.controller.world.sandboxes) == 0
    await cluster.b.is_right()


async def test_what_others_break_of_an_overlay_is_mended(cluster: Cluster) -> None:
    """The device, an entry, the bridge, the whole namespace: all comes back."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == 1)
    kernel, healer = cluster.a.machine.kernel, cluster.a.machine.controller.healer
    await cluster.a.is_right()
    space = span(cluster.a.machine.controller.network("ov").id)
    before = dict(kernel.state)
    entries = [key for key in before if key[0] in ("fdb", "neigh")]
    assert await healer.audit() == ()

    for key in (*entries, ("link", space, "vxlan0"), ("link", space, "br0"), ("netns", space)):
        kernel.lose(key)
        await healer.audit()
        await healer.audit()
        assert kernel.state == before, key


async def test_the_size_of_packets_is_that_of_the_way_between_hosts(cluster: Cluster) -> None:
    """Less what VXLAN needs, for everybody on the network, whoever made it."""
    await cluster.a.down()
    cluster.a.machine.underlay_mtu = 9000
    await cluster.a.up()
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.b.run("two", "ov")

    space = span(cluster.b.machine.controller.network("ov").id)
    device = cluster.b.machine.kernel.state["link", space, "vxlan0"]
    assert isinstance(device, Vxlan)
    assert device.mtu == 8950
