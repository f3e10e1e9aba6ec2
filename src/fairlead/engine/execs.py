"""exec: one more program in a running container. Sessions of it live as long as the daemon."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fairlead.engine import detach as keys
from fairlead.engine.documents import ExecConfig, read
from fairlead.engine.events import Events, tell
from fairlead.engine.record import Container
from fairlead.engine.session import Session
from fairlead.engine.spec import exec_spec
from fairlead.engine.tasks import Tasks
from fairlead.model.errors import Conflict, FairleadError, Invalid, NotFound
from fairlead.runtime.oci import CannotRun, Exec, Oci

# How long one that ended can still be asked about.
KEPT_S = 300.0
MOST_SAID = 65536


@dataclass(slots=True, eq=False)
class ExecRecord:
    """An exec: what was asked, and what became of it."""

    id: str
    container: str
    config: ExecConfig
    running: bool = False
    exit_code: int | None = None
    pid: int = 0
    process: Exec | None = None
    claimed: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def entrypoint(self) -> str:
        return (self.config.cmd or [""])[0]

    @property
    def arguments(self) -> tuple[str, ...]:
        return tuple((self.config.cmd or [])[1:])

    @property
    def open_stdin(self) -> bool:
        return self.config.attach_stdin

    @property
    def open_stdout(self) -> bool:
        return self.config.attach_stdout

    @property
    def open_stderr(self) -> bool:
        return self.config.attach_stderr

    @property
    def command(self) -> str:
        """The command as events show it."""
        return " ".join(self.config.cmd or [])


class Execs:
    """Every exec of this daemon's life, until its container is gone."""

    def __init__(
        self, find: Callable[[str], Container], oci: Oci, events: Events, tasks: Tasks
    ) -> None:
        self._find = find
        self._oci = oci
        self._events = events
        self._tasks = tasks
        self._execs: dict[str, ExecRecord] = {}

    def find(self, id: str) -> ExecRecord:
        """By id. Raises NotFound."""
        found = self._execs.get(id)
        if found is None:
            raise NotFound(f"No such exec instance: {id}")
        return found

    async def create(self, ref: str, body: Mapping[str, Any]) -> str:
        """Note down what to run in a container; its id."""
        container = self._find(ref)
        config = read(body, ExecConfig)
        if not config.cmd:
            raise Invalid("No exec command specified")
        # A bad sequence is refused now, not when it is used.
        keys.keys(config.detach_keys)
        self._check(container)
        record = ExecRecord(secrets.token_hex(32), container.id, config)
        self._execs[record.id] = record
        container.execs.append(record.id)
        self._tell(container, record, f"exec_create: {record.command}")
        return record.id

    def _check(self, container: Container) -> None:
        if container.paused:
            raise Conflict(f"container {container.id} is paused, unpause the container before exec")
        if container.status == "restarting":
            raise Conflict(
                f"Container {container.id} is restarting, wait until the container is running"
            )
        if not container.running:
            raise Conflict(f"container {container.id} is not running")

    async def start(
        self,
        id: str,
        *,
        detach: bool = False,
        terminal: bool | None = None,
        console_size: tuple[int, int] | None = None,
    ) -> Session | None:
        """Run it: a session with its streams, or None when detached."""
        record = self.find(id)
        container = self._find(record.container)
        if record.claimed:
            done = record.exit_code is not None
            what = "has already run" if done else "is already running"
            raise Conflict(f"exec command {id} {what}")
        self._check(container)
        if terminal is not None and terminal != record.config.tty:
            record.config = msgspec.structs.replace(record.config, tty=terminal)
        record.claimed = True
        return await self._tasks.whole(self._run(container, record, console_size, detach=detach))

    async def _run(
        self,
        container: Container,
        record: ExecRecord,
        size: tuple[int, int] | None,
        *,
        detach: bool,
    ) -> Session | None:
        self._tell(container, record, f"exec_start: {record.command}")
        config = record.config
        spec = exec_spec(config, size or config.console_size, detach=detach)
        try:
            process = await self._oci.exec(container.id, record.id, spec)
        except FairleadError as error:
            record.exit_code = error.exit_code if isinstance(error, CannotRun) else 126
            raise
        record.process, record.pid, record.running = process, process.pid, True
        self._tasks.watch(self._follow(container, record, process), f"exec {record.id[:12]}")
        if process.streams is None:
            return None
        session = Session(
            terminal=config.tty,
            stdin=config.attach_stdin,
            outputs=outputs(config.attach_stdout, config.attach_stderr, terminal=config.tty),
            detacher=keys.Detacher(keys.keys(config.detach_keys)) if config.tty else None,
            ended=record.ended,
        )
        session.connect(process.streams)
        return session

    async def quietly(self, container: Container, argv: list[str], said: bytearray) -> int:
        """Run something of ours in a container and wait for its exit code; it says `said`.

        Who gives up on it ends it.
        """
        config = ExecConfig(cmd=argv, attach_stdout=True, attach_stderr=True)
        record = ExecRecord(secrets.token_hex(32), container.id, config, claimed=True)
        self._execs[record.id] = record
        self._tell(container, record, f"exec_create: {record.command}")
        try:
            session = await self._run(container, record, None, detach=False)
            assert session is not None, "it is not detached"
            try:
                async for _, text in session:
                    # Nobody keeps more than a little of it.
                    said += text[: max(0, MOST_SAID - len(said))]
                await record.ended.wait()
            finally:
                await session.close()
        except BaseException:
            if record.process is not None:
                await record.process.kill(signal.SIGKILL)
            self._execs.pop(record.id, None)
            raise
        return record.exit_code or 0

    async def _follow(self, container: Container, record: ExecRecord, process: Exec) -> None:
        code = await process.wait()
        record.exit_code, record.running, record.pid = code, False, 0
        record.process = None
        record.ended.set()
        self._tell(container, record, "exec_die", exitCode=str(code))
        if record.id in container.execs:
            container.execs.remove(record.id)
        asyncio.get_running_loop().call_later(KEPT_S, self._execs.pop, record.id, None)

    async def resize(self, id: str, rows: int, columns: int) -> None:
        """Give its terminal a size."""
        record = self.find(id)
        if record.process is None:
            raise Conflict(f"exec process {id} is not running", hint="start it first")
        await record.process.resize(rows, columns)

    def forget(self, container: str) -> None:
        """The container is gone, and so is what was run in it."""
        self._execs = {i: e for i, e in self._execs.items() if e.container != container}

    def _tell(
        self, container: Container, record: ExecRecord, action: str, **attributes: str
    ) -> None:
        tell(self._events, container, action, execID=record.id, **attributes)


def outputs(stdout: bool, stderr: bool, *, terminal: bool) -> frozenset[int]:
    """The streams to show; a terminal has only one."""
    if terminal:
        return frozenset({1, 2}) if stdout or stderr else frozenset()
    return frozenset(n for n, wanted in ((1, stdout), (2, stderr)) if wanted)
