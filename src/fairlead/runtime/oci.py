"""Containers, by conmon and an OCI runtime.

A container here is a bundle directory with a config.json, one conmon, and the
processes below it. None of them is the daemon's child for long: they go on when
the daemon stops or is killed, and `recover` finds them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fairlead.model.container import ContainerSpec, ExecSpec, Exit, Limits
from fairlead.model.errors import Conflict, Failed, NotFound
from fairlead.runtime import cgroup, conmon, execution, process, record, syscalls, top
from fairlead.runtime.attach import Attachment, SocketAttachment
from fairlead.runtime.bpf import Filters
from fairlead.runtime.command import SEARCH, Runtime, choose, conmon_version
from fairlead.runtime.execution import Exec
from fairlead.runtime.host import Host, look
from fairlead.runtime.identity import Identity, identity
from fairlead.runtime.life import Life
from fairlead.runtime.limits import resources
from fairlead.runtime.linux import cgroup_path
from fairlead.runtime.record import Record
from fairlead.runtime.refusal import CannotRun, refusal, said
from fairlead.runtime.spec import exec_process, oci_spec

__all__ = ["Attachment", "CannotRun", "Exec", "Oci", "State"]

# A killed container's last words take this long at most.
PATIENCE_SECONDS = 10.0
_MIB = 1024 * 1024
_TRACES = ("config.json", "attach", "ctl", "winsz", "oom", conmon.PIDFILE, conmon.CONMON_PIDFILE)


@dataclass(frozen=True, slots=True)
class State:
    """What a container is doing."""

    id: str
    status: str
    """``created``, ``running``, ``paused`` or ``stopped``."""
    pid: int


class Oci:
    """The containers of one run directory."""

    name = ""
    version = ""
    conmon_version = ""

    def __init__(self, run: Path, *, prefer: str = "", cgroup_parent: str = "/fairlead") -> None:
        self._run = run = run.absolute()
        self._cgroup_parent = cgroup_parent
        self._prefer = prefer
        self._records = run / "containers"
        self._exits = run / "exits"
        self._execs = run / "exec"
        self._runtimes: dict[str, Runtime] = {}
        self._host = Host()
        self._lives: dict[str, Life] = {}
        self._filters = Filters()

    async def probe(self) -> None:
        """Find out what works here; once, at the daemon's start."""
        for directory in (self._records, self._exits, self._execs):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._host = await asyncio.to_thread(look)
        usable = await choose(self._run, self._host, self._prefer)
        self.conmon_version = await conmon_version()
        self._runtimes = {runtime.name: runtime for runtime in usable}
        self.name, self.version = usable[0].name, usable[0].version

    async def recover(self) -> list[State]:
        """Every container an earlier daemon left, alive or dead."""
        await asyncio.to_thread(shutil.rmtree, self._execs, ignore_errors=True)
        for known in record.read(self._records):
            if known.id in self._lives:
                continue
            life = self._lives[known.id] = Life(known, self._exits)
            if known.pid == 0:
                # The daemon was killed while it was being made: nobody ever had it.
                await self._discard(life)
            else:
                life.watch()
        states = [await self.state(container) for container in list(self._lives)]
        for found in states:
            self._lives[found.id].paused = found.status == "paused"
        return states

    async def close(self) -> None:
        """Let go of every container; they live on."""
        for life in self._lives.values():
            life.close()
        if not self._lives:
            await asyncio.to_thread(cgroup.remove_empty, self._cgroup_parent)

    async def create(
        self, spec: ContainerSpec, bundle: Path, log: Path | None, *, log_max_bytes: int = 0
    ) -> int:
        """Make a container that waits for `start`; the answer is its first process."""
        making = asyncio.ensure_future(self._make(spec, bundle, log, log_max_bytes))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            # A creation can be undone when it is whole, not while others work on it.
            await asyncio.wait([making])
            if making.exception() is None:
                await self.delete(spec.id, force=True)
            raise

    async def _make(
        self, spec: ContainerSpec, bundle: Path, log: Path | None, log_max_bytes: int
    ) -> int:
        if spec.id in self._lives:
            raise Conflict(f"container {spec.id[:12]} already exists in the runtime")
        runtime = self._runtimes[self.name]
        intent = Record(
            spec.id,
            runtime.name,
            str(bundle := bundle.absolute()),
            cgroup_path(spec, self._cgroup_parent),
            spec.process.terminal,
            boot=record.boot(),
        )
        life = self._lives[spec.id] = Life(intent, self._exits)
        try:
            config = oci_spec(spec, _identity(spec), self._host, intent.cgroup)
            if runtime.name == "crun" and "seccomp" in config["linux"]:
                config["annotations"] |= self._filters.annotation(config["linux"]["seccomp"])
            bundle.mkdir(parents=True, exist_ok=True)
            _sweep(bundle)
            (bundle / "config.json").write_bytes(msgspec.json.encode(config))
            record.write(self._records, intent)
            made = await conmon.create(
                spec, bundle, runtime.argv, self._exits, log=log, log_max_bytes=log_max_bytes
            )
            if made.complaint:
                raise refusal(made.complaint, spec.process.args[0])
        except BaseException:
            await self._discard(life)
            raise
        self._note(
            life,
            pid=made.pid,
            pid_started=record.started_at(made.pid),
            conmon=made.conmon,
            conmon_started=record.started_at(made.conmon),
        )
        life.watch()
        return made.pid

    async def attach(self, container: str) -> Attachment:
        """Connect to a container's streams; output from now on is heard."""
        return await SocketAttachment.open(Path(self._life(container).record.bundle))

    async def start(self, container: str) -> None:
        """Let a created container run."""
        life = self._alive(container)
        done = await self._call(life, "start", container)
        if done.code:
            config = _config(life)
            raise refusal(done.complaint, config["process"]["args"][0])
        self._note(life, started=True)

    async def kill(self, container: str, number: int) -> None:
        """Send a signal to a container's first process."""
        self._life(container).signal(number)

    async def pause(self, container: str) -> None:
        """Freeze every process of a container."""
        await self._must(self._alive(container), "pause", container)
        self._lives[container].paused = True

    async def resume(self, container: str) -> None:
        """Thaw a container."""
        await self._must(self._alive(container), "resume", container)
        self._lives[container].paused = False

    async def resize(self, container: str, rows: int, columns: int) -> None:
        """Give a container's terminal a size; without a terminal that means nothing."""
        life = self._alive(container)
        if life.record.terminal:
            conmon.resize(Path(life.record.bundle), rows, columns)

    async def update(self, container: str, limits: Limits) -> None:
        """Change a running container's limits."""
        wanted = msgspec.json.encode(resources(limits, self._host))
        life = self._alive(container)
        done = await self._call(life, "update", "--resources=/dev/stdin", container, stdin=wanted)
        if done.code:
            raise Failed(f"Cannot update container {container}: {said(done.complaint)}")

    async def delete(self, container: str, force: bool = False) -> None:
        """Remove every trace of a container but its bundle's directory and log."""
        life = self._lives.get(container)
        if life is None:
            return
        if not life.ended and life.record.started and not force:
            raise Conflict(f"container {container[:12]} is running")
        await self._discard(life)

    async def state(self, container: str) -> State:
        """What a container is doing, as its runtime sees it."""
        life = self._life(container)
        if life.ended:
            return State(container, "stopped", 0)
        done = await self._call(life, "state", container)
        if done.code:
            return State(container, "stopped", 0)
        return State(container, msgspec.json.decode(done.out)["status"], life.record.pid)

    async def wait(self, container: str) -> Exit:
        """Wait for a container's end; once it ended the answer is at hand."""
        return await asyncio.shield(self._life(container).exit)

    def pids(self, container: str) -> list[int]:
        """The host's numbers of a container's processes."""
        life = self._life(container)
        return [] if life.ended else cgroup.pids(life.record.cgroup)

    async def top(self, container: str, ps_args: str = "-ef") -> tuple[list[str], list[list[str]]]:
        """What ps says about a container's processes: titles and rows."""
        self._alive(container)
        return await top.top(self.pids(container), ps_args)

    async def exec(self, container: str, exec_id: str, spec: ExecSpec) -> Exec:
        """Run a further program in a container; it runs when this returns."""
        life = self._alive(container)
        wanted = spec.process
        who = None
        if wanted.user:
            who = await asyncio.to_thread(
                _lookup, f"/proc/{life.record.pid}/root", wanted.user, wanted.groups
            )
        document = exec_process(spec, _config(life)["process"], who, self._host)
        return await execution.start(
            self._runtimes[life.record.runtime],
            container,
            exec_id,
            document,
            # Short, because a socket in it must have a path of 107 bytes at most.
            self._execs / exec_id[:12],
            stdin=wanted.stdin,
            detach=spec.detach,
        )

    def _life(self, container: str) -> Life:
        if container not in self._lives:
            raise NotFound(f"No such container: {container}")
        return self._lives[container]

    def _alive(self, container: str) -> Life:
        life = self._life(container)
        if life.ended:
            raise Conflict(f"container {container} is not running")
        return life

    def _note(self, life: Life, **changes: Any) -> None:
        life.record = msgspec.structs.replace(life.record, **changes)
        record.write(self._records, life.record)

    async def _call(self, life: Life, *words: str, stdin: bytes = b"") -> process.Done:
        runtime = self._runtimes.get(life.record.runtime)
        if runtime is None:
            raise Failed(
                f"{life.record.runtime} does not work here any more",
                hint=f"container {life.record.id[:12]} was made with it: install it again",
            )
        return await process.run([*runtime.argv, *words], stdin=stdin, env={"PATH": SEARCH})

    async def _must(self, life: Life, verb: str, container: str) -> None:
        done = await self._call(life, verb, container)
        if done.code:
            raise Failed(f"Cannot {verb} container {container}: {said(done.complaint)}")

    async def _discard(self, life: Life) -> None:
        container = life.record.id
        if life.record.pid and not life.ended:
            await self._end(life)
        # Without its state the runtime never got so far, and may not even be installed.
        if (self._run / life.record.runtime / container).exists():
            done = await self._call(life, "delete", "--force", container)
            if done.code and "does not exist" not in done.complaint:
                raise Failed(f"Cannot delete container {container}: {said(done.complaint)}")
        life.close()
        _sweep(Path(life.record.bundle))
        (self._exits / container).unlink(missing_ok=True)
        record.forget(self._records, container)
        self._lives.pop(container, None)
        if not self._lives:
            cgroup.remove_empty(self._cgroup_parent)

    async def _end(self, life: Life) -> None:
        if life.paused:
            # A frozen process cannot die.
            await self._call(life, "resume", life.record.id)
        with contextlib.suppress(Conflict):  # Already dead; conmon is about to say so.
            life.signal(signal.SIGKILL)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asyncio.shield(life.exit)
        except TimeoutError as error:
            raise Failed(f"container {life.record.id[:12]} does not die") from error


def _config(life: Life) -> Mapping[str, Any]:
    text = Path(life.record.bundle, "config.json").read_bytes()
    config: Mapping[str, Any] = msgspec.json.decode(text)
    return config


def _sweep(bundle: Path) -> None:
    for name in _TRACES:
        (bundle / name).unlink(missing_ok=True)


def _identity(spec: ContainerSpec) -> Identity:
    return _lookup(str(spec.rootfs), spec.process.user, spec.process.groups)


def _lookup(root: str, user: str, groups: tuple[str, ...]) -> Identity:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return identity(user, groups, _text(fd, "etc/passwd"), _text(fd, "etc/group"))
    finally:
        os.close(fd)


def _text(root: int, path: str) -> str:
    """A small regular file inside a root that others wrote."""
    try:
        fd = syscalls.open_in(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""  # An image need not have one.
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, _MIB).decode(errors="replace")
    finally:
        os.close(fd)
