"""The engine: puts its parts together, and finds its containers again after a restart."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from fairlead.engine.changes import Changes
from fairlead.engine.containers import Containers, Parts
from fairlead.engine.copying import Copying
from fairlead.engine.creation import Creation
from fairlead.engine.etc import Etc
from fairlead.engine.events import Events
from fairlead.engine.execs import Execs
from fairlead.engine.health import Watcher
from fairlead.engine.holds import holds
from fairlead.engine.launch import Launch
from fairlead.engine.lifecycle import Lifecycle
from fairlead.engine.membership import Membership
from fairlead.engine.needs import Documents, NetworkNews, Networks
from fairlead.engine.networking import Networking
from fairlead.engine.publishing import Publishing
from fairlead.engine.recovery import Recovery
from fairlead.engine.removal import Removal
from fairlead.engine.settings import Settings
from fairlead.engine.shelf import Shelf
from fairlead.engine.streams import Streams
from fairlead.engine.tasks import Tasks
from fairlead.engine.volumes import Volumes
from fairlead.runtime.image import Images, Use
from fairlead.runtime.oci import Oci
from fairlead.runtime.rootfs import Roots

READDRESSED = "update"
"""What happens to a network when it gives a container another address."""


def _now() -> datetime:
    return datetime.now(UTC)


class Engine:
    """All containers of one daemon."""

    def __init__(
        self,
        controller: Networks,
        store: Documents,
        oci: Oci,
        images: Images,
        data_root: Path,
        exec_root: Path,
        settings: Settings | None = None,
    ) -> None:
        self.controller = controller
        self.oci = oci
        self.images = images
        self.data_root = data_root
        self.exec_root = exec_root
        self.settings = settings or Settings()
        self.events = Events(time.time_ns)
        directory = data_root / "containers"
        self._shelf = Shelf(store)
        self._tasks = Tasks()
        self._roots = Roots(images, directory)
        self.volumes = Volumes(data_root / "volumes", store, self.events, _now, self._users)
        self.execs = Execs(self._shelf.find, oci, self.events, self._tasks)
        self.containers = Containers(self._parts(directory))
        self._directory = directory

    def _parts(self, directory: Path) -> Parts:
        shelf, events, oci, roots = self._shelf, self.events, self.oci, self._roots
        networking = Networking(self.controller, shelf, self.settings)
        etc = Etc(networking, self.settings, shelf.get)
        launch = Launch(
            shelf=shelf,
            networking=networking,
            etc=etc,
            oci=oci,
            roots=roots,
            settings=self.settings,
            clock=_now,
            health=Watcher(shelf, self.execs, events, self._tasks, _now),
            events=events,
        )
        self._lifecycle = Lifecycle(
            shelf=shelf,
            launch=launch,
            etc=etc,
            oci=oci,
            events=events,
            tasks=self._tasks,
            removal=Removal(shelf, launch, self.volumes, self.execs, events),
            clock=_now,
        )
        self._membership = Membership(shelf, networking, etc, events)
        return Parts(
            shelf=shelf,
            creation=Creation(
                shelf=shelf,
                volumes=self.volumes,
                networking=networking,
                settings=self.settings,
                directory=directory,
                image=self.images.get,
                runtime=lambda: oci.name,
                clock=_now,
            ),
            lifecycle=self._lifecycle,
            publishing=Publishing(shelf, networking, events),
            membership=self._membership,
            changes=Changes(shelf, oci),
            copying=Copying(roots, etc.sources),
            streams=Streams(oci, self._tasks),
            networking=networking,
            events=events,
            tasks=self._tasks,
            oci=oci,
            images=self.images,
            roots=roots,
        )

    async def start(self) -> None:
        """Find the containers that run, settle those that do not, start those that should."""
        await self.images.open()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._shelf.open()
        self.volumes.open()
        self.controller.listeners.append(self._heard)
        self.controller.held = lambda network: holds(self._shelf, network)
        recovery = Recovery(
            shelf=self._shelf,
            lifecycle=self._lifecycle,
            controller=self.controller,
            networking=self.containers.networking,
            oci=self.oci,
            roots=self._roots,
            directory=self._directory,
        )
        await recovery.run()
        world = self.controller.world
        for ep in world.endpoints.values():
            # Another address may have come before anybody listened.
            if ep.lease is not None:
                self._membership.readdressed(world.sandboxes[ep.sandbox].container)

    async def close(self) -> None:
        """Let go of everything; containers live on."""
        self.events.close()
        await self._tasks.close()

    def _heard(self, news: NetworkNews) -> None:
        attributes = {"name": news.network.name, "type": news.network.driver}
        if news.container:
            attributes = {"container": news.container, **attributes}
            if news.action == READDRESSED:
                self._membership.readdressed(news.container)
        if news.route:
            attributes = {**attributes, "route": news.route}
        self.events.emit("network", news.action, news.network.id, attributes)

    def _users(self, volume: str) -> list[str]:
        return [
            container.id
            for container in self._shelf.all()
            if any(m.type == "volume" and m.name == volume for m in container.record.mounts)
        ]

    def image_users(self, image_id: str) -> list[Use]:
        """The containers that were made from an image."""
        return [
            Use(c.id, c.running, c.record.image_ref)
            for c in self._shelf.all()
            if c.record.image == image_id
        ]
