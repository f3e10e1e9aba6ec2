"""Starting a container, and taking down what a start put up.

::

    sandbox with all networks and ports ─┐
                                         ├─ /etc files, volumes ─ create ─ attach ─ start
    root file system mounted ────────────┘

Whatever fails, all of it is undone. Taking down is the reverse and does all it
can, whatever of it is there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fairlead.engine import links, ports, sharing, validate
from fairlead.engine.etc import Etc
from fairlead.engine.events import Events
from fairlead.engine.health import Watcher
from fairlead.engine.log import structlog
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container, Record
from fairlead.engine.settings import Settings
from fairlead.engine.shelf import Shelf
from fairlead.engine.spec import container_spec
from fairlead.model.errors import Conflict, Failed, Invalid, NotFound, reasons
from fairlead.runtime.oci import CannotRun, Oci
from fairlead.runtime.rootfs import Roots

log = structlog.get_logger("engine")

# What a container ends with when it never began: something else was in the way.
NEVER_RAN = 128


class Launch:
    """Puts up and takes down what a running container stands on."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        networking: Networking,
        etc: Etc,
        oci: Oci,
        roots: Roots,
        settings: Settings,
        clock: Callable[[], datetime],
        health: Watcher,
        events: Events,
    ) -> None:
        self._shelf = shelf
        self._networking = networking
        self._etc = etc
        self._oci = oci
        self._roots = roots
        self._settings = settings
        self._clock = clock
        self._health = health
        self._events = events

    async def up(self, container: Container) -> None:
        """Start it; on failure nothing is left but the error in its state."""
        before = container.record.state
        container.standing = True
        try:
            self._check(container.record)
            if container.sandbox and not sharing.shared(self._shelf, container.sandbox):
                # What could not be taken down after its last run.
                await self.down(container)
                container.standing = True
            pid = await self._create(container)
            await self._connect_sessions(container)
            await self._oci.start(container.id)
        except BaseException as error:
            await self._undo(container, error)
            code = error.exit_code if isinstance(error, CannotRun) else NEVER_RAN
            container.change(state=before)
            container.become(
                status=_after_failure(before.status), exit_code=code, error=str(error), pid=0
            )
            raise
        container.become(
            status="running",
            pid=pid,
            exit_code=0,
            error="",
            oom_killed=False,
            started_at=self._clock(),
        )
        self._health.begin(container)
        await self._connect_late(container)

    def adopt(self, container: Container) -> None:
        """Go on with what stands since an earlier daemon."""
        container.standing = container.mounted = container.plugged = True
        self._health.go_on(container)

    async def _undo(self, container: Container, error: BaseException) -> None:
        """Take down a half-made start; what fails there only adds to the error."""
        try:
            await self.down(container)
        except BaseExceptionGroup as group:
            for reason in reasons(group):
                error.add_note(reason)
                log.warning("left behind", container=container.id[:12], reason=reason)

    def _check(self, record: Record) -> None:
        validate.hostname_at_start(record.config.hostname)
        validate.dns_at_start(record.host.dns)
        validate.sysctls_at_start(record.host)
        for target, _ in record.links:
            found = self._shelf.get(target)
            if found and found.running and not self._etc.bridge_addresses(found):
                raise Failed(f"container {target} not attached to default bridge network")

    async def _create(self, container: Container) -> int:
        owner = self._owner(container.record)
        if owner is not None and not owner.record.host_mode:
            # On disk before it runs: the namespace stands for as long as this one does.
            container.change(shares=owner.sandbox)
            self._shelf.save(container)
        root = await self._stage(container, shared=owner is not None)
        record = container.record
        if owner is None:
            self._etc.write(container)
            namespace = None if record.host_mode else self._netns(record.sandbox)
            files = self._etc.sources(record)
        else:
            namespace = None if owner.record.host_mode else self._netns(owner.sandbox)
            files = self._etc.sources(owner.record)
        await self._fill_volumes(record)
        self._tell_volumes(container, mounted=True)
        spec = container_spec(
            record,
            root,
            namespace=namespace,
            hostname=(owner or container).record.config.hostname,
            files=dict(files),
            joined=self._joined(record),
            env=self._linked(record),
            init=self._settings.init,
            ulimits=self._settings.ulimits,
        )
        log = Path(record.log_path) if record.host.log_config.type != "none" else None
        return await self._oci.create(
            spec, Path(record.directory), log, log_max_bytes=self._log_bytes(record)
        )

    def _netns(self, sandbox: str) -> Path:
        return self._networking.controller.netns_path(sandbox)

    async def _stage(self, container: Container, *, shared: bool) -> Path:
        """Sandbox and root file system at the same time; both are up, or an error says why not."""
        Path(container.record.directory).mkdir(parents=True, exist_ok=True)
        mounting = asyncio.ensure_future(self._roots.mount(container.id, container.record.image))
        try:
            if not shared:
                await self._networking.open(container)
        except BaseException:
            # Its own error does not matter any more, but it must have ended.
            await asyncio.gather(mounting, return_exceptions=True)
            raise
        return await mounting

    def _owner(self, record: Record) -> Container | None:
        """The container whose sandbox this one is to live in, at the end of the chain."""
        ref = record.container_mode
        if not ref:
            return None
        try:
            owner = self._shelf.find(ref)
        except (NotFound, Invalid) as error:
            raise Failed(f"joining network namespace of container: {error.message}") from None
        if owner.id == record.id:
            raise Failed("cannot join own network namespace")
        if owner.status == "restarting":
            raise Conflict(
                "cannot join network namespace of container: Container "
                f"{owner.id} is restarting, wait until the container is running"
            )
        first = self._first(owner)
        # One that is about to be taken down is no place to move into.
        if not owner.running or not owner.standing or not first.sandbox:
            raise Conflict(
                f"cannot join network namespace of a non running container: {owner.name}"
            )
        return first

    def _first(self, sharer: Container) -> Container:
        """Whose sandbox a container is in; it need not run itself for that."""
        ref = sharer.record.container_mode
        if not ref:
            return sharer
        # Whoever it came in by may be gone.
        owner = sharing.owner(self._shelf, sharer.record.shares)
        if owner is not None:
            return owner
        try:
            return self._first(self._shelf.find(ref))
        except NotFound as error:
            raise Failed(f"joining network namespace of container: {error.message}") from None

    def _linked(self, record: Record) -> list[str]:
        """The environment that legacy links give, of the targets that run."""
        found: list[str] = []
        for id, alias in record.links:  # noqa: A001
            target = self._shelf.get(id)
            addresses = self._etc.bridge_addresses(target) if target else []
            if target is None or not target.running or not addresses:
                continue
            config = target.record.config
            found += links.environment(
                record.name, alias, addresses[0], ports.numbers(config.ports), config.env or ()
            )
        return found

    def _joined(self, record: Record) -> dict[str, str]:
        """Other namespaces of other containers, by the path of their first process."""
        found = {}
        for kind, mode in (("ipc", record.host.ipc_mode), ("pid", record.host.pid_mode)):
            word, _, ref = mode.partition(":")
            if word != "container":
                continue
            other = self._shelf.find(ref)
            if not other.running:
                raise Conflict(f"cannot join {kind.upper()} of a non running container: {ref}")
            found[kind] = f"/proc/{other.record.state.pid}/ns/{kind}"
        return found

    async def _fill_volumes(self, record: Record) -> None:
        for point in record.mounts:
            if point.type == "bind" and "create" in point.options:
                os.makedirs(point.source, exist_ok=True)
            if point.type == "volume" and point.copy and not os.listdir(point.source):
                await self._roots.populate(record.id, point.destination, Path(point.source))

    def _tell_volumes(self, container: Container, *, mounted: bool) -> None:
        if container.mounted is mounted:
            return
        container.mounted = mounted
        for point in container.record.mounts:
            if point.type != "volume":
                continue
            told = {"container": container.id, "driver": point.driver or "local"}
            if mounted:
                told |= {
                    "destination": point.destination,
                    "propagation": point.propagation,
                    "read/write": str(point.rw).lower(),
                }
            self._events.emit("volume", "mount" if mounted else "unmount", point.name, told)

    def _log_bytes(self, record: Record) -> int:
        return _bytes(record.host.log_config.config.get("max-size", "")) or (
            self._settings.log_max_bytes
        )

    async def _connect_sessions(self, container: Container) -> None:
        while container.sessions:
            streams = await self._oci.attach(container.id)
            # It may have been closed, and be off the list, since.
            session = container.sessions.pop(0) if container.sessions else None
            if session is None or not session.connect(streams):
                await streams.close()

    async def _connect_late(self, container: Container) -> None:
        """Whoever attached since then still gets what is to come, if it has not ended yet."""
        try:
            await self._connect_sessions(container)
        except (Conflict, NotFound):
            for session in container.sessions:
                session.end()
            container.sessions.clear()

    async def down(self, container: Container, *, keep_root: bool = False) -> None:
        """Take everything down; what cannot be is told at the end."""
        self._health.end(container)
        work = [self._oci.delete(container.id, force=True), self._networking.close(container)]
        done = await asyncio.gather(*work, return_exceptions=True)
        if not keep_root and not container.visitors:
            done += await asyncio.gather(self._roots.unmount(container.id), return_exceptions=True)
        self._tell_volumes(container, mounted=False)
        failures = [error for error in done if isinstance(error, BaseException)]
        if failures:
            raise BaseExceptionGroup(f"container {container.id[:12]} left traces", failures)

    async def erase(self, container: Container) -> None:
        """Remove its file system, its log and everything else on disk."""
        if container.sandbox:
            await self.down(container)
        await self._roots.remove(container.id)
        directory = Path(container.record.directory)
        if directory.exists():
            await asyncio.to_thread(shutil.rmtree, directory)


def _after_failure(status: str) -> str:
    return "exited" if status == "restarting" else status


def _bytes(text: str) -> int:
    """``10m`` in bytes; 0 when it is not given or means nothing."""
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().removesuffix("b")
    scale = units.get(number[-1:], 1)
    number = number.rstrip("kmg")
    return int(number) * scale if number.isdigit() else 0
