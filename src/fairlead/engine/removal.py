"""The end of a container for good: its files, its record, its anonymous volumes."""

from __future__ import annotations

from fairlead.engine.events import Events, tell
from fairlead.engine.execs import Execs
from fairlead.engine.launch import Launch
from fairlead.engine.record import Container, Exited
from fairlead.engine.shelf import Shelf
from fairlead.engine.volumes import Volume, Volumes


class Removal:
    """Removes containers that do not run."""

    def __init__(
        self, shelf: Shelf, launch: Launch, volumes: Volumes, execs: Execs, events: Events
    ) -> None:
        self._shelf = shelf
        self._launch = launch
        self._volumes = volumes
        self._execs = execs
        self._events = events

    async def erase(self, container: Container, *, volumes: bool) -> None:
        """Remove everything of a container that does not run. Its lock is held."""
        container.change(removing=True, removing_volumes=volumes)
        try:
            await self._erase(container, volumes=volumes)
        except BaseException:
            # Whoever asks again is not told that somebody is at it.
            container.change(removing=False)
            raise
        tell(self._events, container, "destroy")
        exited = Exited(container.record.state.exit_code)
        container.tell("not-running", "next-exit", "removed", exited=exited)

    async def _erase(self, container: Container, *, volumes: bool) -> None:
        if not container.record.host.auto_remove:
            # Noted first, so that a crash half-way is seen. The others go at start anyhow.
            self._shelf.save(container)
        for session in container.sessions:
            session.end()
        await self._launch.erase(container)
        gone = self._anonymous(container) if volumes else []
        self._shelf.drop(container, *map(self._volumes.condemn, gone))
        self._execs.forget(container.id)
        for volume in gone:
            await self._volumes.destroy(volume)

    def _anonymous(self, container: Container) -> list[Volume]:
        """Anonymous volumes, which go with the container unless another has them too."""
        names = {point.name for point in container.record.mounts if point.type == "volume"}
        mine = [self._volumes.find(name) for name in sorted(names) if self._volumes.exists(name)]
        return [v for v in mine if v.anonymous and self._volumes.users(v.name) == [container.id]]


def in_the_way(container: Container) -> str:
    """Why a container cannot be removed just so."""
    if container.paused:
        return "container is paused and must be unpaused first"
    if container.status == "restarting":
        return "container is restarting: stop the container before removing or force remove"
    return "container is running: stop the container before removing or force remove"
