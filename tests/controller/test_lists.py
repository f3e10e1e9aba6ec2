"""Lists are refused where nobody would keep them, and ports are closed before theirs go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from fairlead.dataplane.change import AddProxy, Change, DropProxy
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import Invalid
from fairlead.model.network import NetworkRequest
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM
from fairlead.model.step import Step
from tests.controller.bench import Machine

NEAR = "192.0.2.0/24"
WEB = PortRequest("tcp", 80, host_port=8080)


async def test_without_a_firewall(machine: Machine) -> None:
    """Whoever asks for a wall is told that there will be none, and nothing is left."""
    committer = machine.controller._committer
    committer.host = replace(committer.host, firewall=False)
    red = NetworkRequest("red")
    await machine.controller.create_network(red)
    for option in (PUBLISH_FROM, EGRESS):
        with pytest.raises(Invalid, match=option):
            await machine.controller.create_network(
                replace(red, name="blue", options={option: NEAR})
            )
    end = EndpointRequest(options={PUBLISH_FROM: NEAR})
    only = replace(WEB, sources=(ip_network(NEAR),))
    for request, port in ((end, WEB), (EndpointRequest(), only)):
        with pytest.raises(Invalid, match=PUBLISH_FROM):
            await machine.controller.open_sandbox(machine.box("web"), [("red", request)], [port])
    assert not machine.controller.world.sandboxes
    assert machine.controller.world.called("blue") is None


async def test_a_port_is_open_while_its_list_is_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves after the kernel has the list, and no longer when the list goes."""
    told: list[str] = []
    apply = machine.dataplane.apply

    async def heard(changes: list[Change]) -> None:
        told.extend(type(c).__name__ for c in changes if isinstance(c, AddProxy | DropProxy))
        await apply(changes)

    def seen(step: Step) -> None:
        if step.resource.key[0] == "nft-element" and step.resource.key[1] == "inet":
            told.append(step.verb)

    monkeypatch.setattr(machine.dataplane, "apply", heard)
    machine.kernel.fault = seen
    await machine.controller.create_network(NetworkRequest("red", options={PUBLISH_FROM: NEAR}))
    box = machine.box("web")
    await machine.controller.open_sandbox(box, [("red", EndpointRequest())], [WEB])
    assert told.index("AddProxy") > told.index("add")
    told.clear()
    await machine.controller.close_sandbox(box.id)
    assert told.index("DropProxy") < told.index("remove")
