"""The daemon's side of the dataplane.

Rule: the daemon holds no state of it. Whatever was lost, `state` tells, and
every operation may simply be done again; so a broken connection is retried
once, on a new one.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from fairlead.dataplane.change import messages
from fairlead.dataplane.channel import PROTOCOL, Channel
from fairlead.model.errors import Failed, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fairlead.dataplane.change import Change
    from fairlead.dns.message import IP

REPLY_SECONDS = 10.0
START_SECONDS = 120.0
"""It takes a fifth of a second; a machine may be busy, or emulated."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy the process runs: where it listens and where it leads."""

    id: str
    proto: str
    to: tuple[IP, int]
    local: tuple[IP, int]


@dataclass(frozen=True, slots=True)
class State:
    """All that the process holds."""

    resolvers: frozenset[str]
    proxies: tuple[Proxy, ...]
    names: Mapping[str, frozenset[str]]
    """The endpoints in each zone."""
    pid: int
    version: int


class Dataplane:
    """A connection to the process behind a socket, made when first needed.

    Descriptors that are passed stay open here and are the caller's to close.
    """

    def __init__(self, socket_path: Path, log_path: Path | None = None) -> None:
        self._path = socket_path
        self._log = log_path
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()

    async def ensure(self, python: str = sys.executable) -> bool:
        """Start the process if none answers; True if it was, and so holds nothing yet.

        One that an older fairlead left behind is replaced if it speaks another protocol.
        """
        version = await self._version()
        if version == PROTOCOL:
            return False
        if version is not None:
            await self.stop()
        await self._start(python)
        await self.state()
        return True

    async def _version(self) -> int | None:
        """The protocol of the process that answers, or None without one."""
        try:
            return int((await self._ask("state"))["version"])
        except Unavailable:
            return None

    async def gone(self) -> None:
        """Return when the process that answers now has ended, for whatever reason."""
        try:
            channel = self._connect()
        except OSError:
            # So it has.
            return
        try:
            await channel.receive()
        except ConnectionError:
            return
        finally:
            channel.close()

    async def apply(self, changes: Sequence[Change]) -> None:
        """Make changes in order, in one message unless they carry very many descriptors.

        The descriptors stay ours to close.
        """
        for plain, descriptors in messages(changes):
            await self._ask("change", descriptors, changes=plain)

    async def state(self) -> State:
        """Ask what the process holds."""
        plain = await self._ask("state")
        proxies = (
            Proxy(proxy["id"], proxy["proto"], _place(proxy["to"]), _place(proxy["local"]))
            for proxy in plain["proxies"]
        )
        resolvers = frozenset(plain["resolvers"])
        names = {zone: frozenset(endpoints) for zone, endpoints in plain["names"].items()}
        return State(resolvers, tuple(proxies), names, plain["pid"], plain["version"])

    async def stats(self) -> dict[str, Any]:
        """Ask what the process has done; nothing is known of one that an older fairlead left."""
        try:
            found: dict[str, Any] = await self._ask("stats")
        except Failed:
            return {}
        return found

    async def stop(self) -> None:
        """End the process, and with it names and proxied ports."""
        await self._ask("stop")
        await self.close()

    async def close(self) -> None:
        """Hang up; the process goes on."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def _ask(self, op: str, descriptors: Sequence[int] = (), **arguments: Any) -> Any:
        async with self._turn:
            request = {"op": op, **arguments}
            try:
                reply = await self._exchange(request, descriptors)
            except OSError as error:
                raise Unavailable(
                    f"the dataplane does not answer: {str(error) or 'no reply in time'}",
                    hint=f"names and proxied ports are served by a process on {self._path};"
                    " restart fairlead to start it again",
                ) from error
        if "error" not in reply:
            return reply["ok"]
        if reply.get("unknown"):
            raise NotFound(reply["error"], hint="add it again")
        raise Failed(f"dataplane: {reply['error']}", hint=f"see {self._log or 'its log'}")

    async def _exchange(
        self, request: Mapping[str, Any], descriptors: Sequence[int]
    ) -> dict[str, Any]:
        """Send and receive, anew if a connection from earlier turns out to be broken."""
        while True:
            kept = self._channel
            channel = kept or self._connect()
            # Not kept while in use: a cancelled request would leave its reply for the next.
            self._channel = None
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    await channel.send(request, descriptors)
                    received = await channel.receive()
                if received is None:
                    raise ConnectionResetError("it hung up")
            except BaseException as error:
                channel.close()
                if kept is not None and isinstance(error, ConnectionError):
                    continue
                raise
            self._channel = channel
            return received[0]

    def _connect(self) -> Channel:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # To a unix socket this is at once or not at all.
            sock.connect(str(self._path))
        except BaseException:
            sock.close()
            raise
        return Channel(sock)

    async def _start(self, python: str) -> None:
        # -P: never import from whatever folder the daemon was started in.
        command = [python, "-P", "-m", "fairlead.dataplane.process", "--socket", str(self._path)]
        if self._log is not None:
            command += ["--log", str(self._log)]
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        starter = await asyncio.create_subprocess_exec(
            *command, stdin=null, stdout=null, stderr=pipe, start_new_session=True
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                _, said = await starter.communicate()
        except BaseException as error:
            if starter.returncode is None:
                starter.kill()
                await starter.wait()
            if isinstance(error, TimeoutError):
                raise Unavailable(
                    f"the dataplane did not start within {START_SECONDS:g} s",
                    hint=f"is the machine overloaded? run: {' '.join(command)}",
                ) from error
            raise
        if starter.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Unavailable(
                f"the dataplane did not start: {lines[-1]}", hint=f"run: {' '.join(command)}"
            )


def _place(plain: Sequence[Any]) -> tuple[IP, int]:
    return ip_address(plain[0]), plain[1]
