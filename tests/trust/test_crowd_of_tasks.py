"""Many at once at the controller, on a kernel that refuses now and then: many more histories.

Each of eight tasks has networks and sandboxes of its own and knows how they are. A change that
the kernel refuses has not happened; all others have. At any quiet moment the kernel and the
dataplane hold what the world says, and after all is removed what they held at first.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairlead.kernel.errors import Refused
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.network import NetworkRequest
from fairlead.model.step import Step
from tests.controller.bench import Machine

TASKS = 8
TURNS = 100
HISTORIES = 40 if os.environ.get("FAIRLEAD_TRUST_ALL") else 4
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Client:
    """One of the tasks."""

    def __init__(self, machine: Machine, number: int, dice: random.Random, refuses: bool) -> None:
        self.machine = machine
        self.dice = dice
        self.refuses = refuses
        self.number = number
        self.drawn = 0
        self.networks: set[str] = set()
        self.boxes: dict[str, set[str]] = {}

    async def live(self) -> None:
        turns = [
            self.make,
            self.drop,
            self.open,
            self.open,
            self.close,
            self.join,
            self.join,
            self.leave,
        ]
        for _ in range(TURNS):
            await self.dice.choice(turns)()
            self.look()

    async def attempt(self, work: Awaitable[object]) -> bool:
        """Whether it happened; on an honest kernel it must."""
        try:
            await work
        except Refused:
            assert self.refuses
            return False
        return True

    def new(self) -> str:
        self.drawn += 1
        return f"client{self.number}-{self.drawn}"

    async def make(self) -> None:
        name = self.new()
        if len(self.networks) < 3 and await self.attempt(
            self.machine.controller.create_network(NetworkRequest(name))
        ):
            self.networks.add(name)

    async def drop(self) -> None:
        free = sorted(self.networks.difference(*self.boxes.values()))
        if free and await self.attempt(self.machine.controller.remove_network(free[0])):
            self.networks.remove(free[0])

    async def open(self) -> None:
        if len(self.boxes) == 4:
            return
        request = self.machine.box(self.new())
        nets = [net for net in ("bridge", *sorted(self.networks)) if self.dice.random() < 0.5]
        port = 20000 + 1000 * self.number + self.drawn
        ports = [PortRequest("tcp", 80, host_port=port)] if self.dice.random() < 0.5 else []
        joins = [(net, EndpointRequest()) for net in nets]
        if await self.attempt(self.machine.controller.open_sandbox(request, joins, ports)):
            self.boxes[request.id] = set(nets)

    async def close(self) -> None:
        box = self.box()
        if box and await self.attempt(self.machine.controller.close_sandbox(box)):
            del self.boxes[box]

    async def join(self) -> None:
        if box := self.box():
            free = sorted({"bridge", *self.networks} - self.boxes[box])
            if free and await self.attempt(
                self.machine.controller.join(box, free[0], EndpointRequest())
            ):
                self.boxes[box].add(free[0])

    async def leave(self) -> None:
        if (box := self.box()) and self.boxes[box]:
            net = self.dice.choice(sorted(self.boxes[box]))
            if await self.attempt(self.machine.controller.leave(box, net)):
                self.boxes[box].remove(net)

    def box(self) -> str:
        return self.dice.choice(sorted(self.boxes)) if self.boxes else ""

    def look(self) -> None:
        """What is read without waiting is what this client has been told."""
        world = self.machine.controller.world
        named = {net.name for net in world.networks.values()}
        assert {name for name in named if name.startswith(f"client{self.number}-")} == self.networks
        for box, nets in self.boxes.items():
            assert {world.networks[e.network].name for e in world.in_sandbox(box)} == nets


def refusing(dice: random.Random) -> Callable[[Step], None]:
    """A kernel that refuses one step in fifty, for no reason."""

    def fault(step: Step) -> None:
        if dice.random() < 0.02:
            raise Refused(step, 12)  # ENOMEM

    return fault


@pytest.mark.parametrize("refuses", [False, True], ids=["honest", "refusing"])
@pytest.mark.parametrize("history", range(HISTORIES))
async def test_a_crowd_of_tasks(history: int, refuses: bool) -> None:
    """Every answer is right, nobody waits for ever, and nothing is left."""
    seed = int(os.environ.get("FAIRLEAD_TRUST_SEED") or random.randrange(1 << 20))
    print(f"FAIRLEAD_TRUST_SEED={seed}")
    dice = random.Random(f"{seed}-{history}")
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        machine = Machine(Path(folder))
        await machine.boot()
        before = dict(machine.kernel.state)
        clients = [Client(machine, number, dice, refuses) for number in range(TASKS)]
        machine.kernel.fault = refusing(dice) if refuses else None
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.live())
        machine.kernel.fault = None
        for client in clients:
            for box in list(client.boxes):
                await machine.controller.close_sandbox(box)
            for net in list(client.networks):
                await machine.controller.remove_network(net)
        machine.is_right()
        assert machine.kernel.state == before
        assert not machine.dataplane.entries
        assert not machine.store.intents()
        await machine.halt()
