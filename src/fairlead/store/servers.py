"""The servers of a store: which one is asked first, and for how long each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fairlead.store.shared import LIMIT_SECONDS, Away

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a store listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Unreached(Exception):
    """A server could not be connected to: it has not seen the request."""


class Broken(Exception):
    """A server did not answer as it should: the request may have been served or not."""


class Servers:
    """All of a store's servers; the one that answered last is asked first."""

    def __init__(self, name: str, servers: Sequence[Server], limit_seconds: float) -> None:
        self.name = name
        self._servers = list(servers)
        self._limit = min(limit_seconds, LIMIT_SECONDS)

    def away(self, why: str) -> Away:
        """The error of a store that does not answer."""
        return Away(f"the cluster's store {self.name} does not answer", hint=why)

    async def ask(
        self, send: Callable[[Server, float], Awaitable[T]], *, again: bool
    ) -> tuple[T, Server]:
        """The answer of the first server that gives one, and which it was. Raises Away.

        A request that may have been served is not sent again unless that does no harm.
        Each server gets its part of the time that is left.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limit
        why = ""
        for left in range(len(self._servers), 0, -1):
            server = self._servers[0]
            part = (end - loop.time()) / left
            try:
                async with asyncio.timeout(part):
                    return await send(server, part), server
            except Unreached as error:
                why = f"{server}: {error}"
            except (Broken, TimeoutError) as error:
                why = f"{server}: {str(error) or f'no answer within {part:.1f} s'}"
                if not again:
                    self.turn(server)
                    break
            self.turn(server)
        raise self.away(why)

    def leave(self, server: Server, why: Unreached | Broken) -> None:
        """Watch at another server than this one, which failed. Raises Away if there is none."""
        self.turn(server)
        if len(self._servers) == 1:
            raise self.away(f"{server}: {why}") from why

    def turn(self, server: Server) -> None:
        """Ask this one last from now on."""
        if self._servers[0] == server:
            self._servers.append(self._servers.pop(0))
