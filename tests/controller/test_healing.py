"""Healing on a kernel made of a dictionary: what is lost comes back, what is edited stays."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from fairlead.controller.healing import Notice
from fairlead.controller.maker import NetworkEvent
from fairlead.kernel.port import Surroundings
from fairlead.kernel.watch import Watch
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.facts import Hint
from fairlead.model.iptables import Chain
from fairlead.model.network import NetworkRequest
from fairlead.model.state import Bridge, IPNetwork
from fairlead.plan.patience import Patience
from tests.controller.bench import Machine


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    await made.boot()
    for name in ("red", "blue"):
        await made.controller.create_network(NetworkRequest(name))
        joins = [(name, EndpointRequest())]
        ports = [PortRequest("tcp", 80, host_port=8080 if name == "red" else 8081)]
        await made.controller.open_sandbox(made.box(f"in-{name}"), joins, ports)
    yield made
    await made.halt()


async def test_any_loss_on_the_host_is_made_good(machine: Machine) -> None:
    """Whatever is deleted, one look at everything brings it back with all that stood on it."""
    inside = ("netns", "dns", "nft", "rule", "addr", "route")
    for key in sorted(machine.kernel.state):
        if machine.kernel.state[key].LASTING or (key[0] in inside and key[1]):
            continue
        machine.kernel.lose(key)
        # Nobody fights here, though it looks so.
        machine.controller.healer._patience = Patience()
        machine.controller.healer.hear([Hint("all")])
        assert await machine.controller.healer.heed()
        machine.is_right()


async def test_nothing_wrong_nothing_done(machine: Machine) -> None:
    machine.controller.healer.hear([Hint("all")])
    assert await machine.controller.healer.heed() == ()
    assert await machine.controller.healer.audit() == ()


async def test_hints_about_others_are_not_looked_at(machine: Machine) -> None:
    """A look costs; what the world does not want cannot be missing."""
    bridge = next(k for k in machine.kernel.state if k[0] == "link" and k[2].startswith("br-"))
    machine.kernel.lose(bridge)
    machine.controller.healer.hear([Hint("link", "eth7"), Hint("address", "192.0.2.1")])
    assert await machine.controller.healer.heed() == ()
    machine.controller.healer.hear([Hint("link", bridge[2], loose=True)])
    assert await machine.controller.healer.heed()
    machine.is_right()


async def test_an_edit_stays_until_it_is_ended(machine: Machine) -> None:
    """Healing sees it and leaves it; the doctor tells of it and ends it."""
    chain = next(r for r in machine.kernel.state.values() if isinstance(r, Chain) and r.rules[2:])
    edited = replace(chain, rules=("-j ACCEPT", *chain.rules[1:]))
    machine.kernel.state[chain.key] = edited
    machine.controller.healer.hear([Hint("rules", "iptables")])
    assert await machine.controller.healer.heed() == ()
    assert machine.kernel.state[chain.key] == edited
    assert next(f.kind for f in await machine.controller.doctor.examine()) == "drift"
    steps, findings = await machine.controller.doctor.fix()
    assert [step.after for step in steps] == [chain]
    assert not [f for f in findings if f.kind == "drift"]
    machine.is_right()


async def test_firewalld_comes_and_goes(machine: Machine) -> None:
    """While it is there every bridge of ours is in its zone, those of networks to come as well."""
    kernel, controller = machine.kernel, machine.controller

    def members() -> set[str]:
        return {key[1] for key in kernel.state if key[0] == "zone"}

    def bridges() -> set[str]:
        return {r.name for r in kernel.state.values() if isinstance(r, Bridge)}

    assert not members()
    kernel.zones = True
    controller.healer.hear([Hint("rules", "firewalld")])
    await controller.healer.heed()
    assert members() == bridges()
    await controller.create_network(NetworkRequest("green"))
    assert members() == bridges()
    await controller.remove_network("green")
    assert members() == bridges()
    # What it knew went with it.
    kernel.zones = False
    for key in [key for key in kernel.state if key[0] == "zone"]:
        kernel.lose(key)
    controller.healer.hear([Hint("rules", "firewalld")])
    await controller.healer.heed()
    assert not members()
    machine.is_right()


async def test_a_route_that_comes_and_goes(machine: Machine) -> None:
    """It is told once, and again when it comes again."""
    told: list[NetworkEvent] = []
    said: list[Notice] = []
    controller = machine.controller
    controller.listeners.append(told.append)
    controller.healer.notices.append(said.append)
    subnet = controller.network("red").pools[0].subnet
    inside = ip_network(f"{subnet.network_address}/24")
    hint = Hint("route", str(inside), lost=False, link="tun0")
    rounds: list[tuple[tuple[IPNetwork, ...], int]]
    rounds = [((inside,), 1), ((inside,), 1), ((), 1), ((inside,), 2)]
    for routes, count in rounds:
        machine.kernel.around = Surroundings(routes)
        controller.healer.hear([hint])
        await controller.healer.heed()
        assert [event.action for event in told] == ["overlap"] * count
        assert len(said) == count
    assert told[0].route == str(inside)
    assert controller.warnings == [said[0].text]


class Quiet(Watch):
    """A kernel that never tells of anything."""

    def __init__(self) -> None:
        """Listens to nothing."""

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return ()


@pytest.mark.parametrize("ticks", range(6))
async def test_a_hint_at_the_very_end_keeps_nobody_from_stopping(
    machine: Machine, ticks: int
) -> None:
    """However closely the end follows it."""
    healer = machine.controller.healer
    healer.open([Quiet()], 1000)
    for _ in range(3):
        await asyncio.sleep(0)
    healer.hear([Hint("address", "192.0.2.1")])
    for _ in range(ticks):
        await asyncio.sleep(0)
    async with asyncio.timeout(90):
        await healer.close()
