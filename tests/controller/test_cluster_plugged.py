"""Networks of a plugin whose scope is global, on the hosts of a cluster: whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest

from fairlead.controller.ask import NOBODY, Say
from fairlead.model.endpoint import Endpoint, EndpointRequest, PortRequest
from fairlead.model.errors import Forbidden, Unavailable
from fairlead.model.network import Network, NetworkRequest, Pool, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPInterface
from fairlead.store.memory import Memory
from tests.controller.bench import Machine
from tests.controller.cluster import Host, eventually

RED = NetworkRequest("red", driver="village")


@dataclass
class Village:
    """A plugin that agrees to everything, and remembers which networks it has."""

    nets: set[str] = field(default_factory=set)
    pools_given: set[str] = field(default_factory=set)

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Its networks are those with its name."""
        return net.driver == "village"

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """Addresses are its business where that is asked for."""
        ledger = self if net.ipam_driver == "village" else None
        return Say(ledger, (self,), Scope.GLOBAL, remote=True) if self.foreign(net) else NOBODY

    async def let_go(self, net: Network) -> None:
        """It is not asked."""

    async def names(self) -> Collection[str]:
        """Its own."""
        return ("village",)

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """One."""
        self.pools_given.add(net.id)
        return (Pool(ip_network("10.5.0.0/24"), ip_address("10.5.0.1"), id=net.id),)

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """It is free."""
        self.pools_given.discard(pool.id)

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """That of the only container."""
        return (ip_interface("10.5.0.2/24"),)

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """It is free."""

    async def create(self, net: Network) -> Network:
        """As it was asked for."""
        self.nets.add(net.id)
        return net

    async def delete(self, net: Network) -> None:
        """It is gone."""
        self.nets.discard(net.id)

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """Without a link."""
        return ep

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """Nothing of it is left."""

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """It remembers."""

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """It would have nothing to do."""

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """It would have nothing to do."""


@dataclass
class Common(Village):
    """One whose networks are the cluster's, which has something happen when it lets go of one."""

    meanwhile: Callable[[], object] = bool

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """The cluster has a say in it."""
        return replace(await super().find(net, patient), common=True)

    async def let_go(self, net: Network) -> None:
        """It does."""
        self.meanwhile()


async def test_an_end_that_fails_here_is_told_all_the_same(tmp_path: Path) -> None:
    """The cluster has let go of a network when the disk is full: its plugin hears of that."""
    machine, plugin = Machine(tmp_path), Common()
    machine.outside = plugin
    await machine.boot()
    await machine.controller.create_network(RED)
    disk = machine.store._db
    plugin.meanwhile = lambda: disk.execute("PRAGMA query_only=1")
    with pytest.raises(Unavailable, match="the store cannot be written"):
        await machine.controller.remove_network("red")
    disk.execute("PRAGMA query_only=0")
    assert plugin.nets
    await eventually(lambda: not plugin.nets)
    await eventually(lambda: not machine.controller.world.errands)
    plugin.meanwhile = bool
    await machine.controller.remove_network("red")
    await machine.halt()


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[tuple[Host, Host]]:
    """Two that are in no cluster yet, each with the plugin."""
    memory = Memory()
    found = []
    for number, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name, seed=name)
        machine.outside = Village()
        host = Host(name, f"192.0.2.{11 + number}", machine, memory, plugins=machine.outside)
        await machine.boot()
        found.append(host)
    yield found[0], found[1]
    for host in found:
        await host.down()


async def enter(*hosts: Host) -> None:
    """Be members from the next start on."""
    for host in hosts:
        await host.machine.halt()
        await host.up()
        await host.member.ready.wait()


async def test_a_network_of_before_the_cluster_stays(hosts: tuple[Host, Host]) -> None:
    """As it was, on the host where it was made; people are told; made anew it is everybody's."""
    a, b = hosts
    made = await a.machine.controller.create_network(RED)
    mine = await b.machine.controller.create_network(RED)
    await enter(a, b)

    for host, net in ((a, made), (b, mine)):
        controller = host.machine.controller
        assert controller.network("red") == net
        assert net.scope is Scope.GLOBAL
        said = [w for w in controller.warnings if w.startswith("network red (village)")]
        assert len(said) == 1
        assert "make it again" in said[0]
    await a.run("one", "red")
    common = await a.machine.controller.create_network(NetworkRequest("new", driver="village"))
    await eventually(lambda: b.knows("new"))
    assert not a.memory.read(f"docker/network/v1.0/network/{made.id}")
    assert b.machine.controller.network("red").id == mine.id
    assert not a.memory.below("docker/network/v1.0/endpoint")

    await b.machine.controller.remove_network("red")
    assert not isinstance(b.plugins, Village) or b.plugins.nets == set()
    await b.machine.controller.remove_network(common.id)
    await b.machine.controller.create_network(RED)
    await eventually(lambda: any("network red of the cluster is not shown" in w for w in a.machine.controller.warnings))  # fmt: skip
    assert a.machine.controller.network("red").id == made.id


async def test_who_is_on_it_elsewhere_is_heard_before_the_plugin(hosts: tuple[Host, Host]) -> None:
    """A network that is refused stays with the plugin as well, which hears of its end once."""
    a, b = hosts
    await enter(a, b)
    net = await a.machine.controller.create_network(RED)
    await eventually(lambda: b.knows("red"))
    box = await b.run("one", "red")
    await b.down()
    await eventually(lambda: not a.peers("red"))
    assert isinstance(a.plugins, Village)
    with pytest.raises(Forbidden, match=r'active endpoints \(name:"one"'):
        await a.machine.controller.remove_network("red")
    assert a.plugins.nets == {net.id}
    assert not a.machine.controller.world.errands
    await b.up()
    await b.machine.controller.close_sandbox(box.id)
    await eventually(lambda: not a.peers("red"))
    await a.machine.controller.remove_network("red")
    assert a.plugins.nets == set()
    await eventually(lambda: not b.knows("red"))


async def test_a_network_that_comes_back_has_its_pool(hosts: tuple[Host, Host]) -> None:
    """Removed while the store was away, and refused later: the plugin took nothing back."""
    a, b = hosts
    await enter(a, b)
    request = NetworkRequest("red", driver="village", ipam_driver="village")
    net = await a.machine.controller.create_network(request)
    await eventually(lambda: b.knows("red"))
    box = await b.run("one", "red")
    await eventually(lambda: len(a.peers("red")) == 1)
    await b.down()
    await eventually(lambda: not a.peers("red"))
    a.memory.stop()
    await a.machine.controller.remove_network("red")
    a.memory.start()
    warned = a.machine.controller.warnings
    await eventually(lambda: any("active endpoints" in text for text in warned))
    await eventually(lambda: a.knows("red") and not a.machine.controller.world.errands)
    assert isinstance(a.plugins, Village)
    assert (a.plugins.nets, a.plugins.pools_given) == ({net.id}, {net.id})

    await b.up()
    await b.machine.controller.close_sandbox(box.id)
    await eventually(lambda: not a.peers("red"))
    await a.machine.controller.remove_network("red")
    assert (a.plugins.nets, a.plugins.pools_given) == (set(), set())
