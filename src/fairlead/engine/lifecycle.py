"""From created to removed: the states of a container and who moves it between them.

::

    created ──start──► running ◄──► paused
                        │  ▲
              its end   │  │ start, restart
                        ▼  │
      restarting ◄── exited ──remove──► (gone)
          └──after a while──► running

Every verb holds the container's lock while it changes something, and nothing
else does. A supervisor waits for the end of each running container, takes down
what it stood on and applies the restart policy.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import datetime, timedelta

from fairlead.engine import restart
from fairlead.engine.etc import Etc
from fairlead.engine.events import Events, tell
from fairlead.engine.launch import Launch
from fairlead.engine.log import structlog
from fairlead.engine.record import Container, Exited
from fairlead.engine.removal import Removal, in_the_way
from fairlead.engine.shelf import Shelf
from fairlead.engine.spec import STOP_SIGNAL, STOP_TIMEOUT_S, signal_number
from fairlead.engine.tasks import Tasks
from fairlead.model.container import Exit
from fairlead.model.errors import Conflict, NotFound, NotModified, reasons
from fairlead.runtime.oci import Oci

log = structlog.get_logger("engine")

# The code of a container whose end nobody saw.
UNKNOWN = 255


class Lifecycle:
    """The verbs that move containers from state to state."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        launch: Launch,
        etc: Etc,
        removal: Removal,
        oci: Oci,
        events: Events,
        tasks: Tasks,
        clock: Callable[[], datetime],
    ) -> None:
        self._shelf = shelf
        self._launch = launch
        self._etc = etc
        self._removal = removal
        self._oci = oci
        self._events = events
        self._tasks = tasks
        self._clock = clock

    def emit(self, container: Container, action: str, **attributes: str) -> None:
        """Tell of something that happened to a container."""
        tell(self._events, container, action, **attributes)

    def now(self) -> datetime:
        return self._clock()

    # start

    async def start(self, container: Container) -> None:
        """Start a container that does not run. Raises NotModified if it does."""
        async with container.lock:
            self._may_start(container)
            self._cancel_back_off(container)
            container.back_off_s = 0.0
            container.change(restart_count=0)
            await self._start(container)

    def _may_start(self, container: Container) -> None:
        if container.paused:
            raise Conflict("cannot start a paused container, try unpause instead")
        if container.running:
            raise NotModified(f"container {container.id} is already running")
        if container.record.removing:
            raise Conflict("container is marked for removal and cannot be started")

    async def _start(self, container: Container) -> None:
        container.ended.clear()
        container.stopping = container.final = False
        container.change(stopped_by_hand=False)
        try:
            await self._launch.up(container)
        except BaseException:
            container.ended.set()
            await self._failed(container)
            raise
        self.supervise(container)
        self._shelf.save(container)
        self.emit(container, "start")
        self._tell_linked(container)

    async def _failed(self, container: Container) -> None:
        """A start came to nothing; who waits for its end goes on waiting, as with Docker."""
        for session in container.sessions:
            session.end()
        container.sessions.clear()
        if container.record.host.auto_remove and not container.keep:
            await self._removal.erase(container, volumes=True)
            return
        self._shelf.save(container)
        state = container.record.state
        if state.status == "exited":
            container.tell("not-running", exited=Exited(state.exit_code, state.error))

    def _tell_linked(self, container: Container) -> None:
        """Legacy links know their target by /etc/hosts alone."""
        for other in self._shelf.all():
            linked = any(target == container.id for target, _ in other.record.links)
            if linked and other.running and self._etc.refresh(other):
                self._shelf.save(other)

    # the end

    def supervise(self, container: Container) -> None:
        """Wait for a running container's end in the background."""
        container.supervisor = self._tasks.watch(
            self._supervise(container), f"supervise {container.id[:12]}"
        )

    async def _supervise(self, container: Container) -> None:
        ended = await self._oci.wait(container.id)
        await self._tasks.whole(self._ended(container, ended))

    async def _ended(self, container: Container, how: Exit) -> None:
        async with container.lock:
            if not container.running:
                return
            policy = container.record.host.restart_policy
            again = not container.final and restart.again(
                policy, how.code, container.record.restart_count
            )
            erase = container.record.host.auto_remove and not container.keep and not again
            await self._down(container, keep_root=erase)
            self.settle(container, how, "restarting" if again else "exited")
            exited = Exited(how.code)
            container.ended.set()
            if again:
                self._start_later(container, how)
                self._shelf.save(container)
                container.tell("next-exit", exited=exited)
            elif erase:
                container.tell("next-exit", "not-running", exited=exited)
                await self._removal.erase(container, volumes=True)
            else:
                self._shelf.save(container)
                container.tell("next-exit", "not-running", exited=exited)

    async def _down(self, container: Container, *, keep_root: bool = False) -> None:
        try:
            await self._launch.down(container, keep_root=keep_root)
        except BaseExceptionGroup as group:
            # It has ended all the same; the next start or removal tries again.
            for reason in reasons(group):
                log.warning("left behind", container=container.id[:12], reason=reason)

    def settle(self, container: Container, how: Exit, status: str) -> None:
        """Write down how a container ended, and tell."""
        started = container.record.state.started_at or how.at
        seconds = max(0, int((how.at - started).total_seconds()))
        container.become(
            status=status,
            pid=0,
            exit_code=how.code,
            finished_at=how.at,
            oom_killed=how.oom_killed,
        )
        if how.oom_killed:
            self.emit(container, "oom")
        if container.stopping:
            self.emit(container, "stop")
        self.emit(container, "die", exitCode=str(how.code), execDuration=str(seconds))

    # restart

    def _start_later(self, container: Container, how: Exit) -> None:
        started = container.record.state.started_at or how.at
        ran_s = (how.at - started) / timedelta(seconds=1)
        container.back_off_s = restart.back_off_s(container.back_off_s, ran_s)
        container.back_off = self._tasks.watch(
            self._again(container, container.back_off_s), f"restart {container.id[:12]}"
        )

    async def _again(self, container: Container, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._tasks.whole(self._start_again(container))

    async def _start_again(self, container: Container) -> None:
        async with container.lock:
            if container.status != "restarting" or container.record.removing:
                return
            container.back_off = None
            container.change(restart_count=container.record.restart_count + 1)
            await self._start(container)

    def _cancel_back_off(self, container: Container) -> bool:
        waiting, container.back_off = container.back_off, None
        if waiting is not None:
            waiting.cancel()
        return waiting is not None

    # stop

    async def stop(
        self, container: Container, timeout_s: int | None = None, signal_name: str = ""
    ) -> None:
        """Ask a container to end, and make it end after the timeout (negative: never)."""
        number = self.stop_signal(container, signal_name)
        async with container.lock:
            if await self._stop_restarting(container):
                return
            if not container.running:
                raise NotModified(f"container {container.id} is not running")
            container.stopping = container.final = True
            container.change(stopped_by_hand=True)
            self._shelf.save(container)
            await self._signal(container, number)
        if timeout_s is None:
            configured = container.record.config.stop_timeout
            timeout_s = configured if isinstance(configured, int) else STOP_TIMEOUT_S
        await self._see_the_end(container, timeout_s)

    async def _stop_restarting(self, container: Container) -> bool:
        """A container between two lives just does not get the next one."""
        if container.status != "restarting":
            return False
        self._cancel_back_off(container)
        container.become(status="exited")
        container.change(stopped_by_hand=True)
        self._shelf.save(container)
        self.emit(container, "stop")
        container.tell("not-running", exited=Exited(container.record.state.exit_code))
        if container.record.host.auto_remove:
            await self._removal.erase(container, volumes=True)
        return True

    def stop_signal(self, container: Container, name: str = "") -> int:
        """The signal that asks this container to end. Raises Invalid."""
        return signal_number(name or container.record.config.stop_signal or STOP_SIGNAL)

    async def _see_the_end(self, container: Container, timeout_s: int) -> None:
        try:
            async with asyncio.timeout(timeout_s if timeout_s >= 0 else None):
                await container.ended.wait()
        except TimeoutError:
            async with container.lock:
                if container.running:
                    await self._signal(container, signal.SIGKILL)
            await container.ended.wait()
        # The end is complete when its lock is free again.
        async with container.lock:
            return

    async def _signal(self, container: Container, number: int) -> None:
        try:
            await self._oci.kill(container.id, number)
        except (Conflict, NotFound):
            # It ended by itself in this moment; the supervisor is about to say so.
            return
        self.emit(container, "kill", signal=str(int(number)))
        if container.paused:
            # A frozen process gets no signal before it thaws.
            await self._oci.resume(container.id)
            container.become(status="running")

    async def kill(self, container: Container, signal_name: str = "") -> None:
        """Send a signal; one that is meant to end it ends it for good."""
        number = signal_number(signal_name or "SIGKILL")
        async with container.lock:
            if await self._stop_restarting(container):
                return
            if not container.running:
                raise Conflict(
                    f"cannot kill container: {container.id}: container {container.id} "
                    "is not running"
                )
            container.change(stopped_by_hand=True)
            if number in (signal.SIGKILL, self.stop_signal(container)):
                container.final = True
            await self._signal(container, number)
        if number == signal.SIGKILL:
            await self._see_the_end(container, -1)

    async def restart(
        self, container: Container, timeout_s: int | None = None, signal_name: str = ""
    ) -> None:
        """Stop it if it runs, and start it."""
        self.stop_signal(container, signal_name)
        with container.kept():
            if container.running or container.status == "restarting":
                await self.stop(container, timeout_s, signal_name)
            await self.start(container)
        self.emit(container, "restart")

    async def pause(self, container: Container) -> None:
        """Freeze it."""
        async with container.lock:
            if container.paused:
                raise Conflict(f"container {container.id} is already paused")
            if not container.running:
                raise Conflict(f"container {container.id} is not running")
            await self._oci.pause(container.id)
            container.become(status="paused")
            self._shelf.save(container)
            self.emit(container, "pause")

    async def unpause(self, container: Container) -> None:
        """Thaw it."""
        async with container.lock:
            if not container.paused:
                raise Conflict(f"Container {container.id} is not paused")
            await self._oci.resume(container.id)
            container.become(status="running")
            self._shelf.save(container)
            self.emit(container, "unpause")

    # removal

    async def remove(
        self, container: Container, *, force: bool = False, volumes: bool = False
    ) -> None:
        """Remove a container; a running one only with force."""
        name = container.name
        if container.record.removing:
            raise Conflict(f"removal of container {name} is already in progress")
        alive = container.running or container.status == "restarting"
        if alive and not force:
            raise Conflict(f'cannot remove container "/{name}": {in_the_way(container)}')
        with container.kept():
            if alive:
                await self._kill_whatever(container)
            async with container.lock:
                if self._shelf.get(container.id) is not None:
                    await self._removal.erase(container, volumes=volumes)

    async def _kill_whatever(self, container: Container) -> None:
        try:
            await self.kill(container)
        except (Conflict, NotModified):
            # It ended by itself meanwhile.
            await container.ended.wait()

    # after the daemon was away

    def adopt(self, container: Container, pid: int, status: str) -> None:
        """Go on with a container that ran while the daemon was away."""
        container.become(status=status, pid=pid)
        self._launch.adopt(container)
        self.supervise(container)

    async def bury(self, container: Container, how: Exit | None) -> None:
        """Settle a container that ended while the daemon was away."""
        before = container.record
        await self._down(container)
        container.ended.set()
        if container.status in ("running", "paused", "restarting"):
            # Nobody knows how it ended when the runtime has forgotten it.
            self.settle(container, how or Exit(UNKNOWN, self._clock()), "exited")
        record = container.record
        over = container.status in ("created", "exited")
        if record.removing or (record.host.auto_remove and over):
            # A removal that was cut short takes what it was told to, --rm takes the volumes along.
            volumes = record.removing_volumes or not record.removing
            await self._removal.erase(container, volumes=volumes)
        elif record != before:
            self._shelf.save(container)

    async def revive(self, container: Container, *, ran: bool) -> None:
        """Start a container again that its policy wants to run with the daemon."""
        record = container.record
        began = record.state.started_at is not None
        wanted = began and restart.with_daemon(
            record.host.restart_policy,
            ran=ran,
            stopped_by_hand=record.stopped_by_hand,
            code=record.state.exit_code,
        )
        if wanted and not container.running:
            async with container.lock:
                await self._start(container)
