"""Hosts of a cluster on fake kernels and one store in memory: what one does, all see.

::

    host a 192.0.2.11 ─┐
    host b 192.0.2.12 ─┼─ the store
    host c 192.0.2.13 ─┘
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from fairlead.cluster.node import Node
from fairlead.controller.ask import Alone, Outside
from fairlead.controller.shared.history import History
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.seal import USUAL, Pace
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.network import span
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Neighbour
from fairlead.model.tunnel import Fdb
from fairlead.store.memory import Memory
from fairlead.store.trail import Trail
from tests.controller.bench import Machine

TTL = 0.6


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
