"""The engine without a runtime: a real controller on a fake kernel, and what needs no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.engine import creation
from fairlead.engine.creation import Creation
from fairlead.engine.etc import Etc
from fairlead.engine.events import Events
from fairlead.engine.membership import Membership
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container
from fairlead.engine.settings import Settings
from fairlead.engine.shelf import Shelf
from fairlead.engine.volumes import Volumes
from fairlead.model.errors import NotFound
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.runtime.image import Image
from tests.controller.bench import Machine

BUSYBOX = {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"from": "image"}}


@dataclass
class Desk:
    """Where containers are made, named and connected; nothing runs."""

    folder: Path
    image: Mapping[str, Any] = field(default_factory=lambda: dict(BUSYBOX))
    settings: Settings = field(default_factory=Settings)

    async def open(self) -> Desk:
        """Start the controller with two networks more than usual."""
        self.machine = Machine(self.folder)
        await self.machine.boot()
        self.controller = self.machine.controller
        for name, subnet in (("n1", "10.1.0.0/24"), ("auto", "")):
            pools = (PoolRequest(subnet),) if subnet else ()
            await self.controller.create_network(NetworkRequest(name, pools=pools))
        self.shelf = Shelf(self.machine.store)
        self.events = Events(lambda: 0)
        self.networking = Networking(self.controller, self.shelf, self.settings)
        self.etc = Etc(self.networking, self.settings, self.shelf.get)
        self.membership = Membership(self.shelf, self.networking, self.etc, self.events)
        self.volumes = Volumes(
            self.folder / "volumes", self.machine.store, self.events, now, lambda name: []
        )
        self.creation = Creation(
            shelf=self.shelf,
            volumes=self.volumes,
            networking=self.networking,
            settings=self.settings,
            directory=self.folder / "containers",
            image=self._image,
            runtime=lambda: "crun",
            clock=now,
        )
        return self

    def _image(self, name: str) -> Image:
        if name != "busybox":
            raise NotFound(f"No such image: {name}:latest")
        return Image("sha256:1", ("busybox:latest",), (), "", 0, self.image, "amd64", "linux")

    async def create(
        self, name: str = "", *, api: tuple[int, int] = (1, 50), **body: Any
    ) -> tuple[Container, list[str]]:
        """Create a container as the API does."""
        request = creation.decode(name, {"Image": "busybox", **body}, api)
        return await self.creation.create(request)

    async def run(self, container: Container) -> None:
        """Open its sandbox and write its files, as a start does."""
        await self.networking.open(container)
        container.become(status="running")
        self.etc.write(container)

    async def close(self) -> None:
        """The daemon ends."""
        await self.machine.halt()


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
