"""The agent's process: started, found again, ended.

::

    FOLDER/agent.json    what it was started with, and the way in: a port and a word
           agent.lock    held as long as it lives, whoever started it
           agent.pid     the process, if the lock is held
           keyring.json  keys it encrypts with, which it writes itself when they change
           snapshot      whom it knew, so that it finds them again

Rule: it outlives the daemon that starts it, and there is one per folder. The lock says so: the
daemon takes it and hands it on with the descriptor, so there is no moment without a holder.

What it writes goes to memory of a fixed size, of which the start makes an error message: a
file would grow with every packet that a stranger sends. Later troubles come over the RPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fairlead.gossip.rpc import Calls, Refused
from fairlead.model.errors import Failed, Unavailable
from fairlead.model.packet import joined
from fairlead.model.state import IPAddress

PROGRAM = "serf"
PORT = 7946
START_SECONDS = 20.0
LEAVE_SECONDS = 10.0
TERM_SECONDS = 5.0
POLL_SECONDS = 0.02
WORDS_BYTES = 1 << 16
SECRET = 0o600

# $0 is where its pid goes. The shell becomes the agent, so the pid is right.
BECOME = 'umask 077; cd /; echo $$ >"$0"; exec "$@"'


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides about an agent: with other settings it is another one."""

    name: str
    """Its name in the cluster, which nobody else may have."""
    address: IPAddress
    key: str = ""
    """The key to begin with, as base64; empty: nothing is encrypted."""


@dataclass(frozen=True, slots=True)
class Program:
    """An agent that is installed."""

    path: Path
    version: str


@cache
def program() -> Program | None:
    """HashiCorp's serf, if it is installed."""
    found = shutil.which(PROGRAM, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if found is None:
        return None
    try:
        said = subprocess.run(
            [found, "version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    # Others are called serf as well.
    if "Agent Protocol" not in said:
        return None
    # "0.8.2-dev", or "Serf v0.8.2".
    return Program(Path(found), said.splitlines()[0].removeprefix("Serf ").removeprefix("v"))


class Process:
    """The agent of a folder, whoever started it."""

    def __init__(self, folder: Path, command: Path) -> None:
        self._folder = folder
        self._command = command
        self._plain = folder / "agent.json"
        self._lock = folder / "agent.lock"
        self._pid = folder / "agent.pid"
        self._snapshot = folder / "snapshot"
        self._ring = folder / "keyring.json"

    @property
    def encrypted(self) -> bool:
        """Whether it has keys."""
        return self._ring.exists()

    def running(self) -> bool:
        """Whether it lives."""
        lock = self._taken()
        if lock is None:
            return self._lock.exists()
        os.close(lock)
        return False

    async def ensure(self, settings: Settings) -> bool:
        """Have it run with these settings; True if it was started, False if it was there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.running():
            if self._settled(settings):
                return False
            await self.stop()
        await self._start(settings)
        return True

    async def calls(self) -> Calls:
        """A new connection for asking it. Raises OSError or Refused."""
        return await Calls.open(*self.way_in())

    def way_in(self) -> tuple[int, str]:
        """Port and word of its RPC."""
        plain = self._read()
        port = str(plain.get("rpc_addr", "")).rpartition(":")[2]
        if not port.isdecimal():
            raise Unavailable("the serf agent's files are gone", hint="restart fairlead")
        return int(port), str(plain.get("rpc_auth", ""))

    async def stop(self) -> None:
        """End it: it says good-bye if it can, so that nobody takes this host for dead."""
        if not self.running():
            return
        with contextlib.suppress(OSError, Refused, TimeoutError, Unavailable):
            async with asyncio.timeout(LEAVE_SECONDS):
                calls = await self.calls()
                try:
                    await calls.leave()
                finally:
                    calls.close()
                if await self._ended(TERM_SECONDS):
                    return
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            if await self._ended(TERM_SECONDS):
                return
        raise Failed(
            f"the serf agent does not end: {self._command}",
            hint=f"its process is in {self._pid}",
        )

    async def erase(self) -> None:
        """End it and forget all it knew."""
        await self.stop()
        if self._folder.exists():
            shutil.rmtree(self._folder)

    async def _start(self, settings: Settings) -> None:
        lock = self._taken()
        if lock is None:
            raise Unavailable("another process is starting the agent")
        try:
            self._write(settings)
            words = _memory()
            try:
                await self._spawn(lock, words)
                # Ours is not the one that counts any more.
                os.close(lock)
                lock = -1
                await self._answering(words)
            finally:
                os.close(words)
        finally:
            if lock >= 0:
                os.close(lock)

    async def _spawn(self, lock: int, words: int) -> None:
        agent = (str(self._command), "agent", f"-config-file={self._plain}")
        starter = await asyncio.create_subprocess_exec(
            # Its parent is gone before it begins: nothing of it ends with the daemon.
            "setsid", "--fork", "sh", "-c", BECOME, str(self._pid), *agent,
            stdin=asyncio.subprocess.DEVNULL, stdout=words, stderr=words, pass_fds=(lock,),
        )  # fmt: skip
        if await starter.wait():
            raise Unavailable(f"{self._command} did not start: {_said(words)}")

    async def _answering(self, words: int) -> None:
        """Return when it answers; raises Unavailable with its last words if it never does."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + START_SECONDS
        while True:
            try:
                (await self.calls()).close()
                return
            except (OSError, Refused) as error:
                if self.running() and clock() < deadline:
                    await asyncio.sleep(POLL_SECONDS)
                    continue
                reason = _said(words) or str(error)
                raise Unavailable(
                    f"the serf agent did not start: {reason}",
                    hint=f"port {PORT} of the address that the cluster knows us by must be free",
                ) from error

    def _settled(self, settings: Settings) -> bool:
        """Whether the one that runs was started with these settings."""
        plain = self._read()
        same = plain.get("node_name") == settings.name and plain.get("bind") == _bind(settings)
        return same and self._key_stands(settings)

    def _key_stands(self, settings: Settings) -> bool:
        """Whether the keys there are came from this one: rotation may have replaced it since."""
        if not settings.key:
            return not self.encrypted
        origin = self._folder / "keyring.origin"
        ring = self._keys()
        return settings.key in ring or bool(ring and _text(origin) == settings.key)

    def _keys(self) -> list[str]:
        try:
            found = json.loads(self._ring.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return [str(key) for key in found] if isinstance(found, list) else []

    def _write(self, settings: Settings) -> None:
        """The files that it starts with; a ring that stands is left as it is."""
        if not self._key_stands(settings):
            self._ring.unlink(missing_ok=True)
            if settings.key:
                _put(self._ring, json.dumps([settings.key]))
                _put(self._folder / "keyring.origin", settings.key)
        self._forget_ourselves(settings)
        plain = {
            "node_name": settings.name,
            "bind": _bind(settings),
            "rpc_addr": f"127.0.0.1:{_free_port()}",
            "rpc_auth": secrets.token_hex(16),
            "snapshot_path": str(self._snapshot),
            "rejoin_after_leave": True,
            # As Docker's: the times of memberlist on a LAN. Who is back is found sooner.
            "profile": "lan",
            "reconnect_interval": "5s",
            "log_level": "ERR",
            # Else whoever claims our name can make the agent quit. It is reported instead.
            "disable_name_resolution": True,
        }
        if settings.key:
            plain["keyring_file"] = str(self._ring)
        _put(self._plain, json.dumps(plain, indent=1))

    def _forget_ourselves(self, settings: Settings) -> None:
        """Strike us from those it knew: under an earlier name it would meet itself alone."""
        old = _text(self._snapshot)
        ours = f" {_bind(settings)}"
        kept = [line for line in old.splitlines() if not line.endswith(ours)]
        if old:
            _put(self._snapshot, "".join(f"{line}\n" for line in kept))

    def _read(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self._plain.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _taken(self) -> int | None:
        """The lock, ours now; None if the agent has it."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, SECRET)
        except FileNotFoundError:
            # No folder, no agent; the caller asks whether the file exists.
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        return lock

    async def _ended(self, seconds: float) -> bool:
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        while self.running():
            if clock() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _signal(self, number: int) -> None:
        word = _text(self._pid)
        if not word.isdecimal():
            return
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(int(word))
            try:
                # The number may have been given to another: not while the lock is held.
                if self.running():
                    signal.pidfd_send_signal(process, number)
            finally:
                os.close(process)


def _bind(settings: Settings) -> str:
    return joined(settings.address, PORT)


def _free_port() -> int:
    """A port of the loopback that nobody has. If it is taken until it is used, we try again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def _put(path: Path, text: str) -> None:
    """Write a file that nobody else may read, whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET), "w") as file:
        file.write(text)
    new.replace(path)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _memory() -> int:
    """A file in memory that cannot grow: what does not fit any more is refused."""
    words = os.memfd_create("agent", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(words, WORDS_BYTES)
    fcntl.fcntl(words, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return words


def _said(words: int) -> str:
    """The last line that it wrote there."""
    text = os.pread(words, WORDS_BYTES, 0).rstrip(b"\0").decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else ""
