"""Whatever somebody writes to the store: it is told of, and moves nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from fairlead.driver import bridge
from fairlead.model.network import NetworkRequest
from fairlead.model.tunnel import Fdb
from tests.controller.cluster import Cluster, eventually

GENERIC, ENCAPSULATION = "com.docker.network.generic", "fairlead.encapsulation"
ENDPOINT = "docker/network/v1.0/endpoint"


def forged(cluster: Cluster, network: str, changes: Mapping[str, object]) -> bytes:
    """The record of an endpoint that is sound, but for what is changed."""
    (entry, *_) = cluster.memory.below(f"{ENDPOINT}/{network}")
    record = json.loads(entry.value)
    iface = {**record["ep_iface"], "addr": "10.0.0.99/24", "mac": "02:42:0a:00:00:63"}
    iface |= {name: value for name, value in changes.items() if name in ("addr", "mac")}
    rest = {name: value for name, value in changes.items() if name not in ("addr", "mac")}
    own = {"ep_iface": iface, "locator": "192.0.2.12", "name": "evil", "id": "f" * 64}
    return json.dumps({**record, **own, **rest}).encode()


HOSTILE: dict[str, dict[str, object]] = {
    "our own address": {"locator": "192.0.2.11"},
    "loopback": {"locator": "127.0.0.1"},
    "multicast": {"locator": "224.0.0.1"},
    "broadcast": {"locator": "255.255.255.255"},
    "no host": {"locator": "0.0.0.0"},
    "a dead host": {"locator": "203.0.113.77"},
    "another's address": {"addr": None},
    "the gateway": {"addr": "10.0.0.1/24"},
    "out of the pool": {"addr": "198.51.100.7/24"},
    "the MAC of all": {"mac": "ff:ff:ff:ff:ff:ff"},
    "a line for /etc/hosts": {"name": "evil\n6.6.6.6 bank.example"},
    "an end of a rule": {"name": 'x"; } delete table inet x; #'},
    "a path": {"name": "../../etc/passwd"},
    "a thousand aliases": {"myAliases": [f"n{number}" for number in range(5000)]},
    "a megabyte": {"name": "n" * 1_000_000},
    "numbers": {"name": 7},
}


async def test_bad_values_are_told_and_not_used(cluster: Cluster) -> None:
    """Whoever writes nonsense, or says it is us, changes nothing."""
    net = await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await cluster.a.run("one", "ov")
    await eventually(lambda: cluster.b.knows("ov"))
    before = dict(cluster.a.machine.kernel.state)
    bad = {
        f"endpoint/{net.id}/{'e' * 64}": b'{"id":',
        f"endpoint/{net.id}/{'f' * 64}": b'{"id": 7}',
        f"network/{'d' * 64}": b"\xff" * 100,
        f"overlay/network/{net.id}": b"[]",
    }
    for key, value in bad.items():
        cluster.memory.write(f"docker/network/v1.0/{key}", value)
    await eventually(
        lambda: sum("bad value" in w for w in cluster.a.machine.controller.warnings) == 4
    )

    assert cluster.a.machine.kernel.state == before


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_endpoint_moves_nothing(cluster: Cluster, what: str) -> None:
    """No packet goes elsewhere, no name of it is told, and nothing stops."""
    net = await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    await eventually(lambda: cluster.b.knows("ov"))
    one = await cluster.a.run("one", "ov")
    two = await cluster.b.run("two", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)
    before = dict(cluster.a.machine.kernel.state)
    changes = dict(HOSTILE[what])
    if "addr" in changes and changes["addr"] is None:
        changes["addr"] = f"{cluster.b.address(two, 'ov')}/24"
    record = forged(cluster, net.id, changes)
    cluster.memory.write(f"{ENDPOINT}/{net.id}/{'f' * 64}", record)
    # What is written after it has been heard, so has that.
    await cluster.c.run("three", "ov")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 2)

    assert "f" * 64 not in {p.id for p in cluster.a.machine.controller.world.peers.values()}
    assert all(key in cluster.a.machine.kernel.state for key in before)
    assert cluster.a.address(one, "ov") not in cluster.a.reaches("ov")
    told = [w for w in cluster.a.machine.controller.warnings if "f" * 64 in w]
    assert len(told) <= 1
    assert not any("\n" in line or len(line) > 1000 for line in told)
    for host in cluster.hosts:
        await host.is_right()


@pytest.mark.parametrize("what", ["MAC", "id", "gateway"])
async def test_a_lie_about_whose_it_is_moves_nothing(cluster: Cluster, what: str) -> None:
    """A record with another's MAC, or under another network's key: also for who starts anew."""
    nets = []
    for name in ("ov", "two"):
        made = await cluster.a.machine.controller.create_network(NetworkRequest(name, "overlay"))
        nets.append(made)
        await eventually(lambda name=name: cluster.b.knows(name))  # type: ignore[misc]
    one = await cluster.a.run("one", "ov")
    await cluster.b.run("two", "ov", "two")
    await cluster.a.run("three", "two")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.a.reaches("two")) == 1)
    await eventually(lambda: len(cluster.b.reaches("ov")) == len(cluster.b.reaches("two")) == 1)
    end = cluster.a.machine.controller.world.in_sandbox(one.id)[0]
    before = {host.name: dict(host.machine.kernel.state) for host in cluster.hosts[:2]}
    lies = {
        "MAC": {"id": "0" * 64, "mac": end.mac},
        "gateway": {"id": "0" * 64, "mac": bridge.mac(nets[0])},
        "id": {"id": end.id, "addr": "10.0.1.99/24"},
    }
    lie, net = lies[what], nets[what == "id"]
    key = f"{ENDPOINT}/{net.id}/{lie['id']}"
    cluster.memory.write("docker/nodes/192.0.2.66:2376", b"192.0.2.66:2376")
    cluster.memory.write(key, forged(cluster, nets[0].id, {**lie, "locator": "192.0.2.66"}))
    if what != "gateway":
        for host in cluster.hosts:
            said = host.machine.controller.warnings
            await eventually(lambda said=said: any(key in text for text in said))  # type: ignore[misc]

    await cluster.a.down()
    await cluster.a.up()
    await cluster.a.member.ready.wait()
    # The second one has what is behind the lie as well.
    last = cluster.c.address(await cluster.c.run("last", "ov"), "ov")
    await eventually(lambda: last in cluster.a.reaches("ov") and last in cluster.b.reaches("ov"))
    for host in cluster.hosts[:2]:
        now = dict(host.machine.kernel.state)
        assert {k: now.get(k) for k in before[host.name]} == before[host.name]
    assert cluster.a.address(one, "ov") == "10.0.0.2"
    assert not [f for f in cluster.a.machine.kernel.state.values() if isinstance(f, Fdb) and f.mac == lie.get("mac")]  # fmt: skip
    assert end.id not in cluster.a.machine.controller.world.peers
    for host in cluster.hosts[:2]:
        await host.is_right()


async def test_a_network_does_not_change_under_its_containers(cluster: Cluster) -> None:
    """Another driver, name or way of frames, other pools, another's VNI: none is taken, ever."""
    net = await cluster.a.machine.controller.create_network(NetworkRequest("ov", "overlay"))
    other = await cluster.a.machine.controller.create_network(NetworkRequest("two", "overlay"))
    await eventually(lambda: cluster.b.knows("ov") and cluster.b.knows("two"))
    await cluster.a.run("one", "ov", "two")
    await cluster.b.run("two", "ov", "two")
    await eventually(lambda: len(cluster.a.reaches("ov")) == len(cluster.b.reaches("ov")) == 1)
    await eventually(lambda: len(cluster.a.reaches("two")) == len(cluster.b.reaches("two")) == 1)
    before = dict(cluster.a.machine.kernel.state)
    root = "docker/network/v1.0"
    key, lay = f"{root}/network/{net.id}", f"{root}/overlay/network/{net.id}"
    sound = {each: cluster.memory.read(each) for each in (key, lay)}
    record, segments = (json.loads(sound[each].value) for each in (key, lay))  # type: ignore[union-attr]
    vni = cluster.a.machine.controller.network(other.id).vnis[0]
    stolen = [{**segment, "Vni": vni} for segment in json.loads(json.dumps(segments["subnets"]))]
    hostile = {
        key: [
            json.dumps({**record, "networkType": "bridge"}).encode(),
            json.dumps({**record, "name": "two"}).encode(),
            json.dumps(record).replace("10.0.0.", "10.88.0.").encode(),
            json.dumps({**record, "inDelete": True}).encode(),
            json.dumps({**record, "generic": {GENERIC: {"encrypted": ""}}}).encode(),
            json.dumps({**record, "generic": {GENERIC: {ENCAPSULATION: "none"}}}).encode(),
        ],
        lay: [json.dumps({**segments, "subnets": stolen}).encode()],
    }
    for where, values in hostile.items():
        for value in values:
            cluster.memory.write(where, value)
            await asyncio.sleep(0.05)
            assert cluster.a.machine.kernel.state == before, value
            await cluster.a.down()
            await cluster.a.up()
            await cluster.a.member.ready.wait()
            links = [k for k in before if k[0] in ("link", "netns", "addr")]
            assert all(cluster.a.machine.kernel.state.get(k) == before[k] for k in links), value
            cluster.memory.write(where, sound[where].value)  # type: ignore[union-attr]
            await eventually(lambda: cluster.a.machine.kernel.state == before)
    cluster.memory.remove(lay)
    await eventually(lambda: cluster.memory.read(lay) is not None)
    # The record has no VNI at first: whoever wrote it gives it the one that runs.
    await eventually(lambda: cluster.memory.read(lay).value == sound[lay].value)  # type: ignore[union-attr]
    await eventually(lambda: cluster.a.machine.kernel.state == before)
    for host in cluster.hosts:
        await host.is_right()
