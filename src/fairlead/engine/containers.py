"""Containers, as the API asks for them: one method for each verb.

Verbs that change something are carried to their end even if the client leaves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead.engine import creation, filters, mounts, ports, stats
from fairlead.engine.changes import Changes
from fairlead.engine.copying import Copying
from fairlead.engine.creation import Created, Creation
from fairlead.engine.documents import EndpointSettings
from fairlead.engine.events import Events, tell
from fairlead.engine.lifecycle import Lifecycle
from fairlead.engine.membership import Membership
from fairlead.engine.networking import Networking
from fairlead.engine.publishing import Publishing
from fairlead.engine.record import Container, Exited
from fairlead.engine.session import Frame, Session
from fairlead.engine.shelf import Shelf
from fairlead.engine.streams import LogRequest, Streams
from fairlead.engine.tasks import Tasks
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.errors import Conflict, Invalid, NotFound, Unsupported
from fairlead.runtime.image import Images
from fairlead.runtime.oci import Oci
from fairlead.runtime.rootfs import PathStat, Roots

Filters = Mapping[str, Sequence[str]]
Found = list[Container]
CONDITIONS = ("not-running", "next-exit", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the verbs are made of."""

    shelf: Shelf
    creation: Creation
    lifecycle: Lifecycle
    publishing: Publishing
    membership: Membership
    changes: Changes
    copying: Copying
    streams: Streams
    networking: Networking
    events: Events
    tasks: Tasks
    oci: Oci
    images: Images
    roots: Roots


class Containers:
    """Every verb of containers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._shelf = parts.shelf
        self._life = parts.lifecycle
        self._whole = parts.tasks.whole
        self.networking = parts.networking

    # looking

    def find(self, ref: str) -> Container:
        """By name, id or unique beginning of the id. Raises NotFound."""
        return self._shelf.find(ref)

    def all(self) -> list[Container]:
        """Every container, newest first."""
        return self._shelf.all()

    def endpoints(
        self, container: Container
    ) -> Sequence[tuple[str, EndpointSettings, Endpoint | None]]:
        """Networks in the order of joining: name, what was asked, the endpoint there is."""
        return self._parts.networking.endpoints(container)

    def ports(self, container: Container) -> tuple[Port, ...]:
        """The ports published now."""
        return self._parts.networking.ports(container)

    def exposed(self, container: Container) -> tuple[str, ...]:
        """The ports exposed, one by one: ``80/tcp``."""
        return tuple(ports.exposed(container.record.config.ports))

    async def size(self, ref: str) -> tuple[int, int]:
        """Bytes it has written, and bytes of its whole file system."""
        container = self.find(ref)
        written = await self._parts.roots.size(container.id)
        try:
            image = self._parts.images.get(container.record.image).size_bytes
        except NotFound:
            # The image was removed by force.
            image = 0
        return written, written + image

    async def stats(self, ref: str) -> dict[str, Any]:
        """One reading of what it uses."""
        container = self.find(ref)
        pid = container.record.state.pid if container.running else 0
        return await asyncio.to_thread(
            stats.reading, container.id, container.name, pid, self._life.now()
        )

    async def top(self, ref: str, ps_args: str = "-ef") -> tuple[Sequence[str], Sequence[Any]]:
        """Its processes: titles and rows."""
        container = self.find(ref)
        if not container.running:
            raise Conflict(f"container {container.id} is not running")
        return await self._parts.oci.top(container.id, ps_args)

    async def changes(self, ref: str) -> Sequence[tuple[str, int]]:
        """What it has changed in its file system: path and kind."""
        container = self.find(ref)
        return await self._parts.roots.changes(container.id, container.record.image)

    def logs(
        self,
        ref: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: datetime | None = None,
        until: datetime | None = None,
        timestamps: bool = False,
        tail: int | None = None,
        follow: bool = False,
    ) -> AsyncIterator[Frame]:
        """What it wrote, and writes if followed. Refused before the first item."""
        request = LogRequest(stdout, stderr, since, until, timestamps, tail, follow)
        return self._parts.streams.logs(self.find(ref), request)

    def attach(
        self,
        ref: str,
        *,
        logs: bool = False,
        stream: bool = True,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        detach_keys: str = "",
    ) -> Session:
        """A session with its streams; it may not run yet."""
        container = self.find(ref)
        tell(self._parts.events, container, "attach")
        return self._parts.streams.attach(
            container,
            logs=logs,
            stream=stream,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            detach_keys=detach_keys,
        )

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        """Give its terminal a size."""
        container = self.find(ref)
        if not container.running:
            raise Conflict(f"container {container.id} is not running")
        await self._parts.oci.resize(container.id, rows, columns)
        tell(self._parts.events, container, "resize", height=str(rows), width=str(columns))

    def wait(self, ref: str, condition: str = "not-running") -> Awaitable[Exited]:
        """A promise of its end, taken at once. Raises NotFound or Invalid."""
        condition = condition or "not-running"
        if condition not in CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        container = self.find(ref)
        waiter: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()
        resting = container.status in ("created", "exited", "dead")
        if condition == "not-running" and resting:
            waiter.set_result(Exited(container.record.state.exit_code))
            return waiter
        waiting = container.waiters.setdefault(condition, [])
        waiting.append(waiter)
        # A client that leaves is forgotten.
        waiter.add_done_callback(lambda done: waiting.remove(done) if done in waiting else None)
        return waiter

    # changing

    async def create(
        self, name: str, body: Mapping[str, Any], api: tuple[int, int] = creation.API
    ) -> Created:
        """Make a container from the JSON of a create request."""
        request = creation.decode(name, body, api)
        container, warnings = await self._whole(self._parts.creation.create(request))
        tell(self._parts.events, container, "create")
        return Created(container.id, tuple(warnings))

    async def start(self, ref: str) -> None:
        """Start it. Raises NotModified if it runs."""
        await self._whole(self._life.start(self.find(ref)))

    async def stop(self, ref: str, timeout_s: int | None = None, signal: str = "") -> None:
        """Ask it to end, then make it. Raises NotModified if it does not run."""
        await self._whole(self._life.stop(self.find(ref), timeout_s, signal))

    async def restart(self, ref: str, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop it if it runs, and start it."""
        await self._whole(self._life.restart(self.find(ref), timeout_s, signal))

    async def kill(self, ref: str, signal: str = "") -> None:
        """Send it a signal."""
        await self._whole(self._life.kill(self.find(ref), signal))

    async def pause(self, ref: str) -> None:
        """Freeze it."""
        await self._whole(self._life.pause(self.find(ref)))

    async def unpause(self, ref: str) -> None:
        """Thaw it."""
        await self._whole(self._life.unpause(self.find(ref)))

    async def remove(
        self, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it, with its anonymous volumes if asked."""
        if link:
            await self._whole(self._parts.membership.unlink(ref))
            return
        await self._whole(self._life.remove(self.find(ref), force=force, volumes=volumes))

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name."""
        await self._whole(self._parts.membership.rename(self.find(ref), name))

    async def update(self, ref: str, body: Mapping[str, Any]) -> list[str]:
        """Change its limits or restart policy; warnings."""
        container = self.find(ref)
        warnings = await self._whole(self._parts.changes.update(container, body))
        tell(self._parts.events, container, "update")
        return warnings

    async def publish(self, ref: str, body: Mapping[str, Any]) -> None:
        """Publish it on more ports, at once if it runs."""
        await self._whole(self._parts.publishing.add(self.find(ref), body))

    async def unpublish(self, ref: str, body: Mapping[str, Any]) -> None:
        """Take published ports back, at once if it runs."""
        await self._whole(self._parts.publishing.remove(self.find(ref), body))

    async def connect(
        self, network: str, ref: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Put it on a network."""
        # An unknown network is told before an unknown container.
        self._parts.networking.controller.network(network)
        container = self.find(ref)
        await self._whole(self._parts.membership.connect(network, container, settings))

    async def disconnect(self, network: str, ref: str, force: bool = False) -> None:
        """Take it off a network."""
        await self._whole(self._parts.membership.disconnect(network, ref, force=force))

    async def commit(self, *arguments: Any, **options: Any) -> None:
        """Making images of containers is for builders."""
        raise Unsupported(
            "commit is not supported",
            hint="build the image with another program and load or import it",
        )

    # copying

    async def stat_path(self, ref: str, path: str) -> PathStat:
        """What there is at a path."""
        return await self._parts.copying.stat(self.find(ref), path)

    async def get_archive(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """What there is at a path, and a tar of it."""
        return await self._parts.copying.get(self.find(ref), path)

    async def put_archive(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterable[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_owner: bool = False,
    ) -> None:
        """Unpack a tar into a directory of it."""
        container = self.find(ref)
        points = container.record.mounts
        if container.record.host.readonly_rootfs and not mounts.writable(points, path):
            raise Invalid("container rootfs is marked read-only")
        await self._parts.copying.put(
            container,
            path,
            chunks,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
            copy_owner=copy_owner,
        )

    # many at once

    def list(self, *, all: bool = False, limit: int = 0, filters: Filters | None = None) -> Found:
        """Those that run, or all, or those that fit the filters; newest first."""
        return self._list(filters or {}, limit, everything=all)

    def _list(self, given: Filters, limit: int, *, everything: bool) -> Found:
        found = filters.chosen(self.all(), given, self._lookup())
        # Asking for a state or for the last few means: whether they run or not.
        if not (everything or limit > 0 or given.get("status") or given.get("exited")):
            found = [c for c in found if c.running or c.status == "restarting"]
        return found[:limit] if limit > 0 else found

    def _lookup(self) -> filters.Lookup:
        return filters.Lookup(
            self.find, self._image_id, self._parts.networking.names, self._published
        )

    def _image_id(self, ref: str) -> str | None:
        try:
            return self._parts.images.get(ref).id
        except (NotFound, Invalid):
            return None

    def _published(self, container: Container) -> Sequence[str]:
        return [f"{p.host_port}/{p.protocol}" for p in self.ports(container)]

    async def prune(
        self, given: Filters | None = None, until: datetime | None = None
    ) -> tuple[Sequence[str], int]:
        """Remove what does not run and fits: ids and bytes freed."""
        given = {k: v for k, v in (given or {}).items() if k != "until"}
        for key in given:
            if not re.fullmatch("label!?", key):
                raise Invalid(f"invalid filter '{key}'")
        wanted = {"label": given.get("label", ())}
        spared = {"label": given.get("label!", ())}
        removed, freed = [], 0
        for container in filters.chosen(self.all(), wanted, self._lookup()):
            idle = container.status in ("created", "exited", "dead")
            young = until is not None and container.record.created >= until
            kept = spared["label"] and filters.chosen([container], spared, self._lookup())
            if not idle or young or kept:
                continue
            written = await self._parts.roots.size(container.id)
            try:
                await self.remove(container.id)
            except (Conflict, NotFound):
                # Started or removed by somebody else in this moment.
                continue
            removed.append(container.id)
            freed += written
        self._parts.events.emit("container", "prune", "", {"reclaimed": str(freed)})
        return removed, freed
