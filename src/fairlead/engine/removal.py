"""The end of a container for good: its files, its record, its anonymous volumes."""

from __future__ import annotations

from fairlead.engine.events import Events, tell
from fairlead.engine.execs import Execs
from fairlead.engine.launch import Launch
from fairlead.engine.record import Container, Exited
from fairlead.engine.shelf import Shelf
from fairlead.engine.volumes import Volumes
from fairlead.model.errors import NotFound


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
        container.change(removing=True)
        if not container.record.host.auto_remove:
            # Noted first, so that a crash half-way is seen. The others go at start anyhow.
            self._shelf.save(container)
        for session in container.sessions:
            session.end()
        await self._launch.erase(container)
        self._shelf.drop(container)
        self._execs.forget(container.id)
        if volumes:
            await self._drop_volumes(container)
        tell(self._events, container, "destroy")
        exited = Exited(container.record.state.exit_code)
        container.tell("not-running", "next-exit", "removed", exited=exited)

    async def _drop_volumes(self, container: Container) -> None:
        """Anonymous volumes go with the container, unless another has them too."""
        for point in container.record.mounts:
            if point.type != "volume" or self._volumes.users(point.name):
                continue
            try:
                if self._volumes.find(point.name).anonymous:
                    await self._volumes.remove(point.name)
            except NotFound:
                continue


def in_the_way(container: Container) -> str:
    """Why a container cannot be removed just so."""
    if container.paused:
        return "container is paused and must be unpaused first"
    if container.status == "restarting":
        return "container is restarting: stop the container before removing or force remove"
    return "container is running: stop the container before removing or force remove"
