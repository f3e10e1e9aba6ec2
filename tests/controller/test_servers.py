"""Whom containers ask for names that nobody has here: their own servers, their network's, the host's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.controller.start import Settings
from fairlead.dns.answer import View
from fairlead.model import asking
from fairlead.model.asking import SERVERS, SINGLE_LABELS
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Invalid
from fairlead.model.network import NetworkRequest, PoolRequest
from tests.controller.bench import Machine

HOST = [("192.0.2.53", False)]
ONE, TWO = "10.53.0.1", "10.53.0.2"


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    found = Machine(tmp_path)
    await found.boot()
    yield found
    await found.halt()


async def create(machine: Machine, name: str, internal: bool = False, **options: str) -> None:
    """A network; `dns` and `dns_single_labels` are options of ours."""
    given = {f"fairlead.{key}": value for key, value in options.items()}
    request = NetworkRequest(name, options=given, internal=internal)
    await machine.controller.create_network(request)


async def add(
    machine: Machine, *nets: str, dns: tuple[str, ...] = (), default: bool = False
) -> View:
    """What a new container on these networks sees."""
    request = replace(machine.box("".join(nets)), dns=dns, dns_default=default)
    await machine.controller.open_sandbox(request, [(net, EndpointRequest()) for net in nets])
    view: View = machine.dataplane.views[request.id]
    return view


def asked(view: View) -> list[tuple[str, bool]]:
    """The servers, and whether they are asked from the container's namespace."""
    return [(str(server.address), server.inside) for server in view.upstreams]


async def test_the_servers_of_a_network(machine: Machine) -> None:
    """Before the host's and the daemon's, from inside; after the container's own."""
    await create(machine, "plain")
    await create(machine, "red", dns=f"{ONE},{TWO}")
    mine, daemons = ("198.51.100.1",), ("198.51.100.2",)
    both = [(ONE, True), (TWO, True)]
    assert asked(await add(machine, "plain")) == HOST
    assert asked(await add(machine, "red")) == both
    assert asked(await add(machine, "red", dns=daemons, default=True)) == both
    assert asked(await add(machine, "plain", dns=daemons, default=True)) == [(daemons[0], True)]
    assert asked(await add(machine, "red", dns=mine)) == [(mine[0], True)]


async def test_of_several_networks(machine: Machine) -> None:
    """The one that leads out has the word, and what it says changes with it."""
    await create(machine, "aa")
    await create(machine, "bb", dns=ONE)
    await create(machine, "cc", internal=True, dns=TWO)
    assert asked(await add(machine, "aa", "bb")) == HOST
    assert asked(await add(machine, "bb", "cc")) == [(ONE, True)]
    request = machine.box("moves")
    joins = [("bb", EndpointRequest())]
    box = await machine.controller.open_sandbox(request, joins)
    await machine.controller.join(box.id, "aa", EndpointRequest(priority=1))
    assert asked(machine.dataplane.views[box.id]) == HOST
    await machine.controller.leave(box.id, "aa")
    assert asked(machine.dataplane.views[box.id]) == [(ONE, True)]


async def test_of_networks_that_lead_nowhere(machine: Machine) -> None:
    """One that was chosen is asked as far as packets go; the host's are not."""
    await create(machine, "deep", internal=True)
    await create(machine, "own", internal=True, dns=TWO)
    assert not (await add(machine, "deep")).forward
    view = await add(machine, "deep", "own")
    assert (asked(view), view.forward) == ([(TWO, True)], True)


async def test_a_network_that_minds_single_labels(machine: Machine) -> None:
    """Speaks for all that its containers ask: nobody knows of which network a name is."""
    await create(machine, "aa")
    await create(machine, "bb", dns_single_labels="false")
    assert (await add(machine, "aa")).single_labels
    assert not (await add(machine, "bb")).single_labels
    assert not (await add(machine, "aa", "bb")).single_labels


async def test_for_all_networks(tmp_path: Path) -> None:
    """By the daemon's defaults; what a network says itself counts."""
    machine = Machine(tmp_path, Settings(network_defaults={"bridge": {SINGLE_LABELS: "false"}}))
    await machine.boot()
    await create(machine, "usual")
    await create(machine, "open", dns_single_labels="true")
    assert not (await add(machine, "usual")).single_labels
    assert (await add(machine, "open")).single_labels
    assert machine.controller.network("usual").options[SINGLE_LABELS] == "false"
    await machine.halt()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no name server is named"),
        ("ns.example.com", "'ns.example.com' is no address"),
        ("192.0.2.0/24", "'192.0.2.0/24' is no address"),
        ("127.0.0.53", "is each container's own loopback"),
        ("::1", "is each container's own loopback"),
        ("0.0.0.0", "is nobody's address"),
        ("ff02::fb", "is nobody's address"),
        ("::ffff:192.0.2.1", "is IPv4 in disguise"),
        ("fe80::1", "needs its interface"),
        ("192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4", "more than 3 name servers"),
    ],
)
async def test_servers_that_cannot_be(machine: Machine, text: str, words: str) -> None:
    """Are refused for any driver, in one line that says why; nothing is made."""
    for driver in ("bridge", "macvlan"):
        request = NetworkRequest("x", driver, (PoolRequest("10.1.0.0/24"),), {SERVERS: text})
        with pytest.raises(Invalid, match=f"^invalid {SERVERS}: .*{words}$"):
            await machine.controller.create_network(request)
    assert machine.controller.world.called("x") is None
    # Another host of the cluster may say so all the same.
    assert asking.servers({SERVERS: text}) == ()


async def test_ways_to_write_them(machine: Machine) -> None:
    """With commas, semicolons and blanks, the same one once; inspect shows what was written."""
    await create(machine, "x", dns=f"{ONE}; {TWO} {ONE},fe80::1%eth0")
    assert [text for text, _ in asked(await add(machine, "x"))] == [ONE, TWO, "fe80::1%eth0"]
    assert machine.controller.network("x").options[SERVERS] == f"{ONE}; {TWO} {ONE},fe80::1%eth0"


async def test_a_flag_that_is_none(machine: Machine) -> None:
    """Is refused; what another host wrote is taken for the stricter of both."""
    with pytest.raises(Invalid, match=f"failed to parse {SINGLE_LABELS} value: maybe"):
        await create(machine, "x", dns_single_labels="maybe")
    assert not asking.single_labels({SINGLE_LABELS: "maybe"})
