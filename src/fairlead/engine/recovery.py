"""After the daemon was away: what runs is taken over, what ended is settled.

The runtime knows what lives and how the others ended, the controller has
repaired the networks before, and the store says what there should be. Nothing
here trusts a record's word about what runs.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from fairlead.engine.lifecycle import Lifecycle
from fairlead.engine.log import structlog
from fairlead.engine.needs import Networks
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container
from fairlead.engine.shelf import Shelf
from fairlead.model.errors import FairleadError
from fairlead.runtime.oci import Oci, State
from fairlead.runtime.rootfs import Roots

log = structlog.get_logger("engine")

# Starting waits for programs; more at once would only wait for each other.
AT_ONCE = 4

LIVE = ("running", "paused")


class Recovery:
    """One run at the daemon's start."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        lifecycle: Lifecycle,
        controller: Networks,
        networking: Networking,
        oci: Oci,
        roots: Roots,
        directory: Path,
    ) -> None:
        self._shelf = shelf
        self._lifecycle = lifecycle
        self._controller = controller
        self._networking = networking
        self._oci = oci
        self._roots = roots
        self._directory = directory

    async def run(self) -> None:
        """Bring records, runtime, networks and directories together."""
        states = {state.id: state for state in await self._oci.recover()}
        ran = {c.id for c in self._shelf.all() if c.status in (*LIVE, "restarting")}
        # The living first: who shares a sandbox keeps it when its owner is found dead.
        everyone = [(c, states.pop(c.id, None)) for c in self._shelf.all()]
        for living in (True, False):
            for container, state in everyone:
                if (state is not None and state.status in LIVE) is living:
                    await self._settle(container, state)
        for stray in states:
            await self._oci.delete(stray, force=True)
        await self._close_sandboxes()
        await self._clear_directories()
        await self._revive(ran)

    async def _settle(self, container: Container, state: State | None) -> None:
        container.change(sandbox=self._sandbox(container))
        if state is not None and state.status in LIVE:
            self._lifecycle.adopt(container, state.pid, state.status)
            await self._agree(container)
            self._shelf.save(container)
            await self._publish(container)
            return
        how = None
        if state is not None and state.status == "stopped":
            how = await self._oci.wait(container.id)
        await self._lifecycle.bury(container, how)

    async def _publish(self, container: Container) -> None:
        """Make its ports what its record says: a change of them may have been cut short."""
        sandbox = self._networking.sandbox(container)
        wanted = self._networking.port_requests(container.record)
        if sandbox is None or sandbox.publish == wanted:
            return
        try:
            await self._controller.publish(sandbox.id, wanted)
        except FairleadError as error:
            log.warning("not published", container=container.id[:12], reason=str(error))

    async def _agree(self, container: Container) -> None:
        """Finish a disconnect that was cut short, and take back a connect.

        Both change the networks first and the record last.
        """
        world = self._controller.world
        if container.record.container_mode or container.sandbox not in world.sandboxes:
            return
        asked = container.record.networks
        live = [world.networks[e.network].name for e in world.joined(container.sandbox)]
        for name in live:
            if name not in asked:
                await self._controller.leave(container.sandbox, name)
        container.change(networks={n: s for n, s in asked.items() if n in live})

    def _sandbox(self, container: Container) -> str:
        sandboxes = self._controller.world.sandboxes.values()
        return next((s.id for s in sandboxes if s.container == container.id), "")

    async def _close_sandboxes(self) -> None:
        """Close what belongs to nobody: a start or removal was cut short."""
        used = {c.sandbox for c in self._shelf.all()}
        used |= {c.record.shares for c in self._shelf.all() if c.standing}
        for id, box in list(self._controller.world.sandboxes.items()):  # noqa: A001
            if id not in used and not box.free and not box.access:
                await self._controller.close_sandbox(id)

    async def _clear_directories(self) -> None:
        for path in self._directory.iterdir():
            if self._shelf.get(path.name) is None:
                await self._roots.remove(path.name)
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def _revive(self, ran: set[str]) -> None:
        """Start those that their policy wants running, a few at a time."""
        several = asyncio.Semaphore(AT_ONCE)

        async def one(container: Container) -> None:
            async with several:
                await self._revive_one(container, ran=container.id in ran)

        # Those whose network others share come before those.
        waves: dict[int, list[Container]] = {}
        for container in reversed(self._shelf.all()):
            waves.setdefault(self._depth(container), []).append(container)
        for _, wave in sorted(waves.items()):
            async with asyncio.TaskGroup() as group:
                for container in wave:
                    group.create_task(one(container))

    def _depth(self, container: Container) -> int:
        """How many containers there are between one and the network that it shares."""
        depth = 0
        seen = {container.id}
        other = self._shelf.get(container.record.container_mode)
        while other is not None and other.id not in seen:
            depth += 1
            seen.add(other.id)
            other = self._shelf.get(other.record.container_mode)
        return depth

    async def _revive_one(self, container: Container, *, ran: bool) -> None:
        try:
            await self._lifecycle.revive(container, ran=ran)
        except FairleadError as error:
            # One that cannot start is no reason not to serve the others.
            log.warning("not started", container=container.id[:12], reason=str(error))
