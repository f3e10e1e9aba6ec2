"""What the dataplane is told of names: who is called what, and whom each sandbox asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from fairlead.controller import names, upstreams
from fairlead.dns.answer import Upstream, View
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.network import NetworkRequest
from tests.controller.bench import Machine


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """A host with a controller that has started, and two networks."""
    found = Machine(tmp_path)
    await found.boot()
    for name in ("one", "two"):
        await found.controller.create_network(NetworkRequest(name))
    yield found
    await found.halt()


async def add(
    machine: Machine, name: str, network: str = "one", *aliases: str, project: str = ""
) -> View:
    """A sandbox on a network; what it sees."""
    request = replace(machine.box(name), project=project)
    joins = [(network, EndpointRequest(aliases=aliases))]
    await machine.controller.open_sandbox(request, joins)
    view: View = machine.dataplane.views[request.id]
    return view


async def test_each_finds_the_host_at_its_own_gateway(machine: Machine) -> None:
    """The gateway of the network that it goes out by."""
    one = await add(machine, "a")
    two = await add(machine, "b", "two")
    gateways = [str(machine.controller.network(n).pools[0].gateway) for n in ("one", "two")]
    assert [list(map(str, view.gateways)) for view in (one, two)] == [[g] for g in gateways]


async def test_names_in_other_scripts_are_asked_for_in_two_ways(machine: Machine) -> None:
    """As they are, in lower case, and as browsers and Python send them."""
    await add(machine, "a", "one", "Äpfel")
    (entry,) = machine.dataplane.entries.values()
    for name in ("äpfel", "xn--pfel-koa", "äpfel.one", "xn--pfel-koa.one"):
        assert name in entry.names
    assert entry.own == ("a", "a.one")


async def test_one_alias_in_two_projects_is_told_once(machine: Machine) -> None:
    """Once for a name on a network, as a warning and to whoever listens; explain shows it."""
    heard: list[str] = []
    machine.controller.warners.append(heard.append)
    for project in ("shop", "blog", "chat"):
        await add(machine, f"{project}-db-1", "one", "DB", "own-alias", project=project)
    assert len(heard) == 2
    assert machine.controller.warnings == heard
    assert "on network one both blog-db-1 (project blog) and shop-db-1 (project shop)" in heard[0]
    explained = machine.controller.explain("one")
    assert [line for line in explained if "are called db" in line]


async def test_replicas_are_no_reason_to_warn(machine: Machine) -> None:
    """An alias that one project shares among its own, or users among theirs, is meant so."""
    for number in range(3):
        await add(machine, f"shop-web-{number}", "one", "web", project="shop")
        await add(machine, f"plain-{number}", "one", "all")
    await add(machine, "blog-web-1", "two", "web", project="blog")
    assert machine.controller.warnings == []


async def test_a_container_called_like_anothers_alias_is_told(machine: Machine) -> None:
    """Who has the name as its own is what strangers find, and the warning says so."""
    await add(machine, "db", "one")
    await add(machine, "shop-db-1", "one", "db", project="shop")
    (warning,) = machine.controller.warnings
    assert warning.endswith("others find db")


async def test_other_servers_are_heard_of_at_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks the host's servers asks the new ones; who has servers of his own does not."""
    monkeypatch.setattr(upstreams, "LOOK_SECONDS", 0.01)
    own = replace(machine.box("own"), dns=("10.9.9.9",))
    await machine.controller.open_sandbox(own, [("one", EndpointRequest())])
    await add(machine, "a")
    following = asyncio.create_task(machine.controller.follow_upstreams())
    for text, expected in (
        ("nameserver 192.0.2.54\nnameserver 127.0.0.11\n", {"192.0.2.54"}),
        ("", set()),
        ("nameserver fe80::1%eth0\nnameserver 192.0.2.55\n", {"fe80::1%eth0", "192.0.2.55"}),
    ):
        await asyncio.sleep(0.05)
        machine.resolv_conf.write_text(text)
        for _ in range(500):
            views = machine.dataplane.views
            found = {str(up.address) for v in views.values() for up in v.upstreams if not up.inside}
            if found == expected:
                break
            await asyncio.sleep(0.02)
        assert found == expected
        assert views[own.id].upstreams == (Upstream(ip_address("10.9.9.9"), inside=True),)
    following.cancel()


async def test_own_addresses_make_no_room_for_others(machine: Machine) -> None:
    """Three servers are asked; ourselves is not one of them."""
    text = "nameserver 127.0.0.11\n" + "".join(f"nameserver 192.0.2.{n}\n" for n in range(1, 6))
    machine.resolv_conf.write_text(text)
    view = await add(machine, "a")
    assert [str(up.address) for up in view.upstreams] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_servers_keep_their_zone() -> None:
    """A link-local server cannot be reached without it."""
    assert names.nameservers("nameserver fe80::1%eth0") == (ip_address("fe80::1%eth0"),)
