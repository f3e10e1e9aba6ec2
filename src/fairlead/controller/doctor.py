"""doctor: gathers what `plan.doctor` judges, and repairs what it calls drift."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fairlead.controller.commit import Committer
from fairlead.controller.resume import resume
from fairlead.model.errors import FairleadError
from fairlead.model.state import IPAddress, Scope
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.plan.doctor import Finding, Patient, diagnose


class Doctor:
    """Looks at one host, under the controller's lock."""

    def __init__(
        self,
        committer: Committer,
        lock: asyncio.Lock,
        world: Callable[[], World],
        warnings: Callable[[], Sequence[str]],
        upstreams: Callable[[], tuple[IPAddress, ...]],
    ) -> None:
        self._committer = committer
        self._lock = lock
        self._world = world
        self._warnings = warnings
        self._upstreams = upstreams

    async def examine(self) -> list[Finding]:
        """Everything that is to be said of the host; nothing is changed."""
        async with self._lock:
            return await self._examine()

    async def fix(self) -> tuple[tuple[Step, ...], list[Finding]]:
        """Make the host what it should be; the steps that this took, and what is left to say."""
        committer = self._committer
        async with self._lock:
            world = self._world()
            steps = await committer.on_thread(lambda: committer.repair(world))
            await resume(committer, world, self._upstreams())
            return steps, await self._examine()

    async def _examine(self) -> list[Finding]:
        committer, world = self._committer, self._world()
        alive = await self._is_alive()

        def look() -> list[Finding]:
            kernel = committer.kernel
            wanted, owners = committer.claimed(world)
            settings = frozenset(k for k, r in wanted.items() if r.LASTING)
            return diagnose(
                Patient(
                    world,
                    wanted,
                    kernel.observe(Scope(settings)),
                    owners,
                    kernel.exam(),
                    kernel.surroundings().routes,
                    tuple(self._warnings()),
                    alive,
                    committer.store.check(),
                )
            )

        return await committer.on_thread(look)

    async def _is_alive(self) -> bool:
        try:
            await self._committer.dataplane.state()
        except (FairleadError, OSError):
            return False
        return True
