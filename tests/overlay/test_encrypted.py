"""Encrypted overlays of two hosts, on a kernel that has IPsec: what is on the wire, and arrives.

::

    a: secret, open ── host 1 ═══ wire ═══ host 2 ── b: secret, open

Each host has a controller of its own on a real kernel, in a namespace of its own; the store
is in this process. Networks, namespaces, tunnels and SAs are all made by the controllers.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fairlead.cluster.node import Node
from fairlead.controller import want
from fairlead.controller.ask import Alone
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.seals import Seals
from fairlead.controller.shared.member import Member
from fairlead.controller.shared.membership import Membership
from fairlead.controller.shared.place import Place as Shared
from fairlead.controller.shared.seal import Pace
from fairlead.controller.start import Settings
from fairlead.firewall.backends import firewall
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.netns import CLONE_NEWNET, _call
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.marks import Marks
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.tunnel import PORT as PLAIN_PORT
from fairlead.model.tunnel import SEALED_PORT
from fairlead.model.xfrm import XfrmPolicy, XfrmState
from fairlead.store.memory import Memory
from tests.controller.bench import DyingStore, Machine
from tests.security.frames import UDP, Seen
from tests.security.place import Place
from tests.security.wire import Wire

pytestmark = [pytest.mark.vm("qemu"), pytest.mark.root]

T = TypeVar("T")
ESP = 50
PORT = 7000
BEHIND_SECONDS = 2
PATIENCE_SECONDS = 60.0
"""The processor is emulated, and its host has others to serve."""
QUICK = Pace(tick_seconds=0.5, by_hand_seconds=0, pause_seconds=0.2)
TTL_SECONDS = 300.0
NETWORKS = {"secret": "10.77.0", "open": "10.77.1"}


class Host(Machine):
    """A host on a real kernel."""

    def __init__(self, number: int, folder: Path, memory: Memory) -> None:
        folder.mkdir()
        super().__init__(folder, Settings(bridge="none"), "nftables", seed=str(number))
        self.number = number
        self.space = f"/run/netns/h{number}"
        self.underlay = ip_address(f"192.0.2.{number}")
        self.pins = folder / "netns"
        self.marks = Marks(f"{number}0ffee00", "TEST")
        self.walls = firewall("nftables", self.marks)
        self.linux: LinuxKernel
        self.member: Member
        self._memory = memory
        self._task: asyncio.Task[None] | None = None

    def _enter(self) -> LinuxKernel:
        with open(self.space) as space:
            _call("setns", space.fileno(), CLONE_NEWNET)
        return LinuxKernel(self.pins, self.marks)

    async def up(self) -> None:
        """The daemon starts, and is a member."""
        self.store = DyingStore(self.path)
        host = want.Host(underlay=self.underlay, firewall=False, forwarding=False)
        committer = Committer(self.store, FakeKernel(), self.dataplane, self.walls, host)  # type: ignore[arg-type]
        # Only the kernel thread is where the host is.
        committer.kernel = self.linux = await committer.on_thread(self._enter)
        committer.seals = Seals(self.linux, host)
        self.controller = Controller(
            committer, self.settings, self.pins, self.resolv_conf, self.draw
        )
        await self.controller.start()
        assert self.underlay is not None
        who = Membership(Node(self.underlay, 2376), TTL_SECONDS / 3, TTL_SECONDS, None, QUICK)
        self.member = Member(Shared(self._memory.client(self.space)), who, self.controller)
        self.controller.outside = self.member.says(Alone())
        self.controller.committed.append(self.member.heed)
        self._task = asyncio.create_task(self.member.run())

    async def down(self) -> None:
        """The daemon ends."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self.controller.close()
            self.linux.close()
            self.store.close()

    async def kernel_thread(self, work: Callable[[], T]) -> T:
        """Does something where its kernel is spoken to."""
        return await self.controller._committer.on_thread(work)

    async def seals(self) -> set[XfrmState]:
        """The SAs of its kernel."""
        found = await self.kernel_thread(self.linux.associations)
        return {item for item in found.values() if isinstance(item, XfrmState)}

    async def sends_by(self) -> set[int]:
        """The SPIs of what it sends."""
        found = await self.kernel_thread(self.linux.associations)
        return {item.spi for item in found.values() if isinstance(item, XfrmPolicy)}

    async def damage(self, *words: str) -> None:
        """Somebody runs a program on the host."""
        command = ["ip", "netns", "exec", f"h{self.number}", *words]
        await asyncio.to_thread(subprocess.run, command, check=True)


class Pair:
    """Two hosts, a container on each, and an ear on the wire between them."""

    def __init__(self, folder: Path) -> None:
        lines = ["netns add h1", "netns add h2"]
        lines.append("-n h1 link add wire type veth peer name wire netns h2")
        for number in (1, 2):
            lines.append(f"-n h{number} link set lo up")
            lines.append(f"-n h{number} addr add 192.0.2.{number}/24 dev wire")
            lines.append(f"-n h{number} link set wire up")
        for line in lines:
            subprocess.run(["ip", *line.split()], check=True)
        self.memory = Memory()
        self.hosts = tuple(Host(n, folder / f"h{n}", self.memory) for n in (1, 2))
        self.wire = Wire(Place("h1", Path("/run/netns/h1")), "wire", outgoing=True)
        self.loop = asyncio.Runner()
        self.boxes: tuple[Place, ...] = ()
        self._marks = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Does something while the hosts go on."""
        return self.loop.run(work)

    async def begin(self) -> None:
        """The networks, and who is on them."""
        for host in self.hosts:
            await host.up()
        one = self.hosts[0].controller
        for name, subnet in NETWORKS.items():
            options = {"encrypted": ""} if name == "secret" else {}
            request = NetworkRequest(name, "overlay", options=options, internal=True)
            await one.create_network(replace(request, pools=(PoolRequest(f"{subnet}.0/24"),)))
        await eventually(
            lambda: all(h.controller.world.called(name) for h in self.hosts for name in NETWORKS)
        )
        places = []
        for host in self.hosts:
            joins = [
                (name, EndpointRequest(ipv4=f"{net}.{100 + host.number}"))
                for name, net in NETWORKS.items()
            ]
            box = await host.controller.open_sandbox(host.box(f"box{host.number}"), joins)
            places.append(Place(box.id, host.controller.netns_path(box.id)))
        self.boxes = tuple(places)
        await eventually(lambda: all(len(h.controller.world.peers) == 2 for h in self.hosts))

    async def end(self) -> None:
        for host in self.hosts:
            await host.down()

    async def passes(self, sender: int) -> bool:
        """Whether a datagram of box 1's or 2's gets through the encrypted network.

        What gets through the open network behind it shows that it had its chance.
        """
        self._marks += 1
        mark = struct.pack("!I", self._marks)
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            there, behind, sealed, plainly = (
                stack.enter_context(closing(self._socket(number, name)))
                for number in (3 - sender, sender)
                for name in NETWORKS
            )
            await loop.sock_sendto(sealed, mark, _place("secret", 3 - sender))
            await loop.sock_sendto(plainly, mark, _place("open", 3 - sender))
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await loop.sock_recv(behind, 100) == mark
            try:
                # Deciphered by the kernel when it has time for it: it may come a little later.
                async with asyncio.timeout(BEHIND_SECONDS):
                    return await loop.sock_recv(there, 100) == mark
            except TimeoutError:
                return False

    def _socket(self, number: int, network: str) -> socket.socket:
        sock = self.boxes[number - 1].socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(_place(network, number))
        return sock

    async def reach(self) -> bool:
        """Whether each hears the other."""
        return await self.passes(1) and await self.passes(2)

    def heard(self) -> list[Seen]:
        """What was on the wire since the last time."""
        self.wire.listen()
        found, self.wire.heard = self.wire.heard, []
        return found

    def in_the_clear(self) -> set[int]:
        """The VNIs of what anybody could read on the wire since the last time."""
        return {_vni(seen) for seen in self.heard()} - {0}

    def vni(self, network: str) -> int:
        (found,) = self.hosts[0].controller.network(network).vnis
        return found


def _place(network: str, number: int) -> tuple[str, int]:
    return f"{NETWORKS[network]}.{100 + number}", PORT


def _vni(seen: Seen) -> int:
    if seen.protocol != UDP or seen.ports[1] not in (PLAIN_PORT, SEALED_PORT):
        return 0
    return int(struct.unpack_from("!I", seen.payload, 4)[0]) >> 8


async def eventually(what: Callable[[], object]) -> None:
    """Waits until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not what():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


async def arrives(what: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Waits until something that takes its time is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await what():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two hosts: making them takes longer than any test."""
    found = Pair(tmp_path_factory.mktemp("hosts"))
    found.run(found.begin())
    yield found
    found.run(found.end())
    found.loop.close()


def test_only_esp_of_it_is_on_the_wire(pair: Pair) -> None:
    """Both ways, and from the first packet on; the other network is as ever."""
    pair.run(arrives(pair.reach))
    heard = pair.heard()
    assert any(seen.protocol == ESP for seen in heard)
    assert {_vni(seen) for seen in heard} - {0} == {pair.vni("open")}
    one, two = (pair.run(host.seals()) for host in pair.hosts)
    assert len(one) == len(two) == 5
    assert len({item.secret for item in one | two}) == 6


def test_new_keys_lose_nothing(pair: Pair) -> None:
    """Packets go to and fro while the keyring is turned, and turned again."""

    async def turning() -> None:
        for host in (*pair.hosts, *pair.hosts):
            before = await host.sends_by()
            turned = asyncio.create_task(host.member.seal.turn())
            while not turned.done():
                assert await pair.reach()
            generation = (await turned).generation
            for other in pair.hosts:
                ring = other.controller.world
                while ring.ring is None or ring.ring.generation != generation:
                    assert await pair.reach()
                    ring = other.controller.world
            assert await pair.reach()
            assert await host.sends_by() != before

    pair.run(turning())
    assert pair.in_the_clear() == {pair.vni("open")}


def test_a_restart_keeps_them(pair: Pair) -> None:
    """Also while the store is away: packets go by the same SAs, and are counted on."""

    async def restarting() -> None:
        one = pair.hosts[0]
        before = await one.seals()
        await one.down()
        assert await pair.reach()
        pair.memory.stop()
        await one.up()
        assert await one.seals() == before
        assert await pair.reach()
        pair.memory.start()
        await eventually(one.member.ready.is_set)
        assert await one.seals() == before
        assert await pair.reach()

    pair.run(restarting())


def test_who_lost_them_is_born_again(pair: Pair) -> None:
    """Nothing is in the clear meanwhile, and no key is used again."""

    async def losing() -> None:
        one = pair.hosts[0]
        before = await one.seals()
        await one.damage("ip", "xfrm", "state", "flush")
        assert not await pair.passes(1)
        await one.controller.healer.audit()
        await arrives(pair.reach)
        secrets = {item.secret for item in await one.seals()}
        assert not secrets & {item.secret for item in before}

    pair.heard()
    pair.run(losing())
    assert pair.in_the_clear() == {pair.vni("open")}
