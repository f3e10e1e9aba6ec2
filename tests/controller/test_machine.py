"""Any history of networks and sandboxes, with crashes and vandals, ends as the world says."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from fairlead.firewall.backends import BACKENDS
from fairlead.kernel.fake import FakeKernel
from fairlead.kernel.port import Place
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import FairleadError
from fairlead.model.network import NetworkRequest
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM
from fairlead.model.state import HOST, IPNetwork
from tests.controller.bench import Machine

T = TypeVar("T")
NEAR = "192.0.2.0/24;2001:db8::/32"
FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


class Histories(RuleBasedStateMachine):
    """Each rule may be cut short by the death of the process after any step."""

    @initialize(backend=st.sampled_from(BACKENDS))
    def boot(self, backend: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir=FOLDER)
        self.machine = Machine(Path(self.folder.name), backend=backend)
        self.machine.kernel.foreign.add(("link", HOST, "eth0"))
        self.run(self.machine.boot())
        self.count = 0
        self.broken = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def do(self, work: Coroutine[Any, Any, Any], death: int | None) -> None:
        """Run one operation, perhaps with a death in it; a refusal is an answer too."""
        if death is not None:
            self.machine.doom(death)
        try:
            self.run(self.machine.survive(work))
        except FairleadError:
            assert death is not None or self.broken, "refused for no reason"
        if self.machine.store.dead:
            self.broken = False
        self.machine.kernel.fault = None

    deaths = st.none() | st.integers(0, 25)

    @rule(
        death=deaths,
        internal=st.booleans(),
        icc=st.booleans(),
        families=st.sampled_from([(True, False), (True, True), (False, True)]),
        mode=st.sampled_from(["nat", "nat-unprotected", "routed"]),
        lists=st.sampled_from([{}, {PUBLISH_FROM: NEAR}, {EGRESS: NEAR}, {EGRESS: "none"}]),
    )
    def create_network(
        self,
        death: int | None,
        internal: bool,
        icc: bool,
        families: tuple[bool, bool],
        mode: str,
        lists: dict[str, str],
    ) -> None:
        self.count += 1
        options = {
            "com.docker.network.bridge.enable_icc": str(icc).lower(),
            "com.docker.network.bridge.gateway_mode_ipv6": mode,
            **lists,
        }
        four, six = families
        request = NetworkRequest(
            f"net{self.count}",
            internal=internal,
            options=options,
            enable_ipv4=four,
            enable_ipv6=six,
        )
        self.do(self.machine.controller.create_network(request), death)

    @rule(
        death=deaths,
        parent=st.sampled_from(["", "eth0", "eth0.10", "eth0.11"]),
        mode=st.sampled_from(["macvlan bridge", "macvlan private", "ipvlan l2", "ipvlan l3s"]),
        host_access=st.booleans(),
        six=st.booleans(),
    )
    def create_on_parent(
        self, death: int | None, parent: str, mode: str, host_access: bool, six: bool
    ) -> None:
        """Several may share a parent, which is made for the first and goes with the last."""
        self.count += 1
        driver, word = mode.split()
        options = {f"{driver}_mode": word} | ({"parent": parent} if parent else {})
        if host_access and word != "private":
            options["fairlead.host_access"] = "true"
        name = f"net{self.count}"
        request = NetworkRequest(name, driver=driver, options=options, enable_ipv6=six)
        world = self.machine.controller.world
        sharing = {n.driver for n in world.networks.values() if parent and n.parent == parent}
        if sharing - {"macvlan"} or (sharing and driver == "ipvlan"):
            with contextlib.suppress(FairleadError):
                self.run(self.machine.controller.create_network(request))
            assert self.machine.controller.world.called(name) is None
        else:
            self.do(self.machine.controller.create_network(request), death)

    @precondition(lambda self: self.free_networks())
    @rule(death=deaths, data=st.data())
    def remove_network(self, death: int | None, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(self.free_networks()))
        self.do(self.machine.controller.remove_network(ref), death)

    @rule(
        death=deaths,
        data=st.data(),
        published=st.booleans(),
        said=st.sampled_from([{}, {PUBLISH_FROM: NEAR}]),
        sources=st.sampled_from([(), (ip_network("192.0.2.7/32"),)]),
    )
    def open_sandbox(
        self,
        death: int | None,
        data: st.DataObject,
        published: bool,
        said: dict[str, str],
        sources: tuple[IPNetwork, ...],
    ) -> None:
        self.count += 1
        nets = data.draw(st.lists(st.sampled_from(self.bridges()), max_size=2, unique=True))
        joins = [
            (net, EndpointRequest(aliases=("same",) if net != "bridge" else (), options=said))
            for net in nets
        ]
        wanted = PortRequest("tcp", 80, host_port=20000 + self.count, sources=sources)
        ports = [wanted] if published else []
        self.do(
            self.machine.controller.open_sandbox(self.machine.box(f"c{self.count}"), joins, ports),
            death,
        )

    @rule(death=deaths, data=st.data(), routed=st.booleans())
    def adopt(self, death: int | None, data: st.DataObject, routed: bool) -> None:
        """A namespace of somebody else's, with an eth0 of its own, becomes a sandbox."""
        self.count += 1
        nets = data.draw(st.lists(st.sampled_from(self.bridges()), max_size=2, unique=True))
        path = f"/run/netns/n{self.count}"
        links = frozenset({"lo", "eth0"})
        self.machine.kernel.places[path] = Place(path, links, (4,) if routed else ())
        box = replace(self.machine.box(f"a{self.count}"), free=True, source=path)
        joins = [(net, EndpointRequest()) for net in nets]
        self.do(self.machine.controller.open_sandbox(box, joins), death)
        world = self.machine.controller.world
        inside = {e.inside for b in world.sandboxes.values() if b.source == path
                  for e in world.in_sandbox(b.id)}  # fmt: skip
        assert "eth0" not in inside

    @precondition(lambda self: self.machine.kernel.places)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        """Whoever made a namespace lets go of it; a pin of ours keeps it."""
        places = self.machine.kernel.places
        del places[data.draw(st.sampled_from(sorted(places)))]

    @precondition(lambda self: self.machine.controller.world.sandboxes)
    @rule(death=deaths, data=st.data())
    def close_sandbox(self, death: int | None, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.machine.controller.world.sandboxes)))
        self.do(self.machine.controller.close_sandbox(chosen), death)

    @precondition(lambda self: self.machine.controller.world.sandboxes)
    @rule(death=deaths, data=st.data())
    def join_or_leave(self, death: int | None, data: st.DataObject) -> None:
        world = self.machine.controller.world
        chosen = data.draw(st.sampled_from(sorted(world.sandboxes)))
        net = data.draw(st.sampled_from(self.bridges()))
        mine = {world.networks[e.network].name for e in world.in_sandbox(chosen)}
        controller = self.machine.controller
        if net in mine:
            self.do(controller.leave(chosen, net), death)
        else:
            self.do(controller.join(chosen, net, EndpointRequest()), death)

    @precondition(lambda self: self.things())
    @rule(data=st.data())
    def vandal(self, data: st.DataObject) -> None:
        """Somebody deletes a thing of ours, and what stands on it falls."""
        self.machine.kernel.lose(data.draw(st.sampled_from(self.things())))
        self.broken = True

    @rule(backend=st.sampled_from(BACKENDS))
    def restart(self, backend: str) -> None:
        self.run(self.machine.halt())
        self.machine.backend(backend)
        self.run(self.machine.boot())
        self.broken = False
        self.machine.is_right()

    @invariant()
    def as_the_world_says(self) -> None:
        if hasattr(self, "machine") and not self.broken:
            self.machine.is_right()

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        self.run(self.machine.halt())
        self.run(self.machine.boot())
        self.machine.is_right()
        controller = self.machine.controller
        for chosen in list(controller.world.sandboxes):
            self.run(controller.close_sandbox(chosen))
        for ref in self.free_networks():
            self.run(controller.remove_network(ref))
        self.machine.is_right()
        left = {key[2] for key in self.machine.kernel.state if key[0] == "link"}
        assert left == {"docker0"}
        assert not [key for key in self.machine.kernel.state if key[0] == "netns"]
        assert not self.machine.dataplane.entries
        self.run(self.machine.halt())
        self.loop.close()
        self.folder.cleanup()

    def bridges(self) -> list[str]:
        world = self.machine.controller.world
        return sorted(
            n.name for n in world.networks.values() if n.driver == "bridge" or n.on_parent
        )

    def free_networks(self) -> list[str]:
        world = self.machine.controller.world
        return sorted(
            n.name for n in world.networks.values() if n.user_defined and not world.on_network(n.id)
        )

    def things(self) -> list[tuple[str, ...]]:
        kernel: FakeKernel = self.machine.kernel
        return sorted(key for key, item in kernel.state.items() if not item.LASTING)


Histories.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestHistories = Histories.TestCase
