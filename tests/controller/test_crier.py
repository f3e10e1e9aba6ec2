"""Who has come is announced, at the pace that its network wants, until it goes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from fairlead.kernel.fake import FakeKernel
from fairlead.model.advertising import INTERVAL, MESSAGES
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Failed
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.state import HOST, state
from fairlead.model.step import Announce
from fairlead.model.world import Change
from tests.controller.bench import FRESH, Machine
from tests.controller.clock import Loop

BOTH = (PoolRequest("10.1.0.0/24"), PoolRequest("fd00:1::/64"))
FOUR, SIX = "10.1.0.2", "fd00:1::2"
LONG = 20.0


class Town(FakeKernel):
    """A kernel in which everybody hears what is announced, once bridges have opened their ports."""

    def __init__(self) -> None:
        super().__init__(state(list(FRESH)))
        self.foreign.add(("link", HOST, "eth0"))
        self.heard: list[tuple[float, str]] = []
        self.began = 0.0
        self.opens = 0.0

    @property
    def now(self) -> float:
        """Since somebody came."""
        return round(asyncio.get_running_loop().time() - self.began, 3)

    def announce(self, items: Collection[Announce]) -> tuple[Announce, ...]:
        early = tuple(item for item in items if item.port and self.now < self.opens)
        self.heard += [(self.now, str(item.address)) for item in items if item not in early]
        return early


class Listener(Machine):
    """A host in that town."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kernel: Town = Town()

    async def join(self, name: str, ipv4: str = "", ipv6: str = "") -> str:
        """A container comes; the time counts from then on, and what was heard before is gone."""
        self.kernel.heard, self.kernel.began = [], asyncio.get_running_loop().time()
        wish = EndpointRequest(ipv4=ipv4, ipv6=ipv6)
        box = await self.controller.open_sandbox(self.box(name), [("net", wish)])
        return box.id

    def times(self, address: str) -> list[float]:
        """When an address was announced."""
        return [when for when, what in self.kernel.heard if what == address]


def live(machine: Listener, story: Coroutine[Any, Any, None]) -> None:
    """A controller's life, in which waiting costs nothing."""

    async def whole() -> None:
        await machine.boot()
        await story
        await machine.halt()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(whole())


@pytest.fixture
def machine(tmp_path: Path) -> Listener:
    return Listener(tmp_path)


def network(**options: str) -> NetworkRequest:
    """A bridge of both families."""
    return NetworkRequest("net", pools=BOTH, enable_ipv6=True, options=options)


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({}, [0, 1, 2]),
        ({MESSAGES: "1"}, [0]),
        ({MESSAGES: "2", INTERVAL: "2000"}, [0, 2]),
        ({INTERVAL: "100"}, [0, 0.1, 0.2]),
        ({MESSAGES: "0"}, []),
    ],
    ids=str,
)
def test_as_often_as_its_network_wants(
    machine: Listener, options: dict[str, str], times: list[float]
) -> None:
    """Every address of it, from the moment that it is there."""

    async def story() -> None:
        await machine.controller.create_network(network(**options))
        await machine.join("one")
        await asyncio.sleep(LONG)
        assert (machine.times(FOUR), machine.times(SIX)) == (times, times)

    live(machine, story())


def test_who_leaves_says_no_more(machine: Listener) -> None:
    """And who has the address after it speaks for itself."""

    async def story() -> None:
        await machine.controller.create_network(network())
        first = await machine.join("one")
        await asyncio.sleep(0.5)
        await machine.controller.close_sandbox(first)
        assert machine.times(FOUR) == [0]
        await machine.join("two", ipv4=FOUR, ipv6=SIX)
        await asyncio.sleep(LONG)
        assert machine.times(FOUR) == machine.times(SIX) == [0, 1, 2]

    live(machine, story())


def test_only_what_is_new(machine: Listener) -> None:
    """Who comes later is no news of who was there, and neither is another daemon."""

    async def story() -> None:
        await machine.controller.create_network(network())
        await machine.join("one")
        await asyncio.sleep(LONG)
        await machine.join("two")
        await asyncio.sleep(LONG)
        assert {what for _, what in machine.kernel.heard} == {"10.1.0.3", "fd00:1::3"}
        await machine.halt()
        machine.kernel.heard.clear()
        await machine.boot()
        await asyncio.sleep(LONG)
        assert machine.kernel.heard == []

    live(machine, story())


@pytest.mark.parametrize(("opens", "first"), [(0.03, 0.04), (LONG, 1.28)])
def test_when_it_can_be_heard(machine: Listener, opens: float, first: float) -> None:
    """Not before the bridge lets it through, for which nobody waits as long as STP takes."""

    async def story() -> None:
        machine.kernel.opens = opens
        await machine.controller.create_network(network(**{MESSAGES: "1"}))
        await machine.join("one")
        await asyncio.sleep(LONG)
        assert machine.times(FOUR) == [pytest.approx(first, abs=0.001)]

    live(machine, story())


@pytest.mark.parametrize(
    ("driver", "options", "times"),
    [
        ("macvlan", {}, [0, 1, 2]),
        ("ipvlan", {}, [0, 1, 2]),
        ("ipvlan", {"ipvlan_mode": "l3"}, []),
        ("ipvlan", {"ipvlan_mode": "l3s"}, []),
        ("macvlan", {MESSAGES: "0"}, []),
    ],
    ids=str,
)
def test_on_a_parent(
    machine: Listener, driver: str, options: dict[str, str], times: list[float]
) -> None:
    """Where neighbours ask for MACs."""

    async def story() -> None:
        pools = (PoolRequest("10.1.0.0/24"),)
        given = {"parent": "eth0", **options}
        await machine.controller.create_network(NetworkRequest("net", driver, pools, given))
        await machine.join("one", ipv4=FOUR)
        await asyncio.sleep(LONG)
        assert machine.times(FOUR) == times

    live(machine, story())


def test_another_address(machine: Listener) -> None:
    """Which a DHCP server may give at any time: that one, and no longer the first."""

    async def story() -> None:
        controller = machine.controller
        pools = (PoolRequest("10.1.0.0/24"),)
        lan = NetworkRequest("net", "macvlan", pools, {"parent": "eth0"})
        await controller.create_network(lan)
        await machine.join("one", ipv4=FOUR)
        await asyncio.sleep(0.5)
        (ep,) = controller.world.endpoints.values()
        await controller._commit(
            Change(put=(replace(ep, addresses=(ip_interface("10.1.0.9/24"),)),))
        )
        await asyncio.sleep(LONG)
        assert machine.times(FOUR) == [0]
        assert machine.times("10.1.0.9") == [0.5, 1.5, 2.5]

    live(machine, story())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({MESSAGES: "4"}, f"{MESSAGES} must be in the range 0 to 3"),
        ({MESSAGES: "-1"}, f"{MESSAGES} must be in the range 0 to 3"),
        ({MESSAGES: "all"}, f'value for option {MESSAGES} "all" must be an integer'),
        ({MESSAGES: ""}, f'value for option {MESSAGES} "" must be an integer'),
        ({MESSAGES: "1_0"}, f'value for option {MESSAGES} "1_0" must be an integer'),
        ({INTERVAL: "99"}, f"{INTERVAL} must be in the range 100 to 2000"),
        ({INTERVAL: "2001"}, f"{INTERVAL} must be in the range 100 to 2000"),
        ({INTERVAL: "1s"}, f'value for option {INTERVAL} "1s" must be integer milliseconds'),
        (
            {MESSAGES: "9", INTERVAL: "9"},
            f"{MESSAGES} must be in the range 0 to 3\n{INTERVAL} must be in the range 100 to 2000",
        ),
    ],
    ids=str,
)
def test_what_docker_refuses(machine: Listener, options: dict[str, str], words: str) -> None:
    """In its words, whatever the driver; all that is wrong at once, and nothing is made."""

    async def story() -> None:
        for driver in ("bridge", "macvlan"):
            with pytest.raises(Failed) as caught:
                await machine.controller.create_network(
                    NetworkRequest("net", driver, options=options)
                )
            assert caught.value.message == words
            assert machine.controller.world.called("net") is None

    live(machine, story())
