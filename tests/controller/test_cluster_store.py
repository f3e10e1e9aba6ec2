"""The store is told again, waits, forgets, refuses; hosts and daemons go and come back."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.controller.shared import member
from fairlead.model.errors import Forbidden, Unavailable
from fairlead.model.network import NetworkRequest
from tests.controller.cluster import TTL, Cluster, eventually

IN_USE = r'^error while removing network: network ov has active endpoints \(name:"one" id:"'


async def test_an_address_rests_before_it_is_given_again(cluster: Cluster) -> None:
    """A new owner is not the old one to anybody: another address, and another MAC in any case."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    one = await cluster.a.run("one", "ov")
    first = cluster.a.address(one, "ov")
    mac = cluster.a.machine.controller.world.in_sandbox(one.id)[0].mac
    await eventually(lambda: len(cluster.b.peers("ov")) == 1)
    await cluster.a.machine.controller.close_sandbox(one.id)
    await eventually(lambda: not cluster.b.peers("ov"))

    for host in (cluster.a, cluster.b):
        box = await host.run(f"next-{host.name}", "ov")
        assert host.address(box, "ov") != first
    again = await cluster.b.run("again", "ov", ip=first)
    end = cluster.b.machine.controller.world.in_sandbox(again.id)[0]
    assert (str(end.ipv4.ip) if end.ipv4 else "") == first
    assert end.mac != mac


@pytest.mark.parametrize("seen", [True, False])
async def test_an_address_rests_over_a_restart(cluster: Cluster, seen: bool) -> None:
    """A daemon remembers what it saw go, and finds what went while it was away."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    stays = await cluster.b.run("stays", "ov")
    gone = await cluster.a.run("gone", "ov")
    last = cluster.a.address(gone, "ov")
    await eventually(lambda: len(cluster.b.peers("ov")) == 1)
    if seen:
        await cluster.a.machine.controller.close_sandbox(gone.id)
        await eventually(lambda: not cluster.b.peers("ov"))
        await cluster.b.down()
    else:
        await cluster.b.down()
        await cluster.a.machine.controller.close_sandbox(gone.id)
    await cluster.b.up()
    await cluster.b.member.ready.wait()

    box = await cluster.b.run("next", "ov")
    assert cluster.b.address(box, "ov") not in (last, cluster.b.address(stays, "ov"))


@pytest.mark.parametrize("alive", [True, False])
async def test_a_network_in_use_elsewhere_stays(cluster: Cluster, alive: bool) -> None:
    """By a host that is off, or of whose container nothing is known here yet: refused at once."""
    request = NetworkRequest("ov", "overlay", options={"fairlead.host_access": "true"})
    net = await cluster.a.machine.controller.create_network(request)
    here = cluster.b.machine.controller
    await eventually(lambda: all(len(host.peers("ov")) == 2 for host in cluster.hosts))
    before = dict(cluster.b.machine.kernel.state)
    told: list[str] = []
    here.listeners.append(lambda event: told.append(event.action))
    if not alive:
        await cluster.a.run("one", "ov")
        await cluster.a.down()
        await eventually(lambda: len(cluster.b.peers("ov")) == 1)
        before = dict(cluster.b.machine.kernel.state)
        with pytest.raises(Forbidden, match=IN_USE) as refusal:
            await here.remove_network("ov")
    else:
        # What is heard of the store afterwards comes too late.
        cluster.b.member._place.store.tell = lambda key, event: None  # type: ignore[attr-defined]
        await cluster.a.run("one", "ov")
        with pytest.raises(Forbidden, match=IN_USE) as refusal:
            await here.remove_network("ov")
    assert refusal.value.hint.endswith("one on 192.0.2.11")

    assert here.network("ov").id == net.id
    assert cluster.b.machine.kernel.state == before
    assert not told
    assert not here.world.errands
    assert not any("active endpoints" in text for text in here.warnings)


async def test_who_is_told_that_a_network_is_gone(cluster: Cluster) -> None:
    """Once on each host, however soon the store says the same."""
    told: dict[str, list[str]] = {host.name: [] for host in cluster.hosts}
    for host in cluster.hosts:
        host.machine.controller.listeners.append(
            lambda event, host=host: told[host.name].append(f"{event.action} {event.network.name}")  # type: ignore[misc]
        )
    for number in range(5):
        name = f"ov{number}"
        await cluster.a.machine.controller.create_network(NetworkRequest(name, "overlay"))
        await eventually(lambda name=name: all(host.knows(name) for host in cluster.hosts))  # type: ignore[misc]
        await cluster.b.machine.controller.remove_network(name)
        assert not cluster.b.knows(name)
        await eventually(lambda name=name: not any(host.knows(name) for host in cluster.hosts))  # type: ignore[misc]
    said = [f"{what} ov{number}" for number in range(5) for what in ("create", "destroy")]
    assert told == dict.fromkeys("abc", said)


async def test_a_network_that_the_cluster_does_not_let_go_comes_back(cluster: Cluster) -> None:
    """Who could not be told that somebody is on it, as the store was away, has it again."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    await eventually(lambda: len(cluster.b.peers("ov")) == 1)
    await cluster.a.down()
    await eventually(lambda: not cluster.b.peers("ov"))
    cluster.memory.stop()
    await cluster.b.machine.controller.remove_network("ov")
    assert not cluster.b.knows("ov")

    cluster.memory.start()
    warned = cluster.b.machine.controller.warnings
    await eventually(lambda: any("active endpoints" in text for text in warned))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.up()
    await eventually(lambda: len(cluster.b.peers("ov")) == 1)
    await cluster.b.run("two", "ov")


async def test_what_the_store_refused_is_told_again(cluster: Cluster) -> None:
    """A store that takes no endpoint for a while has it a few seconds after it takes them."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    box = await cluster.a.run("one", "ov")
    (key,) = (e.key for e in cluster.memory.below("docker/network/v1.0/endpoint"))
    cluster.memory.refused = key
    cluster.memory.remove(key)
    said = f"does not know endpoint of {box.name}"
    await eventually(lambda: any(said in text for text in cluster.a.machine.controller.warnings))
    cluster.memory.refused = ""
    await eventually(lambda: cluster.memory.read(key))


async def test_without_the_store_local_work_goes_on(cluster: Cluster) -> None:
    """Peers stay, local networks work, changes of the cluster fail with one clear line."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    gone = await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == 1)
    cluster.memory.stop()
    await eventually(lambda: all(host.member.trouble for host in cluster.hosts))
    await asyncio.sleep(2 * TTL)

    assert len(cluster.a.reaches("ov")) == 1
    await cluster.a.machine.controller.create_network(NetworkRequest("local"))
    await cluster.a.run("here", "local")
    with pytest.raises(Unavailable):
        await cluster.a.run("three", "ov")
    with pytest.raises(Unavailable):
        await cluster.a.machine.controller.create_network(NetworkRequest("more", "overlay"))
    # What ends, ends here; the others hear of it when the store is back.
    await cluster.b.machine.controller.close_sandbox(gone.id)
    cluster.memory.start()
    await eventually(lambda: cluster.a.reaches("ov") == {})
    box = await cluster.b.run("four", "ov")
    await eventually(
        lambda: cluster.a.reaches("ov") == {cluster.b.address(box, "ov"): "192.0.2.12"}
    )
    for host in cluster.hosts:
        await host.is_right()


async def test_a_dead_hosts_peers_go_and_come_back(cluster: Cluster) -> None:
    """Within its time to live; and as soon as it is there again."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == 1)
    heard: list[tuple[str, bool]] = []
    cluster.a.member.met.append(lambda host, came: heard.append((str(host), came)))
    await cluster.b.down()
    await eventually(lambda: cluster.a.reaches("ov") == {})
    assert heard == [("192.0.2.12", False)]

    await cluster.b.up()
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)


async def test_a_restart_changes_nothing(cluster: Cluster) -> None:
    """The daemon comes back within its time: no step in any kernel."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)
    before = dict(cluster.a.machine.kernel.state)
    await cluster.a.down()
    await cluster.a.up()
    await cluster.a.member.ready.wait()
    await asyncio.sleep(0.1)

    assert cluster.a.machine.kernel.state == before


async def test_who_left_while_the_store_was_doubted_goes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that forgot is not believed for a while, and then it is."""
    monkeypatch.setattr(member, "DOUBT_SECONDS", 2.0)
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    await cluster.a.run("one", "ov")
    two = await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == 1)
    await cluster.b.down()
    for entry in cluster.memory.below("docker/network/v1.0/endpoint"):
        cluster.memory.remove(entry.key)
    await asyncio.sleep(0.2)
    assert len(cluster.a.reaches("ov")) == 1
    await cluster.b.machine.boot()
    await cluster.b.machine.controller.close_sandbox(two.id)
    await cluster.b.machine.halt()
    await cluster.b.up()
    await eventually(lambda: cluster.a.reaches("ov") == {})


async def test_a_store_that_forgot_everything_is_told_again(cluster: Cluster) -> None:
    """Whoever is on a network makes it known again, with its addresses and its VNI."""
    await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    one, two = await cluster.a.run("one", "ov"), await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)
    before = cluster.a.reaches("ov"), cluster.b.reaches("ov")
    for entry in cluster.memory.below("docker/network"):
        cluster.memory.remove(entry.key)

    def told() -> bool:
        # All the time everybody reaches who is there.
        assert (cluster.a.reaches("ov"), cluster.b.reaches("ov")) == before
        return len(cluster.memory.below("docker/network/v1.0/endpoint")) == 2

    await eventually(told)
    await eventually(lambda: cluster.c.knows("ov") and len(cluster.c.peers("ov")) == 2)
    third = await cluster.c.run("three", "ov")
    taken = {cluster.a.address(one, "ov"), cluster.b.address(two, "ov")}
    assert cluster.c.address(third, "ov") not in taken
    await eventually(lambda: len(cluster.a.reaches("ov")) == 2)
