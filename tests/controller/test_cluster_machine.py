"""Any history of a whole cluster, with deaths at any step and any write, ends as it should.

Hosts make, join, leave and remove; they are cut off from the store, die and come back. When
all is well again for a while, every kernel is as its world, every world as the store, and
the store holds nothing for nobody and nothing twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)

from fairlead.cluster.keys import Keys
from fairlead.cluster.leaks import leaks
from fairlead.cluster.node import Node
from fairlead.cluster.sequence import decode, ordinal
from fairlead.controller.ask import Alone
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place
from fairlead.kernel.fake import FakeKernel
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import FairleadError
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.state import state
from fairlead.store.memory import Memory, MemoryStore
from fairlead.store.shared import Entry
from tests.controller.bench import FRESH, Crash, Machine
from tests.controller.clock import Loop

T = TypeVar("T")
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None
TTL_SECONDS = 60.0
SETTLED_SECONDS = 900.0
"""Longer than a lease, and than what lies in the store for nobody is left alone."""
ROOT = "docker/network/v1.0"
KEYS = Keys()


class DyingClient(MemoryStore):
    """A way to the store of a host that can die before or after a write."""

    writes_left: int | None = None
    after = False
    die: Callable[[], None]

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        self._due(not self.after)
        entry = await super().put(key, value, version)
        self._due(self.after)
        return entry

    async def delete(self, key: str, version: int) -> None:
        self._due(not self.after)
        await super().delete(key, version)
        self._due(self.after)

    def _due(self, here: bool) -> None:
        if self.writes_left is None or not here:
            return
        if self.writes_left == 0:
            self.die()
            raise Crash
        self.writes_left -= 1


@dataclass
class Host:
    """A host whose daemon comes and goes."""

    name: str
    place: str
    machine: Machine
    memory: Memory
    reachable: bool = True
    member: Member = field(init=False)
    client: DyingClient = field(init=False)
    task: asyncio.Task[None] | None = None

    async def up(self, *, rebooted: bool = False) -> None:
        """Start the daemon; after a reboot nothing of what ran is left."""
        if rebooted:
            self.machine.kernel = FakeKernel(state(list(FRESH)))
        self.machine.underlay = ip_address(self.place)
        await self.machine.boot(alive=not rebooted)
        self.client = DyingClient(self.memory, self.name)
        self.client.die = self.die
        if not self.reachable:
            self.client.cut()
        who = Membership(Node(ip_address(self.place), 2376), TTL_SECONDS / 3, TTL_SECONDS)
        clock = asyncio.get_running_loop().time
        self.member = Member(
            Place(self.client, pause=self.pause), who, self.machine.controller, clock=clock
        )
        self.machine.controller.outside = self.member.says(Alone())
        self.machine.controller.committed.append(self.member.heed)
        self.task = asyncio.create_task(self.member.run(), name=f"member {self.name}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self.member.ready.wait()

    async def pause(self, attempt: int) -> None:
        """After somebody else was faster: a while, and nobody else's."""
        await asyncio.sleep(0.001 * 2 ** min(attempt, 6) * (1 + int(self.place[-1]) / 7))

    def die(self) -> None:
        """From now on it touches nothing any more."""
        self.machine.store.dead = self.machine.dataplane.dead = True
        self.client.cut()

        def dead(_: object) -> None:
            raise Crash

        self.machine.kernel.fault = dead

    async def down(self) -> None:
        """The daemon ends: in good order, unless it is dead."""
        assert self.task is not None
        task, self.task = self.task, None
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            _, rest = group.split(Crash)
            assert rest is None, rest
            assert self.dead
        with contextlib.suppress(Crash):
            await self.machine.controller.close()
        self.machine.store.close()

    @property
    def dead(self) -> bool:
        return self.machine.store.dead

    def reach(self, on: bool) -> None:
        """Whether it reaches the store."""
        self.reachable = on
        if on:
            self.client.mend()
        else:
            self.client.cut()


class Cluster(RuleBasedStateMachine):
    """Each rule may be cut short by the death of the host after any step or write."""

    @initialize(count=st.integers(2, 4))
    def begin(self, count: int) -> None:
        self.loop = Loop()
        self.folder = tempfile.TemporaryDirectory(dir=FOLDER)
        self.memory = Memory()
        self.hosts = []
        self.count = 0
        for number in range(count):
            name = "abcd"[number]
            folder = Path(self.folder.name, name)
            folder.mkdir()
            machine = Machine(folder, seed=name)
            self.hosts.append(Host(name, f"192.0.2.{11 + number}", machine, self.memory))
        for host in self.hosts:
            self.loop.run_until_complete(host.up())
        self.create(0, None, "red", "10.9.0.0/28", False)
        self.create(1, None, "green", "", True, flat=True)
        self.wait(0.1)
        self.run_everywhere()

    # What people do

    host = st.integers(0, 3)
    pick = st.integers(0, 63)
    deaths = (
        st.none()
        | st.none()
        | st.tuples(st.sampled_from(["step", "before", "after"]), st.integers(0, 12))
    )

    def do(
        self,
        number: int,
        death: tuple[str, int] | None,
        work: Callable[[Host], Coroutine[Any, Any, Any]],
    ) -> None:
        """One host does something, and perhaps dies of it and starts again."""
        self.loop.run_until_complete(self._do(number, death, work))

    async def _do(
        self,
        number: int,
        death: tuple[str, int] | None,
        work: Callable[[Host], Coroutine[Any, Any, Any]],
    ) -> None:
        host = self.at(number)
        if death is not None:
            self.doom(host, *death)
        try:
            await work(host)
        except (FairleadError, Crash):
            # A refusal is an answer too.
            pass
        except BaseExceptionGroup as group:
            _, rest = group.split((Crash, FairleadError))
            assert rest is None, rest
        await asyncio.sleep(0)
        await self.revive(host)

    def doom(self, host: Host, kind: str, left: int) -> None:
        if kind == "step":
            host.machine.doom(left)
        else:
            host.client.writes_left, host.client.after = left, kind == "after"

    async def revive(self, host: Host) -> None:
        host.client.writes_left = None
        if host.dead:
            host.client.cut()
            await host.down()
            await host.up()
        host.machine.kernel.fault = None

    def at(self, number: int) -> Host:
        return self.hosts[number % len(self.hosts)]

    def networks(self, host: Host) -> list[str]:
        return sorted(n.name for n in host.machine.controller.world.networks.values() if n.shared)

    def boxes(self, host: Host) -> list[str]:
        return sorted(host.machine.controller.world.sandboxes)

    @rule(
        number=host,
        death=deaths,
        name=st.sampled_from(["red", "green", "blue"]),
        pool=st.sampled_from(["", "", "10.9.0.0/28", "10.9.0.0/16"]),
        six=st.booleans(),
        flat=st.booleans(),
        access=st.sampled_from([False, False, True]),
    )
    def create(
        self,
        number: int,
        death: tuple[str, int] | None,
        name: str,
        pool: str,
        six: bool,
        flat: bool = False,
        access: bool = False,
    ) -> None:
        pools = (PoolRequest(pool),) if pool else ()
        if six:
            pools = (*pools, PoolRequest(f"2001:db8:{'123'[len(name) % 3]}::/64"))
        options = {"fairlead.encapsulation": "none"} if flat else {}
        options |= {"fairlead.host_access": "true"} if access else {}
        request = NetworkRequest(name, "overlay", pools=pools, enable_ipv6=six, options=options)
        self.do(number, death, lambda host: host.machine.controller.create_network(request))

    @rule(number=host, death=deaths, pick=pick)
    def remove(self, number: int, death: tuple[str, int] | None, pick: int) -> None:
        names = self.networks(self.at(number))
        if names:
            name = names[pick % len(names)]
            self.do(number, death, lambda host: host.machine.controller.remove_network(name))

    @rule(
        number=host,
        death=deaths,
        pick=pick,
        ip=st.sampled_from(["", "", "", "10.9.0.5"]),
    )
    def run(self, number: int, death: tuple[str, int] | None, pick: int, ip: str) -> None:
        names = self.networks(self.at(number))
        if names:
            nets = [n for at, n in enumerate(names) if pick >> at & 1] or names[:1]
            self.do(number, death, lambda host: self.opened(host, nets, ip))

    async def opened(self, host: Host, nets: list[str], ip: str = "") -> None:
        self.count += 1
        joins = [(net, EndpointRequest(ipv4=ip)) for net in nets]
        await host.machine.controller.open_sandbox(host.machine.box(f"c{self.count}"), joins)

    @rule(number=host, death=deaths, pick=pick)
    def end(self, number: int, death: tuple[str, int] | None, pick: int) -> None:
        boxes = self.boxes(self.at(number))
        if boxes:
            box = boxes[pick % len(boxes)]
            self.do(number, death, lambda host: host.machine.controller.close_sandbox(box))

    @rule(number=host, death=deaths, pick=pick)
    def join_or_leave(self, number: int, death: tuple[str, int] | None, pick: int) -> None:
        host = self.at(number)
        boxes, names = self.boxes(host), self.networks(host)
        if boxes and names:
            box, name = boxes[pick % len(boxes)], names[pick // 8 % len(names)]
            on = {e.network for e in host.machine.controller.world.joined(box)}
            if host.machine.controller.network(name).id in on:
                self.do(number, death, lambda host: host.machine.controller.leave(box, name))
            else:
                request = EndpointRequest()
                self.do(
                    number, death, lambda host: host.machine.controller.join(box, name, request)
                )

    @rule(name=st.sampled_from(["red", "green"]), pool=st.sampled_from(["", "10.9.0.0/28"]))
    def create_everywhere(self, name: str, pool: str) -> None:
        """All at once: one of them has it in the end, or none."""
        pools = (PoolRequest(pool),) if pool else ()
        self.everywhere(
            lambda host: host.machine.controller.create_network(
                NetworkRequest(name, "overlay", pools=pools)
            )
        )

    @rule()
    def run_everywhere(self) -> None:
        """All at once."""

        async def opened(host: Host) -> None:
            for name in self.networks(host):
                with contextlib.suppress(FairleadError):
                    await self.opened(host, [name])

        self.everywhere(opened)

    @rule()
    def end_everywhere(self) -> None:
        """All containers end at once, and the networks are removed by everybody."""

        async def ended(host: Host) -> None:
            for box in self.boxes(host):
                await host.machine.controller.close_sandbox(box)
            for name in self.networks(host):
                with contextlib.suppress(FairleadError):
                    await host.machine.controller.remove_network(name)

        self.everywhere(ended)

    def everywhere(self, work: Callable[[Host], Coroutine[Any, Any, Any]]) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self._do(n, None, work) for n in range(len(self.hosts))))

        self.loop.run_until_complete(all_at_once())

    # What befalls them

    @rule(number=host, how=st.sampled_from(["stop", "kill", "reboot"]), away=st.integers(0, 100))
    def restart(self, number: int, how: str, away: int) -> None:
        async def restarted(host: Host) -> None:
            if how != "stop":
                host.client.cut()
            await host.down()
            await asyncio.sleep(away)
            await host.up(rebooted=how == "reboot")

        self.loop.run_until_complete(restarted(self.at(number)))

    @rule()
    def restart_all(self) -> None:
        async def restarted() -> None:
            for host in self.hosts:
                host.client.cut()
                await host.down()
            await asyncio.gather(*(host.up() for host in self.hosts))

        self.loop.run_until_complete(restarted())

    @rule(number=host, other=host, behind=st.booleans())
    def router(self, number: int, other: int, behind: bool) -> None:
        """From now on one host is behind a router as another sees it, or is not any more."""
        there = ip_address(self.at(other).place)
        remote = self.at(number).machine.kernel.remote
        if behind:
            remote.add(there)
        else:
            remote.discard(there)

    @rule(number=host, on=st.sampled_from([True, True, False]))
    def link(self, number: int, on: bool) -> None:
        self.at(number).reach(on)

    @rule(away=st.sampled_from([True, False, False]))
    def store(self, away: bool) -> None:
        if away:
            self.memory.stop()
        else:
            self.memory.start()

    @rule(slow=st.sampled_from([0.0, 0.0, 0.3, 3.0]))
    def delay(self, slow: float) -> None:
        self.memory.delay_seconds = slow

    @rule(seconds=st.sampled_from([0.01, 1, 25, 70, 400]))
    def wait(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    # What must hold

    def settle(self) -> None:
        self.memory.start()
        self.memory.delay_seconds = 0
        for host in self.hosts:
            host.reach(True)
        self.loop.run_until_complete(asyncio.sleep(SETTLED_SECONDS))
        self.right()

    @rule()
    def all_is_well(self) -> None:
        """The faults end; after a while all is as it should be."""
        self.settle()

    def right(self) -> None:
        for host in self.hosts:
            assert host.task is not None
            assert not host.task.done(), host.task
            host.machine.is_right()
            assert not host.member.trouble
            assert not host.machine.controller.world.errands
        pairs = {entry.key: entry.value for entry in self.memory.below("docker")}
        for host in self.hosts:
            ours = host.machine.controller.world.endpoints
            found = leaks(pairs, KEYS, host.member.own, ours)
            assert not found, (host.name, found)
        self.same_networks(pairs)
        self.same_endpoints(pairs)
        self.nothing_twice(pairs)

    def same_networks(self, pairs: dict[str, bytes]) -> None:
        said = {
            key.rsplit("/", 1)[1]: json.loads(value)
            for key, value in pairs.items()
            if key.startswith(f"{ROOT}/network/")
        }
        names = Counter(record["name"] for record in said.values())
        assert set(names.values()) <= {1}, names
        for host in self.hosts:
            nets = {n.id: n for n in host.machine.controller.world.networks.values() if n.shared}
            assert {id_: n.name for id_, n in nets.items()} == {
                id_: record["name"] for id_, record in said.items()
            }, host.name
            first = self.hosts[0].machine.controller.world.networks
            assert all(
                (first[id_].vnis, first[id_].pools) == (n.vnis, n.pools) for id_, n in nets.items()
            )

    def same_endpoints(self, pairs: dict[str, bytes]) -> None:
        """Each host knows the endpoints of all others as the store has them, and no more."""
        said = {}
        for key, value in pairs.items():
            if key.startswith(f"{ROOT}/endpoint/"):
                record = json.loads(value)
                iface = record["ep_iface"]
                said[record["id"]] = (record["locator"], iface["mac"], iface["addr"])
        for host in self.hosts:
            world = host.machine.controller.world
            others = {id_: what for id_, what in said.items() if what[0] != host.place}
            known = {
                peer.id: (str(peer.host), peer.mac, str(peer.addresses[0]))
                for peer in world.peers.values()
            }
            assert known == others, host.name
            ours = {
                ep.id: (host.place, ep.mac, str(ep.ipv4))
                for ep in world.endpoints.values()
                if world.networks[ep.network].shared
            }
            assert ours == {id_: what for id_, what in said.items() if what[0] == host.place}

    def nothing_twice(self, pairs: dict[str, bytes]) -> None:
        """No address, MAC, VNI or pool has two owners, and what is used is marked as taken."""
        held: Counter[tuple[str, str]] = Counter()
        for host in self.hosts:
            world = host.machine.controller.world
            for ep in world.endpoints.values():
                net = world.networks[ep.network]
                if not net.shared:
                    continue
                held.update((net.id, str(address.ip)) for address in ep.addresses)
                held[net.id, ep.mac] += 1
                for address in ep.addresses:
                    bits = decode(pairs[KEYS.addresses(str(address.network))])
                    assert bits.is_set(ordinal(address.network, address.ip)), address
        assert set(held.values()) <= {1}, held
        nets = [n for n in self.hosts[0].machine.controller.world.networks.values() if n.shared]
        vnis = Counter(vni for net in nets for vni in net.vnis)
        assert set(vnis.values()) <= {1}, vnis
        subnets = [pool.subnet for net in nets for pool in net.pools]
        for subnet in subnets:
            others = [s for s in subnets if s is not subnet and s.version == subnet.version]
            assert not any(subnet.overlaps(other) for other in others)

    def teardown(self) -> None:
        if not hasattr(self, "hosts"):
            return
        try:
            self.settle()
        finally:
            for host in self.hosts:
                if host.task is not None:
                    self.loop.run_until_complete(host.down())
            self.loop.close()
            self.folder.cleanup()


Cluster.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCluster = Cluster.TestCase
