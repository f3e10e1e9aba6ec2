"""A cluster of many hosts in one process: how long until all know, and what it costs each.

Real are a host's member of the cluster (its lease, its watch, its view, what it makes of its
world) and the store. Not there: kernels, databases and resolvers of the hosts; `growth` measures
those of one. All hosts share one CPU, so a time until all know is that of all of them together;
the CPU of a host for an event is that time of the process, shared out.

`python -m bench.scale URL HOSTS` runs in the namespace of a store, asks for its restart by the
word `restart` and waits for a line; without a URL the store is in memory.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

from tests.lab import Machine
from tests.lab.machine import CHECKOUT
from tests.lab.stores import etcd

from bench.figures import Figure
from bench.subjects import Subject
from fairlead.cluster.endpoint import encode_endpoint
from fairlead.cluster.keys import Keys
from fairlead.cluster.network import encode_network
from fairlead.cluster.node import Node
from fairlead.cluster.overlay import encode_overlay, overlay_of
from fairlead.cluster.pools import PoolId
from fairlead.controller.shared.allocate import request_address, request_pool
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.register import put_endpoint
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.network import Network, Pool, Scope
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.world import Change, World
from fairlead.store.etcd3 import Etcd3Store
from fairlead.store.memory import Memory
from fairlead.store.opening import open_store
from fairlead.store.shared import ABSENT, AtOnce, Entry, Event, SharedStore, Snapshot

HOSTS = (10, 30, 100)
ENDPOINTS, NETWORKS = 50, 10
PATIENCE_SECONDS = 1800.0
AT_ONCE = 5
"""Hosts that start at the same time."""
IDLE_SECONDS = 40.0
"""Twice what passes between two looks of a host at what is its own."""
UNITS = {
    "first: all know all": "s",
    "  CPU of each host first": "ms",
    "idling: CPU of a host": "ms/s",
    "a join: all know it": "ms",
    "  CPU of a host": "ms",
    "  requests to the store": "",
    "  kB to all hosts": "",
    "a host's death: all know it": "s",
    "  CPU of each other host": "ms",
    "the store's restart: all know all": "s",
    "  CPU of each host": "ms",
    "  kB to each host": "",
}


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Ten hosts, thirty, a hundred; with etcd and with a store in memory."""
    del subjects
    figures = []
    for hosts in HOSTS if rounds > 1 else HOSTS[:1]:
        found = {
            name: Figure(f"{hosts} hosts: {name.strip()}", unit) for name, unit in UNITS.items()
        }
        for store in ("etcd", "memory"):
            for name, samples in _elsewhere(store, hosts).items():
                found[name].samples[store] = samples
        figures += [*found.values()]
    return figures


def _elsewhere(store: str, hosts: int) -> dict[str, list[float]]:
    with Machine("store") as machine, etcd(machine) as server:
        command = [sys.executable, "-m", "bench.scale", server.url if store == "etcd" else ""]
        process = machine.popen(
            [*command, str(hosts)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(CHECKOUT)},
        )
        with process:
            assert process.stdout is not None
            assert process.stdin is not None
            said = process.stdout.readline()
            if said == "restart\n":
                server.kill()
                time.sleep(1)
                server.start()
                process.stdin.write("done\n")
                process.stdin.flush()
            rest, wrong = process.communicate()
            said = rest if said == "restart\n" else said
            if process.wait() != 0:
                raise RuntimeError(f"the simulation of {hosts} hosts broke off: {said}{wrong}")
    found: dict[str, list[float]] = json.loads(said)
    return found


class Counted:
    """A store that counts what it is asked, and what it says of its own accord."""

    def __init__(self, store: SharedStore) -> None:
        self.name = store.name
        self.requests = 0
        self._told_bytes = 0
        self._store = store

    @property
    def told_bytes(self) -> int:
        """What came from the store: on the wire, where there is one."""
        if isinstance(self._store, Etcd3Store):
            return self._store.received_bytes
        return self._told_bytes

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one request."""
        return None if self._store.at_once is None else self._put_all

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        assert self._store.at_once is not None
        self.requests += 1
        await self._store.at_once(entries)

    async def get(self, key: str) -> Entry | None:
        """What a key holds."""
        self.requests += 1
        return await self._store.get(key)

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """What is below a prefix."""
        self.requests += 1
        return await self._store.entries(prefix)

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Writes."""
        self.requests += 1
        return await self._store.put(key, value, version)

    async def delete(self, key: str, version: int) -> None:
        """Removes."""
        self.requests += 1
        await self._store.delete(key, version)

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """Events, whose bytes are counted."""
        async for event in self._store.watch(prefix):
            entries = event.entries if isinstance(event, Snapshot) else (event,)
            self._told_bytes += sum(
                len(e.key) + (len(e.value) if isinstance(e, Entry) else 0) for e in entries
            )
            yield event

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """Keeps a key."""
        return self._store.lease(key, value, ttl_seconds)

    async def close(self) -> None:
        """Lets go."""
        await self._store.close()


class Host:
    """A host of which only its place in the cluster is there."""

    def __init__(self, number: int, store: SharedStore, heard: Callable[[], None]) -> None:
        self.address = IPv4Address("192.0.2.0") + number
        self.store = Counted(store)
        self.place = Place(self.store)
        self.world = World()
        self.promised: tuple[str, ...] = ()
        self.unsealed = False
        self.warnings: list[str] = []
        self.member = Member(self.place, Membership(Node(self.address, 2376)), self)
        self._heard = heard
        self.task: asyncio.Task[None] | None = None

    async def learn(self, make: Callable[[World], Change]) -> None:
        """What others made of the world."""
        self.world = self.world.after(make(self.world))
        self._heard()

    async def open_sandbox(
        self, request: SandboxRequest, joins: Sequence[tuple[str, EndpointRequest]] = ()
    ) -> Sandbox:
        """No network here gives hosts access."""
        raise NotImplementedError

    async def close_sandbox(self, sandbox: str) -> None:
        """Nor is there anything to close."""
        raise NotImplementedError

    async def leave(self, sandbox: str, network: str) -> None:
        """Nobody here has to."""
        raise AssertionError(f"{sandbox} has to leave {network}")

    async def occupied(self) -> tuple[()]:
        """Nothing."""
        return ()

    def warn(self, text: str) -> None:
        """Kept."""
        self.warnings.append(text)

    def begin(self) -> None:
        """Becomes a member."""
        self.task = asyncio.create_task(self.member.run())

    async def end(self) -> None:
        """Is no member any more: its lease ends."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})
            self.task = None


class Town:
    """All the hosts, and what each has of endpoints."""

    def __init__(self, hosts: int, open_one: Callable[[], SharedStore]) -> None:
        self._random = random.Random(1)
        self._waiting: tuple[asyncio.Event, Callable[[], bool]] | None = None
        self.heard_cpu = 0.0
        """The CPU of the process when the first host had made something of an event."""
        self.hosts = [Host(number, open_one(), self._look) for number in range(1, hosts + 1)]
        self.networks = [self._network(number) for number in range(NETWORKS)]
        self.expected = hosts * ENDPOINTS

    async def fill(self) -> None:
        """Writes networks and endpoints, as hosts would have."""
        place, keys = self.hosts[0].place, Keys()
        pairs: list[tuple[str, bytes]] = []
        for net in self.networks:
            await request_pool(place, net.pools[0].subnet)
            pairs.append((keys.network(net.id), encode_network(net)))
            pairs.append((keys.overlay(net.id), encode_overlay(overlay_of(net))))
            pairs.append((keys.count(net.id), b'{"Count":0}'))
        for number in range(self.expected):
            host, net = self.hosts[number % len(self.hosts)], self.networks[number % NETWORKS]
            box, ep = self.endpoint(
                host, net, IPv4Address(int(net.pools[0].subnet[10000 + number]))
            )
            pairs.append(
                (keys.endpoint(net.id, ep.id), encode_endpoint(net, ep, box, host.address))
            )
        for first in range(0, len(pairs), 50):
            await asyncio.gather(
                *(place.store.put(key, value, ABSENT) for key, value in pairs[first : first + 50])
            )

    def endpoint(self, host: Host, net: Network, address: IPv4Address) -> tuple[Sandbox, Endpoint]:
        """A container on a host, which that knows of already."""
        id_, box_id = self._hex(64), self._hex(64)
        box = Sandbox(box_id, self._hex(64), f"box-{id_[:8]}", id_[:12])
        size = net.pools[0].subnet.prefixlen
        ep = Endpoint(
            id_, net.id, box_id, f"veth{id_[:7]}", "eth0",
            ":".join(["02", "42", *(id_[n : n + 2] for n in range(0, 8, 2))]),
            (ip_interface(f"{address}/{size}"),), (),
        )  # fmt: skip
        had = () if net.id in host.world.networks else (net,)
        host.world = host.world.after(Change(put=(*had, box, ep)))
        return box, ep

    async def until(self, what: Callable[[], bool], tick_seconds: float = 0.05) -> float:
        """How many seconds it takes until something is so."""
        begun, event = time.perf_counter(), asyncio.Event()
        self._waiting = (event, what)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not what():
                try:
                    async with asyncio.timeout(tick_seconds):
                        await event.wait()
                except TimeoutError:
                    continue
        self._waiting = None
        return time.perf_counter() - begun

    def whole(self) -> bool:
        """Whether all know all."""
        return all(
            host.task is None
            or (host.member.ready.is_set() and not host.member.trouble
                and len(host.world.peers) + len(host.world.endpoints) == self.expected)
            for host in self.hosts
        )  # fmt: skip

    def _look(self) -> None:
        self.heard_cpu = self.heard_cpu or time.process_time()
        if self._waiting is not None and self._waiting[1]():
            self._waiting[0].set()

    def _network(self, number: int) -> Network:
        subnet = ip_network(f"10.{number}.0.0/16")
        pool = Pool(subnet, ip_address(f"10.{number}.0.1"))
        return Network(
            self._hex(64), f"net-{number}", "overlay", 1, (pool,),
            scope=Scope.GLOBAL, vnis=(256 + number,),
        )  # fmt: skip

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"


async def _simulate(url: str, hosts: int) -> dict[str, list[float]]:
    memory = Memory()
    town = Town(hosts, (lambda: open_store(url, {})) if url else memory.client)
    await town.fill()
    found: dict[str, list[float]] = {name: [] for name in UNITS}
    cpu = time.process_time()
    begun = time.perf_counter()
    # In one process all of them would be deaf for minutes, and hold the store for dead.
    for first in range(0, hosts, AT_ONCE):
        some = town.hosts[first : first + AT_ONCE]
        for host in some:
            host.begin()
        await asyncio.gather(*(host.member.ready.wait() for host in some))
    await town.until(town.whole)
    found["first: all know all"].append(time.perf_counter() - begun)
    found["  CPU of each host first"].append(_share(cpu, hosts))
    idle = await _idle(town, found)
    for _ in range(5):
        await _join(town, found, idle)
    await _death(town, found)
    await _restart(town, found, memory, real=bool(url))
    for host in town.hosts:
        await host.end()
        await host.store.close()
    return found


async def _idle(town: Town, found: dict[str, list[float]]) -> float:
    """The CPU that all together need while nothing happens, as a share of the time."""
    await asyncio.sleep(5)
    cpu = time.process_time()
    await asyncio.sleep(IDLE_SECONDS)
    share = (time.process_time() - cpu) / IDLE_SECONDS
    found["idling: CPU of a host"].append(share * 1000 / len(town.hosts))
    return share


async def _join(town: Town, found: dict[str, list[float]], idle: float) -> None:
    await asyncio.sleep(1)
    host, net = town.hosts[0], town.networks[0]
    cpu, asked, told = time.process_time(), _asked(town), _told(town)
    begun = time.perf_counter()
    address = await request_address(
        host.place, PoolId(net.pools[0].subnet), after=net.pools[0].gateway
    )
    assert isinstance(address, IPv4Address)
    box, ep = town.endpoint(host, net, address)
    await put_endpoint(host.place, net, ep, box, host.address)
    town.expected += 1
    await town.until(town.whole)
    found["a join: all know it"].append((time.perf_counter() - begun) * 1000)
    # What is done about it when it is known, such as tidying, counts as well.
    await asyncio.sleep(1)
    cpu += idle * (time.perf_counter() - begun)
    found["  CPU of a host"].append(_share(cpu, len(town.hosts)))
    found["  requests to the store"].append(_asked(town) - asked)
    found["  kB to all hosts"].append((_told(town) - told) / 1000)


async def _death(town: Town, found: dict[str, list[float]]) -> None:
    dead = town.hosts[-1]
    town.expected -= len(dead.world.endpoints)
    town.heard_cpu, begun = 0.0, time.perf_counter()
    await dead.end()
    await town.until(town.whole, tick_seconds=1)
    found["a host's death: all know it"].append(time.perf_counter() - begun)
    # Its lease runs for a minute, in which much else is done: this is what comes of it.
    found["  CPU of each other host"].append(_share(town.heard_cpu, len(town.hosts) - 1))


async def _restart(
    town: Town, found: dict[str, list[float]], memory: Memory, *, real: bool
) -> None:
    told, alive = _told(town), [host for host in town.hosts if host.task is not None]
    if real:
        print("restart", flush=True)
        await town.until(lambda: all(host.member.trouble for host in alive))
        cpu = time.process_time()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    else:
        memory.stop()
        await town.until(lambda: all(host.member.trouble for host in alive))
        cpu = time.process_time()
        memory.start()
    found["the store's restart: all know all"].append(await town.until(town.whole))
    await asyncio.sleep(2)
    found["  CPU of each host"].append(_share(cpu, len(alive)))
    found["  kB to each host"].append((_told(town) - told) / 1000 / len(alive))


def _share(since: float, hosts: int) -> float:
    """The CPU that was used since a point of it, of one host, in ms."""
    return (time.process_time() - since) * 1000 / hosts


def _asked(town: Town) -> int:
    return sum(host.store.requests for host in town.hosts)


def _told(town: Town) -> int:
    return sum(host.store.told_bytes for host in town.hosts)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_simulate(sys.argv[1], int(sys.argv[2])))))
