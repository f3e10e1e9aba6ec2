"""Endpoints with leases: whatever goes wrong on the way, nothing is left; another address is all new.

The landlord lets addresses as a DHCP server would, without one. At any question it may say no,
not be there, or be the last thing that the process saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from fairlead.controller import courier, leased
from fairlead.controller.ask import NOBODY, Say
from fairlead.controller.leases import exchange
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.errors import Failed, FairleadError, Unavailable
from fairlead.model.lease import Lease
from fairlead.model.network import Network, NetworkRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST
from tests.controller.bench import Crash, Machine

LAN = NetworkRequest("lan", "macvlan", options={"parent": "eth0"}, ipam_driver="dhcp")
MODES = ("no", "lost", "crash")


def lease(address: str) -> Lease:
    """One of a day."""
    server, router = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.254")
    times = (exchange.now(), 86400, 43200, 75600)
    return Lease(IPv4Interface(f"{address}/24"), server, *times, router, (server,))


@dataclass
class Landlord:
    """Lets addresses. `fails` is the number of the question at which it goes wrong, and how."""

    machine: Machine
    fails: tuple[int, str] = (-1, "")
    asked: int = 0
    let_to: dict[str, str] = field(default_factory=dict)
    next: str = ""

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Those that are leased."""
        return leased.is_leased(net)

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """It lets them."""
        return Say(lessor=self) if self.foreign(net) else NOBODY

    async def let_go(self, net: Network) -> None:
        """It keeps none of them to itself."""

    async def names(self) -> Collection[str]:
        """None."""
        return ()

    async def _question(self, does: Callable[[], object], ends: bool = False) -> None:
        await asyncio.sleep(0)
        number, how = self.fails
        self.asked += 1
        if self.asked - 1 != number:
            does()
            return
        if how == "crash":
            # Whoever dies just after an answer is known to the server until the lease ends.
            if ends:
                does()
            self.machine.store.dead = self.machine.dataplane.dead = True
            raise Crash
        raise Failed("it says no") if how == "no" and not ends else Unavailable("nobody is there")

    async def let(
        self, net: Network, box: Sandbox, ep: Endpoint, request: EndpointRequest
    ) -> Endpoint:
        """The first that is free, or the one that it is told to give."""
        free = (f"192.0.2.{n}" for n in range(100, 250) if f"192.0.2.{n}" not in self.let_to)
        address = self.next or next(free)
        await self._question(lambda: self.let_to.setdefault(address, ep.id))
        found = lease(address)
        return replace(ep, addresses=(found.address,), lease=found)

    async def give_back(self, net: Network, ep: Endpoint) -> None:
        """It may be told twice."""
        assert ep.lease is not None
        address = str(ep.lease.address.ip)
        if self.let_to.get(address) == ep.id:
            await self._question(lambda: self.let_to.pop(address), ends=True)

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """It remembers."""


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    """A host on a landlord's segment; what is owed to that is told without long pauses."""
    monkeypatch.setattr(courier, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(courier, "LONGEST_SECONDS", 0.01)
    found = Machine(tmp_path)
    found.kernel.foreign.add(("link", HOST, "eth0"))
    found.outside = Landlord(found)
    await found.boot()
    yield found
    await found.halt()


def landlord(machine: Machine) -> Landlord:
    """The one of a machine's segment."""
    assert isinstance(machine.outside, Landlord)
    return machine.outside


async def _story(machine: Machine) -> None:
    one, two = machine.box("one"), machine.box("two")
    controller = machine.controller
    await controller.create_network(LAN)
    await controller.open_sandbox(one, [("lan", EndpointRequest())])
    await controller.open_sandbox(two)
    await controller.join(two.id, "lan", EndpointRequest())
    await controller.leave(one.id, "lan")
    await controller.close_sandbox(one.id)
    await controller.close_sandbox(two.id)
    await controller.remove_network("lan")


@pytest.mark.parametrize("how", MODES)
async def test_whatever_question_goes_wrong(machine: Machine, how: str) -> None:
    """The landlord ends up with nothing of ours, and the host as it was."""
    there, number = landlord(machine), 0
    while True:
        there.fails, there.asked = (number, how), 0

        async def told() -> None:
            try:
                await _story(machine)
            except FairleadError:
                # Its user is told, and ends it.
                return

        await machine.survive(told())
        asked, there.fails = there.asked, (-1, "")
        machine.is_right()
        await machine.end_all()
        assert not there.let_to, f"question {number}"
        machine.is_right()
        if number >= asked:
            return
        number += 1


async def test_deaths_in_the_kernel(machine: Machine) -> None:
    """Whenever the process dies, what was let and came to nothing is given back."""
    there = landlord(machine)
    for steps in range(12):
        machine.doom(steps)
        await machine.survive(_story(machine))
        machine.kernel.fault = None
        await machine.end_all()
        assert not there.let_to, f"after {steps} steps"
        machine.is_right()


async def test_an_address_that_somebody_has(machine: Machine) -> None:
    """Is refused, and stays with who has it."""
    controller, there = machine.controller, landlord(machine)
    await controller.create_network(LAN)
    await controller.open_sandbox(machine.box("one"), [("lan", EndpointRequest())])
    there.next = "192.0.2.100"
    with pytest.raises(Failed, match="which endpoint"):
        await controller.open_sandbox(machine.box("two"), [("lan", EndpointRequest())])
    assert list(there.let_to) == ["192.0.2.100"]
    machine.is_right()


async def test_another_address(machine: Machine) -> None:
    """Interface, ways, names and whoever listens have the new one; it outlives the process."""
    controller = machine.controller
    await controller.create_network(LAN)
    boxes = [machine.box("one"), machine.box("two")]
    for box in boxes:
        await controller.open_sandbox(box, [("lan", EndpointRequest())])
    ep, other = (controller.world.in_sandbox(box.id)[0] for box in boxes)
    heard: list[str] = []
    controller.listeners.append(lambda news: heard.append(f"{news.action} {news.container}"))
    await controller.relet(ep.id, lease("192.0.2.100"))
    assert not heard
    await controller.relet(ep.id, lease("192.0.2.77"))
    assert heard == [f"update {boxes[0].container}"]
    machine.is_right()
    held = {str(e.addresses[0]) for e in machine.dataplane.entries.values()}
    assert held == {"192.0.2.77", "192.0.2.101"}
    with pytest.raises(Failed, match="which endpoint"):
        await controller.relet(other.id, lease("192.0.2.77"))
    # The router is gone.
    await controller.relet(other.id, replace(lease("192.0.2.101"), router=None))
    assert ("route", boxes[1].id[:12], "0.0.0.0/0") not in machine.kernel.state
    await controller.relet("nobody", lease("192.0.2.78"))
    await machine.halt()
    await machine.boot()
    machine.is_right()
    again = machine.controller.world.endpoints[ep.id]
    assert again.lease is not None
    assert str(again.addresses[0]) == str(again.lease.address) == "192.0.2.77/24"
    assert again.mac == ep.mac


@pytest.mark.parametrize("internal", [False, True])
async def test_who_is_asked_for_names(machine: Machine, internal: bool) -> None:
    """The servers of the lease, from inside; of an internal network nobody."""
    box = machine.box("one")
    await machine.controller.create_network(replace(LAN, internal=internal))
    await machine.controller.open_sandbox(box, [("lan", EndpointRequest())])
    view = machine.dataplane.views[box.id]
    assert view.forward is not internal
    if not internal:
        assert [(str(u.address), u.inside) for u in view.upstreams] == [("192.0.2.2", True)]
