"""Hosts of a cluster on fake kernels and one store in memory: what one does, all see.

::

    host a 192.0.2.11 ─┐
    host b 192.0.2.12 ─┼─ the store
    host c 192.0.2.13 ─┘
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from fairlead.cluster.node import Node
from fairlead.controller.ask import Alone, Outside
from fairlead.controller.shared import member
from fairlead.controller.shared.history import History
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.seal import USUAL, Pace
from fairlead.driver import bridge
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import Forbidden, Unavailable
from fairlead.model.network import NetworkRequest, PoolRequest, Scope, span
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Address, Namespace, Neighbour, Veth
from fairlead.model.tunnel import Fdb, Vxlan
from fairlead.store.memory import Memory
from fairlead.store.trail import Trail
from tests.controller.bench import Machine

TTL = 0.6
IN_USE = r'^error while removing network: network ov has active endpoints \(name:"one" id:"'
GENERIC, ENCAPSULATION = "com.docker.network.generic", "fairlead.encapsulation"


async def eventually(what: Callable[[], object]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(90):
        while not what():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.005)


@dataclass
class Host:
    """A host whose daemon comes and goes."""

    name: str
    place: str
    machine: Machine
    memory: Memory
    member: Member = field(init=False)
    pace: Pace = USUAL
    secret: bytes | None = None
    plugins: Outside = field(default_factory=Alone)
    _task: asyncio.Task[None] | None = None

    async def up(self) -> None:
        """Start the daemon, and be a member."""
        self.machine.underlay = ip_address(self.place)
        await self.machine.boot()
        node = Node(ip_address(self.place), 2376)
        who = Membership(node, TTL / 3, TTL, self.secret, self.pace)
        place = Place(self.memory.client(self.name))
        trail = Trail(self.machine.path.with_name("addresses"), self.machine.controller.warn)
        history = History(trail=trail)
        self.member = Member(place, who, self.machine.controller, history=history)
        self.machine.controller.outside = self.member.says(self.plugins)
        self.machine.controller.committed.append(self.member.heed)
        self._task = asyncio.create_task(self.member.run())

    async def down(self) -> None:
        """The daemon ends."""
        if self._task is not None:
            self._task.cancel()
            task, self._task = self._task, None
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.machine.halt()

    async def run(self, name: str, *networks: str, ip: str = "", publish: bool = False) -> Sandbox:
        """A container on networks."""
        joins = [(network, EndpointRequest(ipv4=ip)) for network in networks]
        ports = [PortRequest("tcp", 80, host_port=8080)] if publish else []
        return await self.machine.controller.open_sandbox(self.machine.box(name), joins, ports)

    async def is_right(self) -> None:
        """Its kernel is as its world says, when nothing is being changed."""
        async with self.machine.controller._lock:
            self.machine.is_right()

    def knows(self, network: str) -> bool:
        """Whether it has a network of that name."""
        return self.machine.controller.world.called(network) is not None

    def peers(self, network: str) -> dict[str, str]:
        """The containers of other hosts on a network, and where they are."""
        net = self.machine.controller.network(network)
        afar = self.machine.controller.world.afar(net.id).values()
        return {peer.name: str(peer.host) for peer in afar}

    def reaches(self, network: str) -> dict[str, str]:
        """The addresses that its kernel sends to other hosts, and to which."""
        space = span(self.machine.controller.network(network).id)
        kernel = self.machine.kernel.state.values()
        hosts = {f.mac: str(f.host) for f in kernel if isinstance(f, Fdb) and f.namespace == space}
        near = [n for n in kernel if isinstance(n, Neighbour) and n.namespace == space]
        assert {n.mac for n in near} == hosts.keys()
        return {str(n.address): hosts[n.mac] for n in near}

    def address(self, box: Sandbox, network: str) -> str:
        """The address of a container on a network."""
        net = self.machine.controller.network(network)
        ends = self.machine.controller.world.in_sandbox(box.id)
        return next(str(e.ipv4.ip) for e in ends if e.network == net.id and e.ipv4)


@dataclass
class Cluster:
    """Three hosts and their store."""

    memory: Memory
    hosts: tuple[Host, ...]

    @property
    def a(self) -> Host:
        return self.hosts[0]

    @property
    def b(self) -> Host:
        return self.hosts[1]

    @property
    def c(self) -> Host:
        return self.hosts[2]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three hosts that are up."""
    memory = Memory()
    hosts = []
    for number, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name, seed=name)
        hosts.append(Host(name, f"192.0.2.{11 + number}", machine, memory))
    try:
        for host in hosts:
            await host.up()
        for host in hosts:
            async with asyncio.timeout(90):
                await host.member.ready.wait()
        yield Cluster(memory, tuple(hosts))
    finally:
        for host in hosts:
            await host.down()


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
