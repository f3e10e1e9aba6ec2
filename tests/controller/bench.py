"""A host for the controller without Linux: fake kernel, real store, a dataplane of one object."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fairlead.controller import want
from fairlead.controller.ask import Alone, Outside
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.start import Settings
from fairlead.dataplane.change import (
    AddProxy,
    AddResolver,
    Change,
    DropNames,
    DropProxy,
    DropResolver,
    PointProxy,
    PutNames,
    SetView,
)
from fairlead.firewall.backends import firewall
from fairlead.kernel.fake import FakeKernel
from fairlead.model.iptables import Policy
from fairlead.model.marks import Marks
from fairlead.model.sandbox import SandboxRequest
from fairlead.model.state import HOST, IPAddress, Scope, Sysctl, state
from fairlead.model.step import Step
from fairlead.store.sqlite import Document, Store

T = TypeVar("T")
MARKS = Marks("c0ffee00")
FRESH = (Sysctl(HOST, "net/ipv4/ip_forward", "0"), Policy("ip", "filter", "FORWARD", "ACCEPT"))


class Crash(BaseException):
    """The process died here."""


@dataclass
class FakeProxy:
    id: str
    proto: str


@dataclass
class Held:
    """What `state` tells."""

    resolvers: set[str] = field(default_factory=set)
    proxies: list[FakeProxy] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)


class FakeDataplane:
    """Serves nobody, but refuses what the real one refuses."""

    def __init__(self) -> None:
        self.views: dict[str, Any] = {}
        self.entries: dict[tuple[str, str], PutNames] = {}
        self.proxies: dict[str, tuple[str, int]] = {}
        self.kinds: dict[str, str] = {}
        self.dead = False

    async def ensure(self) -> bool:
        return False

    async def state(self) -> Held:
        names: dict[str, set[str]] = {}
        for zone, endpoint in self.entries:
            names.setdefault(zone, set()).add(endpoint)
        return Held(
            set(self.views), [FakeProxy(id_, self.kinds[id_]) for id_ in self.proxies], names
        )

    async def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self.dead:
                raise Crash
            self._one(change)

    async def close(self) -> None:
        """Nothing is open."""

    def _one(self, change: Change) -> None:
        match change:
            case PutNames():
                self.entries[change.zone, change.endpoint] = change
            case DropNames():
                self.entries.pop((change.zone, change.endpoint), None)
            case AddResolver():
                assert change.namespace > 0
                self.views[change.sandbox] = change.view
            case SetView():
                assert change.sandbox in self.views, "a view for a sandbox that is not served"
                self.views[change.sandbox] = change.view
            case DropResolver():
                self.views.pop(change.sandbox, None)
            case AddProxy():
                assert change.socket > 0
                self.kinds[change.id] = change.protocol
                self.proxies[change.id] = (str(change.address), change.port)
            case PointProxy():
                assert change.id in self.proxies, "a proxy that is not there"
                self.proxies[change.id] = (str(change.address), change.port)
            case DropProxy():
                self.proxies.pop(change.id, None)


class DyingStore(Store):
    """A store that can be dead."""

    dead = False

    def _transact(
        self, statements: Sequence[tuple[str, tuple[object, ...]]], documents: Sequence[Document]
    ) -> None:
        if self.dead:
            raise Crash
        super()._transact(statements, documents)


class Machine:
    """A host on which controllers come and go."""

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        backend: str = "iptables",
        seed: str = "",
    ) -> None:
        self.path = folder / "fairlead.db"
        self.kernel = FakeKernel(state(list(FRESH)))
        self.dataplane = FakeDataplane()
        self.settings = settings or Settings()
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.53\n")
        self.store: DyingStore
        self.backend(backend)
        self.underlay: IPAddress | None = None
        self.underlay_mtu = 0
        self.outside: Outside = Alone()
        self._drawn = 0
        self._seed = seed
        self.controller: Controller

    def backend(self, name: str) -> None:
        """What the next controller writes its rules with."""
        self.walls = firewall(name, MARKS)

    def draw(self, count: int) -> str:
        """Hex digits that look random and are the same in every run."""
        self._drawn += 1
        return hashlib.shake_256(f"{self._seed}{self._drawn}".encode()).hexdigest(count)

    def box(self, name: str) -> SandboxRequest:
        """A sandbox of a container of that name."""
        return SandboxRequest(self.draw(32), self.draw(32), name, name)

    async def boot(self, alive: bool = True) -> tuple[Step, ...]:
        """Start a controller, whatever the last one left; its sandboxes are alive, or none is."""
        self.kernel.fault = None
        self.dataplane.dead = False
        self.store = DyingStore(self.path)
        committer = Committer(
            self.store,
            self.kernel,
            self.dataplane,  # type: ignore[arg-type]
            self.walls,
            want.Host(underlay=self.underlay, underlay_mtu=self.underlay_mtu),
        )
        self.controller = Controller(
            committer, self.settings, Path("/run/netns"), self.resolv_conf, self.draw
        )
        self.controller.outside = self.outside
        return await self.controller.start(lambda box: alive)

    async def halt(self) -> None:
        """The controller ends in good order."""
        await self.controller.close()
        self.store.close()

    def doom(self, steps: int) -> None:
        """After so many more steps in the kernel the process is dead, and all it touches."""
        left = steps

        def fault(step: Step) -> None:
            nonlocal left
            if left == 0:
                self.store.dead = self.dataplane.dead = True
                raise Crash
            left -= 1

        self.kernel.fault = fault

    async def end_all(self) -> None:
        """Remove all that there is, as its user would, and wait until nothing is owed."""
        controller = self.controller
        for box in list(controller.world.sandboxes):
            await controller.close_sandbox(box)
        for net in list(controller.world.networks.values()):
            if net.user_defined:
                await controller.remove_network(net.id)
        for _ in range(20_000):
            if not controller.world.errands:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"still owed: {list(controller.world.errands.values())}")

    async def survive(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do something that may kill the process; then start again."""
        try:
            return await work
        except Crash:
            self.store.dead = True
            await self.controller.close()
            self.store.close()
            await self.boot()
            return None

    def is_right(self) -> None:
        """The kernel and the dataplane hold what the world calls for, and nothing else."""
        committer = self.controller._committer
        wanted, _ = want.states(want.claims(self.controller.world, committer.walls, committer.host))
        scope = Scope(settings=frozenset(k for k, r in wanted.items() if r.LASTING))
        have = self.kernel.observe(scope)
        differing = {k for k in have.keys() | wanted.keys() if have.get(k) != wanted.get(k)}
        wrong = "\n".join(f"{have.get(k)} is to be {wanted.get(k)}" for k in sorted(differing))
        assert not differing, wrong
        world = self.controller.world
        served = {b.id for b in world.sandboxes.values() if self.controller.uses_resolver(b.id)}
        assert set(self.dataplane.views) == served
        assert set(self.dataplane.proxies) == {
            p.id for b in world.sandboxes.values() for p in b.ports if not p.routed
        }
