"""The controller: the only writer of networks, and the library's face.

Reads take no lock: the world is immutable and swapped whole. A change asks the
outside world first, then takes the one lock, plans from the world as it is then
and commits.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from fairlead.controller import (
    names,
    requests,
    servers,
    upkeep,
    upstreams,
    want,
)
from fairlead.controller.commit import Committer
from fairlead.controller.crier import Crier
from fairlead.controller.doctor import Doctor
from fairlead.controller.healing import Healer
from fairlead.controller.join import Draw
from fairlead.controller.leases.lessor import Leases
from fairlead.controller.maker import whole
from fairlead.controller.resume import resume
from fairlead.controller.sandboxes import Sandboxes
from fairlead.controller.start import Settings, start
from fairlead.controller.tracer import Tracer
from fairlead.ipam.addresses import check_endpoint
from fairlead.model.endpoint import Endpoint, EndpointRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.plan.explain import explain


class Controller(Sandboxes):
    """Networks, sandboxes and endpoints of one host."""

    def __init__(
        self,
        committer: Committer,
        settings: Settings,
        folder: Path,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        draw: Draw = secrets.token_hex,
    ) -> None:
        super().__init__(committer, settings, folder, resolv_conf, draw)
        self.healer = Healer(
            committer, self._lock, lambda: self.world, self._warn, self._tell_overlap
        )
        self.healer.looked.append(lambda: self.unreached.look(self.world, committer.host))
        self.leases = Leases(self)
        self.outside = self.leases
        self.committed.append(self.leases.heed)
        self._crier = Crier(committer, self)
        self.committed.append(self._crier.heed)
        self.doctor = Doctor(
            committer, self._lock, lambda: self.world, lambda: self.warnings, self._upstreams
        )
        self.tracer = Tracer(committer, lambda: self.world)

    async def start(self, alive: Callable[[Sandbox], bool] = lambda box: True) -> tuple[Step, ...]:
        """Load the world, drop sandboxes that are not alive, repair the host; the steps taken.

        Raises Conflict when a bridge or chain of our name belongs to somebody else.
        """
        async with self._lock:
            begun = await start(
                self._committer,
                self.settings,
                alive,
                self._upstreams(),
                self._draw,
                self.outside.foreign,
            )
        self.world = begun.world
        self.unique_local = begun.unique_local
        self.warnings = begun.warnings
        if begun.steps:
            # Nobody may ever remove anything else that would take these along.
            self._reap_soon()
        self.unreached.look(self.world, self._committer.host)
        self._crier.begin()
        self._resume()
        return begun.steps

    async def close(self) -> None:
        """Stop; what runs goes on running."""
        await self._hush()
        await self._crier.close()
        await self.leases.close()
        await self.healer.close()
        await self._finish()
        self._committer.close()

    async def watch(self) -> None:
        """Start the dataplane again whenever it ends; returns only when cancelled."""
        while True:
            await self._committer.dataplane.gone()
            async with self._lock:
                self.warnings += await resume(self._committer, self.world, self._upstreams())

    async def follow_upstreams(self) -> None:
        """Let containers ask the host's name servers as they are; returns only when cancelled."""
        async for found in upstreams.changed(self._resolv_conf):
            async with self._lock:
                await upstreams.tell(self._committer.dataplane, self.world, found)

    # The whole host

    @whole
    async def repair(self) -> tuple[Step, ...]:
        """Make kernel and dataplane what the world says they are; the steps that this took."""
        async with self._lock:
            committer, world = self._committer, self.world
            steps = await committer.on_thread(lambda: committer.repair(world))
            self.warnings += await resume(committer, world, self._upstreams())
        return steps

    async def plan_repair(self) -> tuple[Step, ...]:
        """The steps with which a repair would begin."""
        async with self._lock:
            committer, world = self._committer, self.world
            return await committer.on_thread(lambda: upkeep.damage(committer, world))

    @whole
    async def erase(self) -> None:
        """Take everything of ours from the host, sandboxes with what runs in them, and stop."""
        async with self._lock:
            committer = self._committer
            await committer.on_thread(lambda: upkeep.erase(committer))
            self.world = World()
            await committer.dataplane.stop()

    # Reading

    def check_endpoint(self, network: str, request: EndpointRequest) -> None:
        """Whether a container may ask that of a network. Raises Invalid with every fault."""
        check_endpoint(self.network(network), request)
        requests.check_enforced(request.options, self._committer.host.firewall)

    def names(self, endpoint: Endpoint) -> tuple[str, ...]:
        """The names of an endpoint on its network."""
        return names.dns_names(self.world, endpoint)

    def uses_resolver(self, sandbox: str) -> bool:
        """Whether 127.0.0.11 answers in a sandbox."""
        return want.uses_resolver(self.world, sandbox)

    def servers_of_networks(self, sandbox: str) -> tuple[str, ...]:
        """The name servers that its networks say it asks, where it has none of its own."""
        box = self.world.sandboxes.get(sandbox)
        return () if box is None else tuple(map(str, servers.of_network(self.world, box)))

    def explain(self, ref: str) -> list[str]:
        """Each kernel object that stands for a network or a container, and why."""
        lines = explain(self.world, ref, *self._committer.claimed(self.world))
        return lines + [f"  warning: {text}" for text in names.contests(self.world, ref)]
