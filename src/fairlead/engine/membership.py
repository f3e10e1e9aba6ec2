"""Which networks a container is on, and what it is called there: connect, disconnect, rename."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.engine import names, validate
from fairlead.engine.documents import EndpointSettings, read
from fairlead.engine.etc import Etc
from fairlead.engine.events import Events, tell
from fairlead.engine.holds import held
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container
from fairlead.engine.shelf import Shelf
from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.model.network import Network


class Membership:
    """Changes what containers are connected to, whether they run or not."""

    def __init__(self, shelf: Shelf, networking: Networking, etc: Etc, events: Events) -> None:
        self._shelf = shelf
        self._networking = networking
        self._etc = etc
        self._events = events

    async def connect(
        self, network_ref: str, container: Container, settings: Mapping[str, Any] | None
    ) -> None:
        """Put a container on a network. Refused in Docker's words."""
        network = self._networking.controller.network(network_ref)
        asked = read(settings, EndpointSettings)
        if asked.mac_address:
            validate.mac(asked.mac_address)
        async with container.lock:
            await self._networking.connect(container, network, asked)
            self._changed(container)

    async def disconnect(self, network_ref: str, ref: str, *, force: bool = False) -> None:
        """Take a container off a network. Refused in Docker's words."""
        network = self._networking.controller.network(network_ref)
        try:
            container = self._shelf.find(ref)
        except NotFound:
            if not force:
                raise
            # Force may name an endpoint instead, whether its container is there or not.
            await self._disconnect_stray(network, ref)
            return
        async with container.lock:
            await self._networking.disconnect(container, network)
            self._changed(container)

    async def _disconnect_stray(self, network: Network, ref: str) -> None:
        strays = self._networking.strays(network, ref)
        if len(strays) != 1:
            raise NotFound(f"endpoint {ref} not found")
        owner = self._networking.controller.world.sandboxes[strays[0].sandbox].container
        if self._shelf.get(owner) is not None:
            await self.disconnect(network.id, owner)
        else:
            await self._networking.controller.leave(strays[0].sandbox, network.id)

    async def unlink(self, path: str) -> None:
        """Take a legacy link back: ``web/db``. Raises Invalid or NotFound."""
        name, slash, alias = path.strip("/").partition("/")
        if not slash or not alias:
            raise Invalid("Conflict, cannot remove the default link name of the container")
        container = self._shelf.find(name)
        async with container.lock:
            record = container.record
            left = tuple(link for link in record.links if link[1] != alias)
            if left == record.links:
                raise NotFound(f"cannot get link: {alias} is no link of {name}")
            shown = [e for e in record.host.links or () if e.rpartition("/")[2] != alias]
            host = msgspec.structs.replace(record.host, links=shown or None)
            container.change(links=left, host=host)
            self._changed(container)

    async def rename(self, container: Container, name: str) -> None:
        """Give a container another name; it is known under it at once."""
        if not name.strip("/"):
            raise Invalid("Neither old nor new names may be empty")
        name = names.checked(name)
        async with container.lock:
            old = container.name
            if name == old:
                raise Invalid("Renaming a container with the same name as its current name")
            if container.record.removing:
                raise Conflict(f"container {container.id} is marked for removal")
            self._shelf.claim(name, container.id)
            try:
                if self._networking.sandbox(container) is not None:
                    await self._networking.controller.rename(container.sandbox, name)
            except BaseException:
                self._shelf.release(name)
                raise
            container.change(name=name)
            self._shelf.release(old)
            self._changed(container)
            tell(self._events, container, "rename", oldName=f"/{old}")
        for other in self._shelf.all():
            if any(target == container.id for target, _ in other.record.links):
                self._changed(other)

    def readdressed(self, id_: str) -> None:
        """A network has given a container another address: its files say so, and it is kept."""
        container = self._shelf.get(id_)
        if container is not None:
            container.change(addresses=held(self._networking.controller.world, container))
            self._changed(container)

    def _changed(self, container: Container) -> None:
        if container.running and not container.record.container_mode:
            self._etc.refresh(container)
        self._shelf.save(container)
