"""A session with ZooKeeper, on kazoo's own threads: its calls are awaited here, within a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    SessionExpiredError,
    WriterNotClosedException,
)

from fairlead.model.errors import Failed
from fairlead.store.servers import Server
from fairlead.store.shared import LIMIT_SECONDS, Away
from fairlead.store.tls import Files

RECONNECT_SECONDS = 2.0
"""How long a call waits for a connection that was lost: another server is found by then."""
RECONNECT = {"max_tries": -1, "delay": 0.1, "max_delay": 1.0}
LOST = (ConnectionLoss, ConnectionClosedError, SessionExpiredError, OperationTimeoutError)


class Session:
    """A connection and what lives as long, on kazoo's threads; made when it is first used."""

    def __init__(
        self, name: str, servers: Sequence[Server], files: Files | None, seconds: float
    ) -> None:
        self._name = name
        tls: dict[str, Any] = {}
        if files is not None:
            tls = {
                "use_ssl": True,
                "check_hostname": True,
                "ca": files.authority or None,
                "certfile": files.certificate or None,
                "keyfile": files.key or None,
            }
        self.client = KazooClient(
            ",".join(map(str, servers)), timeout=seconds, connection_retry=RECONNECT, **tls
        )
        self._started = False
        self._connected = asyncio.Event()

    def away(self, why: str) -> Away:
        """The error of a store that does not answer."""
        return Away(f"the cluster's store {self._name} does not answer", hint=why)

    async def ready(self) -> None:
        """Returns when it is connected. Raises Away."""
        if self.client.connected:
            return
        loop = asyncio.get_running_loop()
        limit = RECONNECT_SECONDS if self._started else LIMIT_SECONDS
        if not self._started:
            self._started = True

            def changed(_state: str) -> None:
                loop.call_soon_threadsafe(self._connected.set)

            self.client.add_listener(changed)
            self.client.start_async()
        try:
            async with asyncio.timeout(limit):
                while not self.client.connected:
                    self._connected.clear()
                    await self._connected.wait()
        except TimeoutError:
            raise self.away(f"no connection within {limit:.0f} s") from None

    async def call(self, name: str, *args: Any, missing: bool = False, **words: Any) -> Any:
        """What a call of kazoo's returns; None for a node that is not there, if it may be."""
        try:
            return await self.done(partial(getattr(self.client, f"{name}_async"), *args, **words))
        except NoNodeError:
            if missing:
                return None
            raise

    async def done(self, start: Callable[[], Any]) -> Any:
        """What comes of something that kazoo does. Raises Away, or Failed if it refuses."""
        await self.ready()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any) -> None:
            if done.done():
                return
            if result.exception is not None:
                done.set_exception(result.exception)
            else:
                done.set_result(result.value)

        start().rawlink(lambda result: loop.call_soon_threadsafe(settle, result))
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await done
        except TimeoutError:
            raise self.away(f"no answer within {LIMIT_SECONDS:.0f} s") from None
        except LOST as error:
            raise self.away(f"the connection is lost ({type(error).__name__})") from error
        except (BadVersionError, NodeExistsError, NoNodeError, NotEmptyError):
            raise
        except KazooException as error:
            raise Failed(f"zookeeper: {type(error).__name__} {error}".strip()) from error

    async def read(self, path: str, tell: Callable[[Any], None] | None = None) -> Any:
        """What a node holds and what is known of it; None if there is none."""
        return await self.call("get", path, watch=tell, missing=True)

    async def close(self) -> None:
        """End it, and take its nodes along."""
        if self._started:
            self._started = False
            await asyncio.to_thread(_end, self.client)


def _end(client: KazooClient) -> None:
    # A thread of it that hangs with its server is left behind: it ends with the process.
    with contextlib.suppress(WriterNotClosedException):
        client.stop()
        client.close()
