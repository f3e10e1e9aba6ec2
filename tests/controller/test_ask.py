"""Networks in which somebody else has a say: whatever goes wrong on the way, nothing is left.

The village is somebody else: it makes networks and links, gives out pools and addresses, and
remembers what it has given. At any question it may say no, do as it was asked without its
answer arriving, or be the last thing that the process saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, ip_interface, ip_network
from pathlib import Path

import pytest

from fairlead.controller import courier
from fairlead.controller.ask import NOBODY, Say
from fairlead.model.endpoint import Endpoint, EndpointRequest, PortRequest
from fairlead.model.errors import Conflict, Failed, FairleadError, Forbidden, Unavailable
from fairlead.model.facts import HostLink
from fairlead.model.network import Network, NetworkRequest, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, IPInterface, Lent
from tests.controller.bench import Crash, Machine

MODES = ("no", "lost", "crash")
WEB = PortRequest("tcp", 80, host_port=8080)
RED = NetworkRequest("red", driver="village", ipam_driver="village")


@dataclass
class Village:
    """Somebody else. `fails` is the number of the question at which it goes wrong, and how."""

    machine: Machine
    fails: tuple[int, str] = (-1, "")
    asked: int = 0
    dead: bool = False
    nets: set[str] = field(default_factory=set)
    ends: set[str] = field(default_factory=set)
    pools_given: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    pause: asyncio.Event | None = None

    # Outside

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Its networks are those with its name."""
        return net.driver == "village"

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """It does it all."""
        return Say(self, (self,), remote=True) if self.foreign(net) else NOBODY

    async def let_go(self, net: Network) -> None:
        """It keeps none of them to itself."""

    async def names(self) -> Collection[str]:
        """Its own."""
        return ("village",)

    async def _question(self, does: Callable[[], None], kind: str = "make") -> None:
        """Of what is `given` only the answer tells what it was; at an `end` a no is a complaint."""
        if self.pause is not None:
            await self.pause.wait()
        await asyncio.sleep(0)
        if self.dead:
            raise Crash
        number, how = self.fails
        self.asked += 1
        if self.asked - 1 != number:
            does()
            return
        if (how != "no" and kind != "given") or kind == "end":
            does()
        if how == "no":
            raise Failed("the village says no")
        if how == "lost":
            raise Unavailable("the village does not answer")
        self.dead = self.machine.store.dead = self.machine.dataplane.dead = True
        raise Crash

    # Ledger

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """One."""
        await self._question(lambda: self.pools_given.add(net.id), "given")
        return (Pool(ip_network("10.5.0.0/24"), IPv4Address("10.5.0.1"), id=net.id),)

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """It may be told twice."""
        await self._question(lambda: self.pools_given.discard(pool.id), "end")

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """The first that is free."""
        free = (f"10.5.0.{n}" for n in range(2, 250) if f"10.5.0.{n}" not in self.given)
        address = request.ipv4 or next(free)
        await self._question(lambda: self.given.add(address), "given")
        return (ip_interface(f"{address}/24"),)

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """It may be told twice."""
        await self._question(lambda: self.given.discard(str(address.ip)), "end")

    # Party

    async def create(self, net: Network) -> Network:
        """As it was asked for."""
        await self._question(lambda: self.nets.add(net.id))
        return net

    async def delete(self, net: Network) -> None:
        """It may be told of what never was."""
        await self._question(lambda: self.nets.discard(net.id), "end")

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """With a link on the host."""
        name = f"v{ep.id[:8]}"

        def make() -> None:
            self.ends.add(ep.id)
            self.machine.kernel.links[name] = HostLink(name, "02:00:00:00:00:01")

        await self._question(make)
        return replace(ep, source=name, prefix="eth", gateways=(IPv4Address("10.5.0.1"),))

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """The link goes, wherever it is."""

        def end() -> None:
            self.ends.discard(ep.id)
            self.machine.kernel.links.pop(f"v{ep.id[:8]}", None)

        await self._question(end, "end")

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """It remembers."""

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """It would have nothing to do."""
        await self._question(lambda: None)

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """It would have nothing to do."""
        await self._question(lambda: None)

    @property
    def remembers(self) -> list[set[str]]:
        """What it still holds for us."""
        return [self.nets, self.ends, self.pools_given, self.given]


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """A host beside a village; what is owed to that is told without long pauses."""
    monkeypatch.setattr(courier, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(courier, "LONGEST_SECONDS", 0.01)
    found = Machine(tmp_path)
    found.outside = Village(found)
    await found.boot()
    yield found
    await found.halt()


def village(machine: Machine) -> Village:
    """The one beside a machine."""
    assert isinstance(machine.outside, Village)
    return machine.outside


async def _story(machine: Machine) -> None:
    """A network, two sandboxes on it, one that comes later, and the end of it all."""
    one, two = machine.box("one"), machine.box("two")
    await machine.controller.create_network(RED)
    await machine.controller.create_network(NetworkRequest("blue"))
    joins = [("red", EndpointRequest()), ("blue", EndpointRequest())]
    await machine.controller.open_sandbox(one, joins, [WEB])
    await machine.controller.open_sandbox(two)
    await machine.controller.join(two.id, "red", EndpointRequest())
    await machine.controller.leave(one.id, "red")
    await machine.controller.close_sandbox(one.id)
    await machine.controller.close_sandbox(two.id)
    await machine.controller.remove_network("red")


async def _tell(machine: Machine, fails: tuple[int, str]) -> int:
    """A story in which one question goes wrong; how many there were."""
    there = village(machine)
    there.fails, there.asked = fails, 0

    async def told() -> None:
        try:
            await _story(machine)
        except FairleadError:
            # Its user is told, and ends it.
            return

    await machine.survive(told())
    asked, there.fails, there.dead = there.asked, (-1, ""), False
    return asked


async def test_a_story_in_which_all_goes_well(machine: Machine) -> None:
    """Nothing is left of it, there or here."""
    assert await _tell(machine, (-1, "")) > 12
    await machine.end_all()
    assert not any(village(machine).remembers)
    machine.is_right()


@pytest.mark.parametrize("how", MODES)
async def test_whatever_question_goes_wrong(machine: Machine, how: str) -> None:
    """The village ends up with nothing of ours, and the host as it was."""
    number = 0
    while True:
        asked = await _tell(machine, (number, how))
        machine.is_right()
        await machine.end_all()
        assert not any(village(machine).remembers), f"question {number}"
        assert not machine.kernel.links
        machine.is_right()
        if number >= asked:
            return
        number += 1


async def test_links_are_lent_and_named(machine: Machine) -> None:
    """The interface has the prefix that was asked for, and the way out leads through it."""
    await machine.controller.create_network(RED)
    box = machine.box("one")
    await machine.controller.open_sandbox(box, [("red", EndpointRequest())])
    (lent,) = [r for r in machine.kernel.state.values() if isinstance(r, Lent)]
    assert (lent.inside, lent.mac) == ("eth0", "02:00:00:00:00:01")
    assert ("route", box.id[:12], "0.0.0.0/0") in machine.kernel.state
    machine.is_right()
    await machine.controller.close_sandbox(box.id)
    assert ("link", HOST, lent.name) not in machine.kernel.state


async def _soon(what: Awaitable[object]) -> None:
    """Waits for something that must not wait for the village."""
    async with asyncio.timeout(60):
        await what


async def test_others_do_not_wait(machine: Machine) -> None:
    """While the village thinks, local networks come and go, and what it was promised stays so."""
    controller, there = machine.controller, village(machine)
    await controller.create_network(RED)
    there.pause = asyncio.Event()
    box = machine.box("slow")
    creating = asyncio.create_task(controller.create_network(replace(RED, name="green")))
    joining = asyncio.create_task(controller.open_sandbox(box, [("red", EndpointRequest())]))
    await asyncio.sleep(0.01)
    await _soon(controller.create_network(NetworkRequest("blue")))
    quick = machine.box("quick")
    await _soon(controller.open_sandbox(quick, [("blue", EndpointRequest())], [WEB]))
    await _soon(controller.close_sandbox(quick.id))
    with pytest.raises(Conflict, match="already exists"):
        await controller.create_network(NetworkRequest("green"))
    with pytest.raises(Forbidden, match="active endpoints"):
        await controller.remove_network("red")
    with pytest.raises(Conflict, match="exists"):
        await controller.open_sandbox(box)
    assert not creating.done()
    assert not joining.done()
    there.pause.set()
    await creating
    await joining
    machine.is_right()


async def test_a_sandbox_that_ends_meanwhile(machine: Machine) -> None:
    """The join fails, and what the village made for it is taken back."""
    controller, there = machine.controller, village(machine)
    await controller.create_network(RED)
    box = machine.box("one")
    await controller.open_sandbox(box)
    there.pause = asyncio.Event()
    joining = asyncio.create_task(controller.join(box.id, "red", EndpointRequest()))
    await asyncio.sleep(0.01)
    await controller.close_sandbox(box.id)
    there.pause.set()
    with pytest.raises(FairleadError, match="not found"):
        await joining
    await machine.end_all()
    assert not any(there.remembers)
    machine.is_right()


async def test_an_address_of_choice_that_somebody_has(machine: Machine) -> None:
    """Even if the village gives it a second time."""
    await machine.controller.create_network(RED)
    ask = [("red", EndpointRequest(ipv4="10.5.0.9"))]
    await machine.controller.open_sandbox(machine.box("one"), ask)
    with pytest.raises(Failed, match="which endpoint"):
        await machine.controller.open_sandbox(machine.box("two"), ask)
    machine.is_right()


async def test_a_daemon_that_stops_does_not_wait(machine: Machine) -> None:
    """What was asked for then is taken back after the next start."""
    there = village(machine)
    await machine.controller.create_network(RED)
    there.pause = asyncio.Event()
    box = machine.box("one")
    joins = [("red", EndpointRequest())]
    joining = asyncio.create_task(machine.controller.open_sandbox(box, joins))
    await asyncio.sleep(0.01)
    await _soon(machine.halt())
    with pytest.raises(Unavailable, match="stopping"):
        await joining
    there.pause = None
    await machine.boot()
    machine.is_right()
    await machine.end_all()
    assert not any(there.remembers)
