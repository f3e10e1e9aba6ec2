"""A host's own way into an overlay, on fake kernels: who gets it, what it is, when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fairlead.model.errors import Forbidden, Invalid, NotFound
from fairlead.model.network import Network, NetworkRequest, PoolRequest, span
from fairlead.model.parent import HOST_ACCESS, host_link
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, Address, DnsRedirect, Namespace, Route, Veth
from fairlead.model.tunnel import Vxlan
from fairlead.store.memory import Memory
from tests.controller.bench import Crash, Machine
from tests.controller.cluster import Cluster, Host, eventually

WANTED = {HOST_ACCESS: "true"}


def own(host: Host, network: str = "ov") -> str:
    """The address that a host itself has on a network, as its kernel says; empty without one."""
    if not host.knows(network) or not boxes(host):
        return ""
    link = host_link(host.machine.controller.network(network).id)
    found = host.machine.kernel.state.values()
    mine = [r for r in found if isinstance(r, Address) and (r.namespace, r.link) == (HOST, link)]
    return str(mine[0].address.ip) if mine else ""


def boxes(host: Host) -> list[Sandbox]:
    """What stands for a host on networks."""
    return [b for b in host.machine.controller.world.sandboxes.values() if b.access]


async def made(cluster: Cluster) -> Network:
    """A network on which all hosts are, and know of each other."""
    request = NetworkRequest("ov", "overlay", options=WANTED)
    net = await cluster.a.machine.controller.create_network(request)
    await eventually(lambda: all(own(host) for host in cluster.hosts))
    await eventually(lambda: all(len(host.peers("ov")) == 2 for host in cluster.hosts))
    return net


def left(cluster: Cluster) -> list[str]:
    """What lies in the store of networks and endpoints."""
    found = [entry.key for entry in cluster.memory.below("docker/network/v1.0")]
    return [k for k in found if "/endpoint" in k or "/v1.0/network/" in k or "/overlay/" in k]


async def test_every_host_has_an_address(cluster: Cluster) -> None:
    """One of the cluster's each, on an interface of the host; all know where the others are."""
    net = await made(cluster)

    addresses = {host.name: own(host) for host in cluster.hosts}
    assert len(set(addresses.values())) == 3
    for host in cluster.hosts:
        others = {addresses[o.name]: o.place for o in cluster.hosts if o is not host}
        await eventually(lambda host=host, others=others: host.reaches("ov") == others)  # type: ignore[misc]
        await host.is_right()
    found = cluster.a.machine.kernel.state.values()
    (cable,) = [r for r in found if isinstance(r, Veth)]
    assert (cable.namespace, cable.master) == (span(net.id), "br0")
    assert (cable.peer_namespace, cable.peer, cable.mtu) == (HOST, host_link(net.id), 1450)
    # Nothing else becomes of the host: no namespace, no resolver, no way out by it.
    assert [r.name for r in found if isinstance(r, Namespace)] == [span(net.id)]
    assert not [r for r in found if isinstance(r, DnsRedirect | Route)]
    assert not cluster.a.knows("docker_gwbridge")


async def test_containers_know_the_host_by_name(cluster: Cluster) -> None:
    """`host_<name>` of each host leads to its address there."""
    await made(cluster)
    await cluster.a.run("one", "ov")
    await eventually(lambda: len(cluster.b.peers("ov")) == 3)

    known = {
        name: str(entry.addresses[0])
        for entry in cluster.a.machine.dataplane.entries.values()
        for name in entry.names
    }
    for host in cluster.hosts:
        assert known[f"host_{host.place}"] == own(host)


async def test_nobody_asked_for_it(cluster: Cluster) -> None:
    """Without the option a host on which nobody is on the network has nothing of it."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: all(host.knows("ov") for host in cluster.hosts))
    await cluster.a.run("one", "ov")

    assert not any(boxes(host) or own(host) for host in cluster.hosts)


async def test_a_bad_value_is_refused(cluster: Cluster) -> None:
    """Neither yes nor no."""
    with pytest.raises(Invalid, match=HOST_ACCESS):
        await cluster.a.machine.controller.create_network(
            NetworkRequest("ov", "overlay", options={HOST_ACCESS: "maybe"})
        )
    assert not left(cluster)


@pytest.mark.parametrize("by", "ab")
async def test_the_network_goes_with_only_hosts_on_it(cluster: Cluster, by: str) -> None:
    """Removed on any host; nothing is left in any kernel, nor in the store."""
    await made(cluster)
    remover = next(host for host in cluster.hosts if host.name == by)
    await remover.machine.controller.remove_network("ov")
    await eventually(lambda: not any(host.knows("ov") or boxes(host) for host in cluster.hosts))

    assert not left(cluster)
    for host in cluster.hosts:
        assert not [r for r in host.machine.kernel.state.values() if isinstance(r, Veth | Vxlan)]
        await host.is_right()
    # And its name and its addresses are free.
    await made(cluster)


async def test_a_container_keeps_the_network(cluster: Cluster) -> None:
    """Whoever wants it removed is refused, and hosts keep their access, or have it again."""
    await made(cluster)
    box = await cluster.b.run("one", "ov")
    await eventually(lambda: "one" in cluster.a.peers("ov"))
    with pytest.raises(Forbidden, match="one"):
        await cluster.a.machine.controller.remove_network("ov")
    assert all(own(host) for host in cluster.hosts)

    await cluster.b.machine.controller.close_sandbox(box.id)
    await eventually(lambda: "one" not in cluster.a.peers("ov"))
    assert all(own(host) for host in cluster.hosts)
    await cluster.a.machine.controller.remove_network("ov")
    await eventually(lambda: not any(host.knows("ov") for host in cluster.hosts))


async def test_a_dead_host_does_not_hold_the_network(cluster: Cluster) -> None:
    """Its endpoint goes with the network; when it comes back it has nothing of it."""
    await made(cluster)
    await cluster.c.down()
    await cluster.a.machine.controller.remove_network("ov")
    await eventually(lambda: not cluster.b.knows("ov"))
    assert not left(cluster)

    await cluster.c.up()
    await cluster.c.member.ready.wait()
    await eventually(lambda: not cluster.c.knows("ov") and not boxes(cluster.c))
    await cluster.c.is_right()
    await asyncio.sleep(1)
    assert not left(cluster)


async def test_a_host_that_comes_later_has_access(cluster: Cluster) -> None:
    """It learns of the network when it becomes a member."""
    await cluster.c.down()
    request = NetworkRequest("ov", "overlay", options=WANTED)
    await cluster.a.machine.controller.create_network(request)
    await eventually(lambda: own(cluster.a) and own(cluster.b))
    await cluster.c.up()

    await eventually(lambda: own(cluster.c) and own(cluster.c) in cluster.a.reaches("ov"))


async def test_a_restart_changes_nothing(cluster: Cluster) -> None:
    """The same address, the same interface, no step in the kernel."""
    await made(cluster)
    await cluster.a.is_right()
    before, steps = dict(cluster.a.machine.kernel.state), len(cluster.a.machine.kernel.taken)
    await cluster.a.down()
    await cluster.a.up()
    await cluster.a.member.ready.wait()
    await asyncio.sleep(0.1)

    assert cluster.a.machine.kernel.state == before
    # Peers went on through it, too: what is for other hosts was lost at no moment.
    assert cluster.a.machine.kernel.taken[steps:] == []


async def test_leaving_the_cluster_ends_it(cluster: Cluster) -> None:
    """A daemon that starts without a cluster has no access to its networks."""
    await made(cluster)
    await cluster.a.down()
    cluster.a.machine.underlay = None
    await cluster.a.machine.boot()

    assert not boxes(cluster.a)
    assert not [r for r in cluster.a.machine.kernel.state.values() if isinstance(r, Veth | Vxlan)]
    cluster.a.machine.is_right()
    await cluster.a.machine.halt()


async def test_what_others_break_of_it_is_mended(cluster: Cluster) -> None:
    """The cable, the address, the bridge, the whole namespace: all comes back."""
    net = await made(cluster)
    kernel, healer = cluster.a.machine.kernel, cluster.a.machine.controller.healer
    await cluster.a.is_right()
    before = dict(kernel.state)
    cables = [key for key, r in before.items() if isinstance(r, Veth)]
    (address,) = [k for k, r in before.items() if isinstance(r, Address) and not r.namespace
                  and r.link == host_link(net.id)]  # fmt: skip
    assert await healer.audit() == ()

    for key in (address, *cables, ("link", span(net.id), "br0"), ("netns", span(net.id))):
        kernel.lose(key)
        await healer.audit()
        await healer.audit()
        assert kernel.state == before, key


async def test_a_host_that_gave_way_gets_another_address(cluster: Cluster) -> None:
    """Whatever takes it off the network, it is put on it again."""
    net = await made(cluster)
    (box,) = boxes(cluster.a)
    await cluster.a.machine.controller.leave(box.id, net.id)

    await eventually(lambda: own(cluster.a))
    await eventually(lambda: own(cluster.a) in cluster.b.reaches("ov"))
    await cluster.a.is_right()


async def test_a_full_network_is_told_and_tried_again(cluster: Cluster) -> None:
    """A host that finds no address says so; containers go on."""
    request = NetworkRequest("ov", "overlay", pools=(PoolRequest("10.9.0.0/30"),), options=WANTED)
    await cluster.a.machine.controller.create_network(request)
    await eventually(lambda: sum(bool(own(host)) for host in cluster.hosts) == 1)
    without = [host for host in cluster.hosts if not own(host)]
    for host in without:
        controller = host.machine.controller
        await eventually(
            lambda controller=controller: any("no access" in w for w in controller.warnings)  # type: ignore[misc]
        )
        await host.is_right()


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Host]:
    """One host, which may die."""
    host = Host("a", "192.0.2.11", Machine(tmp_path, seed="a"), Memory())
    await host.up()
    await host.member.ready.wait()
    yield host
    await host.down()


@pytest.mark.parametrize("steps", range(0, 26, 2))
async def test_dying_at_any_step(alone: Host, steps: int) -> None:
    """A host that dies while it makes or loses its access has all of it or nothing, and in the
    end what it should have: an address while the network is there, and nothing after it."""
    controller = alone.machine.controller
    await controller.create_network(NetworkRequest("ov", "overlay", options=WANTED))
    await eventually(lambda: own(alone))
    first = own(alone)
    net = alone.machine.controller.network("ov")
    (box,) = boxes(alone)

    alone.machine.doom(steps)
    await _survive(alone, alone.machine.controller.leave(box.id, net.id))
    await eventually(lambda: own(alone))
    await alone.is_right()
    assert own(alone) in (first, *map(str, net.pools[0].subnet.hosts()))

    alone.machine.doom(steps)
    await _survive(alone, alone.machine.controller.remove_network("ov"))
    # What was on disk before the death is done by the next daemon, maybe just now.
    with contextlib.suppress(NotFound):
        await alone.machine.controller.remove_network("ov")
    await eventually(lambda: not alone.knows("ov") and not boxes(alone))
    await eventually(lambda: not alone.memory.below("docker/network/v1.0/network"))
    await alone.is_right()


async def _survive(host: Host, work: Coroutine[Any, Any, object]) -> None:
    """Do something that may kill the daemon, now or when it goes on; then it starts again."""
    machine = host.machine
    with contextlib.suppress(Crash):
        await work
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            while not machine.store.dead:  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.005)
    assert host._task is not None
    host._task.cancel()
    await asyncio.wait({host._task})
    machine.store.dead = True
    with contextlib.suppress(Crash):
        await machine.controller.close()
    machine.store.close()
    await host.up()
    await host.member.ready.wait()


async def test_isolation_is_there_with_either_backend(tmp_path: Path) -> None:
    """The rules stand before the interface, go with the last one, whatever writes the rest."""
    for backend in ("iptables", "nftables"):
        folder = tmp_path / backend
        folder.mkdir()
        host = Host("a", "192.0.2.11", Machine(folder, backend=backend, seed="a"), Memory())
        await host.up()
        await host.member.ready.wait()
        before = dict(host.machine.kernel.state)
        controller = host.machine.controller
        await controller.create_network(NetworkRequest("ov", "overlay", options=WANTED))
        await eventually(lambda host=host: own(host))  # type: ignore[misc]
        taken = [step.resource for step in host.machine.kernel.taken]
        link = host_link(controller.network("ov").id)
        rule = next(i for i, r in enumerate(taken) if getattr(r, "name", "") == "c_between")
        cable = next(i for i, r in enumerate(taken) if isinstance(r, Veth) and r.peer == link)
        assert rule < cable
        await controller.remove_network("ov")
        await eventually(lambda host=host, before=before: host.machine.kernel.state == before)  # type: ignore[misc]
        await host.down()


async def test_explain_says_why(cluster: Cluster) -> None:
    """The host is found by its name there, and each thing has its reason."""
    net = await made(cluster)
    lines = cluster.a.machine.controller.explain(f"host_{cluster.a.place}")

    assert any(host_link(net.id) in line for line in lines)
    reasons = [line for line in lines if "because" in line]
    assert "      because the host has access to network ov" in reasons
    assert lines[0] == f"host_{cluster.a.place}: this host, on networks that span hosts"
