"""The controller: what it promises to whoever makes networks and joins them."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path

import pytest

from fairlead.controller.maker import NetworkEvent
from fairlead.controller.start import Settings
from fairlead.dataplane.change import Change
from fairlead.kernel.errors import Refused
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import (
    Conflict,
    Failed,
    FairleadError,
    Forbidden,
    NotFound,
    Unavailable,
)
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.state import HOST, Bridge, Veth
from fairlead.model.step import Step
from fairlead.plan.explain import plan_lines
from tests.controller.bench import Machine

WEB = PortRequest("tcp", 80, host_port=8080)


async def test_the_first_start_makes_docker_s_networks(machine: Machine) -> None:
    """bridge, host and none; docker0 has the first of Docker's pools."""
    nets = machine.controller.world.networks.values()

    assert {(n.name, n.driver) for n in nets} == {
        ("bridge", "bridge"),
        ("host", "host"),
        ("none", "null"),
    }
    pool = machine.controller.network("bridge").pools[0]
    assert (str(pool.subnet), str(pool.gateway)) == ("172.17.0.0/16", "172.17.0.1")
    machine.is_right()


async def test_a_second_start_takes_no_steps(machine: Machine) -> None:
    """A host that is as it should be is left alone."""
    await machine.controller.create_network(NetworkRequest("one"))
    await machine.controller.open_sandbox(machine.box("c"), [("one", EndpointRequest())], [WEB])
    await machine.halt()

    assert await machine.boot() == ()


async def test_a_new_bip_moves_docker0(tmp_path: Path) -> None:
    """As the tutorials do it: bip in daemon.json, restart, another address."""
    machine = Machine(tmp_path)
    await machine.boot()
    await machine.halt()
    machine.settings = Settings(bip="172.100.0.1/24")

    await machine.boot()

    machine.is_right()
    assert str(machine.controller.network("bridge").pools[0].subnet) == "172.100.0.0/24"
    await machine.halt()


async def test_a_new_bip_waits_for_running_containers(machine: Machine) -> None:
    """Nothing that runs is lost: the old subnet stays, and a warning says why."""
    await machine.controller.open_sandbox(machine.box("c"), [("bridge", EndpointRequest())])
    await machine.halt()
    machine.settings = Settings(bip="172.100.0.1/24")

    await machine.boot()

    assert str(machine.controller.network("bridge").pools[0].subnet) == "172.17.0.0/16"
    assert any("172.17.0.0/16" in warning for warning in machine.controller.warnings)


async def test_a_stranger_s_docker0_stops_the_start(tmp_path: Path) -> None:
    """Docker's own bridge is not touched; the one line says what to do."""
    machine = Machine(tmp_path)
    machine.kernel.foreign.add(("link", HOST, "docker0"))

    with pytest.raises(Conflict, match=r"docker0 exists .*--default-bridge-name"):
        await machine.boot()

    assert machine.kernel.taken == []
    await machine.halt()


async def test_strangers_chains_stop_the_start(tmp_path: Path) -> None:
    """So do chains of ours that are somebody else's."""
    machine = Machine(tmp_path)
    machine.kernel.foreign.add(("chain", "ip", "nat", "DOCKER"))

    with pytest.raises(Conflict, match=r"chain DOCKER in table nat .*--iptables-prefix"):
        await machine.boot()

    await machine.halt()


async def test_a_refused_network_leaves_nothing(machine: Machine) -> None:
    """Whatever step the kernel refuses, the host is as before and the name is free."""
    before = dict(machine.kernel.state)

    def refuse(step: Step) -> None:
        if isinstance(step.after, Bridge) and step.after.name != "docker0":
            raise Refused(step, errno.EPERM)

    machine.kernel.fault = refuse
    with pytest.raises(Refused):
        await machine.controller.create_network(NetworkRequest("one"))

    machine.kernel.fault = None
    assert machine.kernel.state == before
    await machine.controller.create_network(NetworkRequest("one"))


async def test_a_dataplane_that_fails_undoes_the_kernel(machine: Machine) -> None:
    """A sandbox whose names cannot be served is no sandbox."""
    await machine.controller.create_network(NetworkRequest("one"))
    before = dict(machine.kernel.state)

    async def fail(changes: list[Change]) -> None:
        raise Failed("no")

    machine.dataplane.apply = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(Failed, match="no"):
        await machine.controller.open_sandbox(machine.box("c"), [("one", EndpointRequest())])

    assert machine.kernel.state == before
    assert machine.controller.world.sandboxes == {}


async def test_what_a_vandal_broke_is_mended_on_the_way(machine: Machine) -> None:
    """A join onto a bridge that somebody deleted repairs the host and succeeds."""
    net = await machine.controller.create_network(NetworkRequest("one"))
    await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())])
    machine.kernel.lose(("link", HOST, net.ifname))

    await machine.controller.open_sandbox(machine.box("b"), [("one", EndpointRequest())])

    machine.is_right()


async def test_so_is_what_can_neither_be_done_nor_undone(machine: Machine) -> None:
    """A sandbox whose bridge and rules somebody deleted still closes, and the host is right."""
    controller = machine.controller
    box = await controller.open_sandbox(machine.box("c"), [("bridge", EndpointRequest())], [WEB])
    machine.kernel.lose(("link", HOST, "docker0"))
    machine.kernel.lose(("chain", "ip", "filter", "DOCKER"))

    await controller.close_sandbox(box.id)

    machine.is_right()


async def test_a_port_in_use_names_the_container(machine: Machine) -> None:
    """The second container is refused in Docker's words, before anything is programmed."""
    controller = machine.controller
    await controller.open_sandbox(machine.box("first"), [("bridge", EndpointRequest())], [WEB])
    machine.kernel.taken_ports.add(8080)
    before = dict(machine.kernel.state)

    with pytest.raises(
        Failed, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"
    ) as no:
        await controller.open_sandbox(machine.box("second"), [("bridge", EndpointRequest())], [WEB])

    assert "first" in no.value.hint
    assert no.value.message.startswith("driver failed programming external connectivity")
    assert machine.kernel.state == before


async def test_ports_follow_the_gateway(machine: Machine) -> None:
    """A port leads to the address on the network that is the way out, and moves with it."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one"))
    await controller.create_network(NetworkRequest("closed", internal=True))
    box = await controller.open_sandbox(machine.box("c"), [("closed", EndpointRequest())], [WEB])
    assert machine.dataplane.proxies == {}

    await controller.join(box.id, "one", EndpointRequest(ipv4="172.18.0.9"))
    assert set(machine.dataplane.proxies.values()) == {("172.18.0.9", 80)}

    await controller.leave(box.id, "one")
    assert machine.dataplane.proxies == {}
    machine.is_right()


async def test_a_start_beside_a_table_of_somebody_else(tmp_path: Path) -> None:
    """It is refused in one line that says which, and what to do."""
    machine = Machine(tmp_path, backend="nftables")
    machine.kernel.foreign.add(("nft", "ip", "fairlead"))

    with pytest.raises(Conflict, match="the nftables table ip fairlead exists and is not"):
        await machine.boot()


async def test_an_older_sandbox_published_later(machine: Machine) -> None:
    """The order of rules follows from the world, not from the order in which it came about."""
    controller = machine.controller
    older = await controller.open_sandbox(machine.box("a"), [], [WEB])
    other = PortRequest("tcp", 80, host_port=9090)
    await controller.open_sandbox(machine.box("b"), [("bridge", EndpointRequest())], [other])

    await controller.join(older.id, "bridge", EndpointRequest())

    machine.is_right()


async def test_a_network_in_use_is_not_removed(machine: Machine) -> None:
    """The refusal names who is on it; afterwards it goes."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one"))
    box = await controller.open_sandbox(machine.box("c"), [("one", EndpointRequest())])

    with pytest.raises(Forbidden, match=r'network one has active endpoints \(name:"c" id:"'):
        await controller.remove_network("one")

    await controller.close_sandbox(box.id)
    await controller.remove_network("one")
    with pytest.raises(NotFound, match="network one not found"):
        controller.network("one")


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (NetworkRequest(""), 400, "invalid name: name is empty"),
        (NetworkRequest("host"), 403, "operation is not permitted on predefined host network "),
        (NetworkRequest("x", driver="nosuch"), 404, 'plugin "nosuch" not found'),
        (NetworkRequest("x", driver="host"), 403, 'only one instance of "host" network is allowed'),
        (NetworkRequest("x", enable_ipv4=False), 400, "IPv4 or IPv6 must be enabled"),
        (
            NetworkRequest("x", pools=(PoolRequest("172.17.5.0/24"),)),
            403,
            "invalid pool request: Pool overlaps with other one on this address space",
        ),
        (
            NetworkRequest("x", options={"com.docker.network.driver.mtu": "abc"}),
            400,
            'failed to parse com.docker.network.driver.mtu value: abc (strconv.Atoi: parsing "abc": invalid syntax)',
        ),
        (
            NetworkRequest("x", options={"com.docker.network.bridge.name": "a" * 16}),
            500,
            "numerical result out of range",
        ),
        (
            NetworkRequest("x", options={"com.docker.network.bridge.name": "a;reboot"}),
            500,
            "invalid argument",
        ),
    ],
    ids=str,
)
async def test_networks_that_docker_refuses(
    machine: Machine, request_: NetworkRequest, status: int, message: str
) -> None:
    """Status and words are Docker's, and nothing is made."""
    before = dict(machine.kernel.state)

    with pytest.raises(FairleadError) as refused:
        await machine.controller.create_network(request_)

    assert (refused.value.status, refused.value.message) == (status, message)
    assert machine.kernel.state == before


async def test_dry_runs_change_nothing(machine: Machine) -> None:
    """A plan shows the bridge and the rules that would come, and that is all."""
    controller = machine.controller
    before, world = dict(machine.kernel.state), controller.world

    lines = plan_lines(await controller.plan_create_network(NetworkRequest("one")))

    assert any(line.startswith("+ bridge  br-") for line in lines)
    assert any("MASQUERADE" in line for line in lines)
    assert machine.kernel.state == before
    assert controller.world is world


async def test_explain_knows_why(machine: Machine) -> None:
    """Every object of a container is there, with the network that wants it."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one"))
    box = await controller.open_sandbox(machine.box("web"), [("one", EndpointRequest())], [WEB])
    (veth,) = [r for r in machine.kernel.state.values() if isinstance(r, Veth)]

    text = "\n".join(controller.explain("web"))

    assert f"netns   {box.namespace}" in text
    assert f"veth    {veth.name} on " in text
    assert "because web is on network one" in text
    assert "--dport 8080 -j DNAT --to-destination 172.18.0.2:80" in text
    with pytest.raises(NotFound):
        controller.explain("nobody")


async def test_names_are_served_where_they_should_be(machine: Machine) -> None:
    """Only on networks that users made; a zone for each, and links for one alone."""
    controller = machine.controller
    one = await controller.create_network(NetworkRequest("One"))
    await controller.open_sandbox(machine.box("plain"), [("bridge", EndpointRequest())])
    wanted = EndpointRequest(aliases=("Db",))
    db = await controller.open_sandbox(machine.box("base"), [("One", wanted)])
    web = await controller.open_sandbox(
        machine.box("web"), [("One", EndpointRequest(links=("base:store",)))]
    )

    assert set(machine.dataplane.views) == {db.id, web.id}
    (entry,) = [e for e in machine.dataplane.entries.values() if e.target == "base.One."]
    assert entry.zone == one.id
    assert {"base", "db", db.container[:12], "base.one", "db.one"} <= set(entry.names)
    assert list(machine.dataplane.views[web.id].names) == ["store"]
    assert machine.dataplane.views[web.id].forward


async def test_an_internal_network_forwards_nothing(machine: Machine) -> None:
    """Names must not carry data out of a network that is closed (CVE-2024-29018)."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("closed", internal=True))
    await controller.create_network(NetworkRequest("open"))
    box = await controller.open_sandbox(machine.box("c"), [("closed", EndpointRequest())])
    assert not machine.dataplane.views[box.id].forward

    await controller.join(box.id, "open", EndpointRequest())
    assert machine.dataplane.views[box.id].forward

    await controller.leave(box.id, "open")
    assert not machine.dataplane.views[box.id].forward


async def test_a_renamed_sandbox_is_found_by_its_new_name(machine: Machine) -> None:
    """And by the old one no more."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one"))
    box = await controller.open_sandbox(machine.box("old"), [("one", EndpointRequest())])

    await controller.rename(box.id, "new")

    (entry,) = machine.dataplane.entries.values()
    assert "new" in entry.names
    assert controller.world.sandboxes[box.id].name == "new"


async def test_listeners_hear_what_happened(machine: Machine) -> None:
    """One event for each network that changed, after it did."""
    heard: list[NetworkEvent] = []
    controller = machine.controller
    controller.listeners.append(heard.append)

    await controller.create_network(NetworkRequest("one"))
    box = await controller.open_sandbox(machine.box("c"), [("one", EndpointRequest())])
    await controller.close_sandbox(box.id)
    await controller.remove_network("one")

    assert [e.action for e in heard] == ["create", "connect", "disconnect", "destroy"]
    assert heard[1].container == box.container


async def test_two_controllers_do_not_share_a_store(machine: Machine) -> None:
    """The store is a file of its own folder; another host knows nothing of ours."""
    await machine.controller.create_network(NetworkRequest("one"))
    with tempfile.TemporaryDirectory() as folder:
        other = Machine(Path(folder))
        await other.boot()

        assert "one" not in {n.name for n in other.controller.world.networks.values()}
        await other.halt()


async def test_a_change_is_made_to_its_end(machine: Machine) -> None:
    """Whoever asked may go away in the middle: the world and the host still agree."""
    controller = machine.controller
    asked = asyncio.create_task(controller.create_network(NetworkRequest("one")))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    await controller.create_network(NetworkRequest("two"))

    assert {"one", "two"} <= {n.name for n in controller.world.networks.values()}
    machine.is_right()


async def test_a_full_disk_undoes_everything(machine: Machine) -> None:
    """What cannot be written down has not happened: not in the kernel, nor for names and ports."""
    controller = machine.controller
    await controller.create_network(NetworkRequest("one"))
    before = dict(machine.kernel.state)

    def full(number: int, documents: object) -> None:
        raise Unavailable("the store cannot be written: database or disk is full")

    machine.store.finish = full  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="disk is full"):
        await controller.open_sandbox(machine.box("c"), [("one", EndpointRequest())], [WEB])

    assert machine.kernel.state == before
    assert machine.dataplane.views == {}
    assert machine.dataplane.entries == {}
    assert machine.dataplane.proxies == {}
    assert controller.world.sandboxes == {}
