"""ZooKeeper: a tree of nodes, each of which can hold something and have others below.

A node that holds nothing is a folder, and no key. The version of a key is the number of the
transaction that last wrote it (``mzxid``): ZooKeeper's own, which counts from 0 anew whenever
a node is made, would take a key that was removed and made again for the same. It compares by
its own only, so a change looks at the node first and is then bound to what it saw.

A watch tells once that something is to be read anew; it is set again by that reading, so
nothing is missed, though what follows quickly is seen as one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
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
from fairlead.store.kept import kept
from fairlead.store.servers import Server
from fairlead.store.shared import (
    ABSENT,
    LIMIT_SECONDS,
    AtOnce,
    Away,
    Changed,
    Entry,
    Event,
    Gone,
    Snapshot,
    writable,
)
from fairlead.store.tls import Files

SESSION_SECONDS = 10.0
RECONNECT_SECONDS = 2.0
"""How long a call waits for a connection that was lost: another server is found by then."""
AT_ONCE = 500
"""Nodes read at the same time."""
RECONNECT = {"max_tries": -1, "delay": 0.1, "max_delay": 1.0}
LOST = (ConnectionLoss, ConnectionClosedError, SessionExpiredError, OperationTimeoutError)


class ZookeeperStore:
    """A SharedStore in ZooKeeper."""

    def __init__(self, name: str, servers: Sequence[Server], files: Files | None) -> None:
        self.name = name
        self._servers, self._files = servers, files
        self._session = Session(name, servers, files, SESSION_SECONDS)

    @property
    def at_once(self) -> AtOnce | None:
        """Not used."""
        return None

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist or is a folder."""
        found = await self._session.read(_path(key))
        return _entry(key, found)

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        await self._session.call("sync", _path(prefix), missing=True)
        return tuple((await Tree(self._session, prefix, None).all()).values())

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        writable(key, value)
        path, call = _path(key), self._session.call
        try:
            if version == ABSENT:
                with contextlib.suppress(NodeExistsError):
                    made = {"makepath": True, "include_data": True}
                    _, about = await call("create", path, value, **made)
                    return Entry(key, value, about.mzxid)
            about = await self._unchanged(key, version)
            about = await call("set", path, value, version=about.version)
        except (BadVersionError, NoNodeError) as error:
            raise Changed(key) from error
        return Entry(key, value, about.mzxid)

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that; one with others below becomes a folder."""
        about = await self._unchanged(key, version)
        path, call = _path(key), self._session.call
        try:
            try:
                await call("delete", path, version=about.version)
            except NotEmptyError:
                await call("set", path, b"", version=about.version)
        except (BadVersionError, NoNodeError) as error:
            raise Changed(key) from error

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        loop = asyncio.get_running_loop()
        fired: asyncio.Queue[str] = asyncio.Queue()
        await self._session.ready()

        def tell(event: Any) -> None:
            # Without a path: the connection is lost, and all watches with it.
            loop.call_soon_threadsafe(fired.put_nowait, event.path or "")

        tree = Tree(self._session, prefix, tell)
        await self._session.call("sync", _path(prefix), missing=True)
        known = await tree.all()
        yield Snapshot(tuple(known.values()))
        while True:
            paths = {await fired.get()}
            while not fired.empty():
                paths.add(fired.get_nowait())
            if "" in paths:
                raise self._session.away("the connection is lost")
            gone, written = await tree.again(paths)
            for key in sorted(gone):
                yield Gone(key)
            for entry in sorted(written, key=lambda entry: entry.version):
                yield entry

    @contextlib.asynccontextmanager
    async def lease(self, key: str, value: bytes, ttl_seconds: float) -> AsyncIterator[None]:
        """A key that is there while the block runs; its session is its own."""
        writable(key, value)
        session = Session(self.name, self._servers, self._files, ttl_seconds)
        try:
            async with kept(_Lease(session, key, value), ttl_seconds):
                yield
        finally:
            await session.close()

    async def close(self) -> None:
        """Let go of connections."""
        await self._session.close()

    async def _unchanged(self, key: str, version: int) -> Any:
        """What ZooKeeper knows of a node that is as it was. Raises Changed."""
        found = await self._session.read(_path(key))
        if found is None or (ABSENT if not found[0] else found[1].mzxid) != version:
            raise Changed(key)
        return found[1]


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

        started = getattr(self.client, f"{name}_async")(*args, **words)
        started.rawlink(lambda result: loop.call_soon_threadsafe(settle, result))
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await done
        except TimeoutError:
            raise self.away(f"no answer within {LIMIT_SECONDS:.0f} s") from None
        except LOST as error:
            raise self.away(f"the connection is lost ({type(error).__name__})") from error
        except NoNodeError:
            if missing:
                return None
            raise
        except (BadVersionError, NodeExistsError, NotEmptyError):
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


class Tree:
    """The nodes below a prefix, as last read; each is watched if somebody is to be told."""

    def __init__(self, session: Session, prefix: str, tell: Callable[[Any], None] | None) -> None:
        self._session, self._prefix, self._tell = session, prefix, tell
        self._known: dict[str, Entry] = {}
        self._children: dict[str, frozenset[str]] = {}

    async def all(self) -> dict[str, Entry]:
        """Every key, read anew."""
        self._known, self._children = {}, {}
        await self.again({_path(self._prefix)})
        return dict(self._known)

    async def again(self, paths: set[str]) -> tuple[set[str], list[Entry]]:
        """Reads nodes again, and those that are new below them: what went, what was written."""
        before = dict(self._known)
        todo = dict.fromkeys(sorted(paths))
        while todo:
            now = [*todo][:AT_ONCE]
            for path in now:
                del todo[path]
            for more in await asyncio.gather(*map(self._look, now)):
                todo.update(dict.fromkeys(more))
        written = [e for key, e in self._known.items() if e != before.get(key)]
        return before.keys() - self._known.keys(), written

    async def _look(self, path: str) -> list[str]:
        """Reads one node; the paths of others to read then."""
        key = path.strip("/")
        found = await self._session.read(path, self._tell)
        children = None
        if found is not None:
            children = await self._session.call(
                "get_children", path, watch=self._tell, missing=True
            )
        if found is None or children is None:
            self._forget(path)
            if path != _path(self._prefix):
                # It may be back by now, and nobody watches it: the one above knows.
                above, _, name = path.rpartition("/")
                self._children[above] = self._children.get(above, frozenset()) - {name}
                return [above]
            if self._tell is None:
                return []
            back = await self._session.call("exists", path, watch=self._tell)
            return [path] if back is not None else []
        entry = _entry(key, found)
        if entry is not None and path != _path(self._prefix):
            self._known[key] = entry
        else:
            self._known.pop(key, None)
        names = frozenset(children)
        had = self._children.get(path, frozenset())
        self._children[path] = names
        for name in had - names:
            self._forget(f"{path}/{name}")
        return [f"{path}/{name}" for name in names - had]

    def _forget(self, path: str) -> None:
        self._known.pop(path.strip("/"), None)
        for name in self._children.pop(path, ()):
            self._forget(f"{path}/{name}")


class _Lease:
    """A node that goes with its session."""

    def __init__(self, session: Session, key: str, value: bytes) -> None:
        self._session, self._path, self._value = session, _path(key), value

    async def make(self) -> None:
        call = self._session.call
        for _ in range(3):
            with contextlib.suppress(NoNodeError):
                # One of an earlier session of ours, most likely.
                await call("delete", self._path)
            with contextlib.suppress(NodeExistsError):
                await call("create", self._path, self._value, ephemeral=True, makepath=True)
                return
        raise Changed(self._path.strip("/"))

    async def renew(self) -> None:
        about = await self._session.call("exists", self._path)
        # The session is kept alive by kazoo; what is looked after here is that it is the same.
        mine = self._session.client.client_id
        if about is None or mine is None or about.ephemeralOwner != mine[0]:
            await self.make()

    async def drop(self) -> None:
        await self._session.close()


def _path(key: str) -> str:
    return f"/{key}"


def _entry(key: str, found: Any) -> Entry | None:
    return Entry(key, found[0], found[1].mzxid) if found is not None and found[0] else None


def _end(client: KazooClient) -> None:
    # A thread of it that hangs with its server is left behind: it ends with the process.
    with contextlib.suppress(WriterNotClosedException):
        client.stop()
        client.close()
