"""Networks on a parent, on a kernel made of a dictionary: what is refused, shared, missed, mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import FairleadError
from fairlead.model.facts import Hint
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.state import HOST
from fairlead.plan.patience import Patience
from tests.controller.bench import Machine

CARD = ("link", HOST, "eth0")


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    made.kernel.foreign.add(CARD)
    await made.boot()
    yield made
    await made.halt()


def on(parent: str, driver: str = "macvlan", **options: str) -> NetworkRequest:
    """A network with one subnet."""
    given = {"parent": parent, **options} if parent else options
    return NetworkRequest("net", driver, (PoolRequest("192.0.2.0/24"),), given)


@pytest.mark.parametrize(
    ("kind", "request_", "option"),
    [
        ("macvlan", on("eth0"), "CONFIG_MACVLAN"),
        ("ipvlan", on("eth0", "ipvlan"), "CONFIG_IPVLAN"),
        ("vlan", on("eth0.10"), "CONFIG_VLAN_8021Q"),
        ("dummy", on(""), "CONFIG_DUMMY"),
    ],
)
async def test_a_kernel_that_lacks_it(
    machine: Machine, kind: str, request_: NetworkRequest, option: str
) -> None:
    """Says which option it was built without, before anything is made."""
    machine.kernel.lacking.add(kind)
    before = dict(machine.kernel.state)
    with pytest.raises(FairleadError, match=f"^operation not supported: .*{option}"):
        await machine.controller.create_network(request_)
    assert machine.kernel.state == before
    machine.kernel.lacking.clear()
    await machine.controller.create_network(request_)
    machine.is_right()


async def test_a_vlan_that_another_made_meanwhile(machine: Machine) -> None:
    """Is theirs from then on: the start does not stop at it, and it stays when the network goes."""
    await machine.controller.create_network(on("eth0.10"))
    await machine.halt()
    machine.kernel.lose(("link", HOST, "eth0.10"))
    machine.kernel.foreign.add(("link", HOST, "eth0.10"))
    await machine.boot()
    machine.is_right()
    await machine.controller.remove_network("net")
    assert ("link", HOST, "eth0.10") in machine.kernel.foreign


async def test_a_parent_that_is_not_there_at_the_start(machine: Machine) -> None:
    """A warning names the network; the rest is as it should be, and it comes back with the card."""
    controller = machine.controller
    await controller.create_network(on("eth0", **{"fairlead.host_access": "true"}))
    box = machine.box("web")
    await controller.open_sandbox(box, [("net", EndpointRequest())])
    await machine.halt()
    machine.kernel.foreign.discard(CARD)
    for key in [k for k, r in machine.kernel.state.items() if CARD in r.needs]:
        machine.kernel.lose(key)
    await machine.boot()
    controller = machine.controller
    assert any("network net is cut off" in text for text in controller.warnings)
    await controller.create_network(NetworkRequest("red"))
    await controller.open_sandbox(machine.box("other"), [("red", EndpointRequest())])
    with pytest.raises(FairleadError):
        await controller.open_sandbox(machine.box("third"), [("net", EndpointRequest())])
    machine.kernel.foreign.add(CARD)
    controller.healer.hear([Hint("link", "eth0", lost=False)])
    assert await controller.healer.heed()
    machine.is_right()


async def test_any_loss_is_made_good(machine: Machine) -> None:
    """Whatever of them is deleted on the host, one look brings it back with what stood on it."""
    controller = machine.controller
    for name, parent, driver, subnet in (
        ("one", "eth0.10", "macvlan", "192.0.2.0/24"),
        ("two", "", "ipvlan", "198.51.100.0/24"),
    ):
        options = {"fairlead.host_access": "true"} | ({"parent": parent} if parent else {})
        await controller.create_network(
            NetworkRequest(name, driver, (PoolRequest(subnet),), options)
        )
        await controller.open_sandbox(machine.box(f"in-{name}"), [(name, EndpointRequest())])
    lost = [
        k for k in sorted(machine.kernel.state) if k[0] in ("link", "addr", "route") and not k[1]
    ]
    assert len([key for key in lost if key[0] == "link"]) == 5
    for key in lost:
        name = machine.kernel.state[key].key[2]
        machine.kernel.lose(key)
        controller.healer._patience = Patience()
        hints = {
            "link": Hint("link", name),
            "addr": Hint("address", key[-1]),
            "route": Hint("route", key[-1]),
        }
        controller.healer.hear([hints[key[0]]])
        assert await controller.healer.heed(), key
        machine.is_right()


async def test_ports_are_nobodys(machine: Machine) -> None:
    """A container whose way out is such a network publishes nothing; on a bridge it does."""
    controller = machine.controller
    await controller.create_network(on("eth0"))
    await controller.create_network(NetworkRequest("red"))
    ports = [PortRequest("tcp", 80, host_port=8080)]
    box = machine.box("web")
    await controller.open_sandbox(box, [("net", EndpointRequest(priority=1))], ports)
    assert controller.world.sandboxes[box.id].ports == ()
    await controller.join(box.id, "red", EndpointRequest(priority=2))
    assert {p.host_port for p in controller.world.sandboxes[box.id].ports} == {8080}
    machine.is_right()


async def test_who_shares_a_parent(machine: Machine) -> None:
    """The words for each pair that cannot."""
    controller = machine.controller
    words = {
        ("macvlan", "passthru", "macvlan", "bridge"): "in mode passthru$",
        ("macvlan", "bridge", "macvlan", "passthru"): "^cannot use mode passthru, macvlan network",
        ("macvlan", "bridge", "ipvlan", "l2"): "is already using parent interface eth0$",
        ("ipvlan", "l2", "macvlan", "bridge"): "is already using parent interface eth0$",
        ("ipvlan", "l2", "ipvlan", "l2"): "^network di-[0-9a-f]{12} is already using parent",
    }
    for (driver, mode, other, theirs), text in words.items():
        await controller.create_network(on("eth0", driver, **{f"{driver}_mode": mode}))
        pools = (PoolRequest("198.51.100.0/24"),)
        options = {"parent": "eth0", f"{other}_mode": theirs}
        with pytest.raises(FairleadError, match=text):
            await controller.create_network(NetworkRequest("more", other, pools, options))
        await controller.remove_network("net")
        machine.is_right()


async def test_a_mac_of_choice(machine: Machine) -> None:
    """Not where the link has that of its parent, in Docker's words."""
    await machine.controller.create_network(on("eth0", "ipvlan"))
    joins = [("net", EndpointRequest(mac="02:00:00:00:00:01"))]
    words = "^ipvlan interfaces do not support custom mac address assignment$"
    with pytest.raises(FairleadError, match=words):
        await machine.controller.open_sandbox(machine.box("web"), joins)
    machine.is_right()
