"""Endpoints with a table of routes of their own: as long as they are there, and said in one word."""

from __future__ import annotations

import pytest

from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Invalid
from fairlead.model.lookup import Lookup
from fairlead.model.network import NetworkRequest
from fairlead.model.options import REPLY_SAME_WAY
from tests.controller.bench import Machine


def sources(machine: Machine) -> set[str]:
    """The addresses from which packets go by a table of their own."""
    return {str(r.source) for r in machine.kernel.state.values() if isinstance(r, Lookup)}


async def test_while_it_is_there(machine: Machine) -> None:
    """A network's endpoints, and one alone on a network that says nothing; over a restart."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one", options={REPLY_SAME_WAY: "true"}))
    await controller.create_network(NetworkRequest("two", enable_ipv6=True))
    box = await controller.open_sandbox(machine.box("web"), [("one", EndpointRequest())])
    first = await controller.join(
        box.id, "two", EndpointRequest(options={REPLY_SAME_WAY: "true"}, priority=1)
    )
    await controller.open_sandbox(machine.box("other"), [("two", EndpointRequest())])
    (own,) = (e for e in controller.world.in_sandbox(box.id) if e.id != first.id)
    both = {str(a.ip) for e in (own, first) for a in e.addresses}
    assert len(both) == 3
    assert sources(machine) == both
    machine.is_right()
    await machine.halt()
    assert await machine.boot() == ()
    await machine.controller.leave(box.id, "two")
    assert sources(machine) == {str(a.ip) for a in own.addresses}
    machine.is_right()


async def test_it_is_explained(machine: Machine) -> None:
    """Each route and rule says what it is for."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one", options={REPLY_SAME_WAY: "1"}))
    await controller.open_sandbox(machine.box("web"), [("one", EndpointRequest())])
    text = "\n".join(controller.explain("web"))
    assert "rule    from 172.18.0.2 lookup" in text
    assert "replies of web on network one leave by eth0" in text


async def test_a_word_that_is_none(machine: Machine) -> None:
    """Is refused, of a network and of an endpoint."""
    controller, wrong = machine.controller, {REPLY_SAME_WAY: "maybe"}
    words = f"failed to parse {REPLY_SAME_WAY} value: maybe"
    with pytest.raises(Invalid, match=words):
        await controller.create_network(NetworkRequest("one", options=wrong))
    await controller.create_network(NetworkRequest("one"))
    with pytest.raises(Invalid, match=words):
        controller.check_endpoint("one", EndpointRequest(options=wrong))
    join = ("one", EndpointRequest(options=wrong))
    with pytest.raises(Invalid, match=words):
        await controller.open_sandbox(machine.box("web"), [join])
