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

from kazoo.exceptions import (
    BadVersionError,
    KazooException,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)

from fairlead.model.errors import Failed
from fairlead.store.kept import kept
from fairlead.store.servers import Server
from fairlead.store.shared import (
    ABSENT,
    AtOnce,
    Changed,
    Entry,
    Event,
    Gone,
    Snapshot,
    writable,
)
from fairlead.store.tls import Files
from fairlead.store.zookeeper_session import Session

SESSION_SECONDS = 10.0
AT_ONCE = 500
"""Nodes read at the same time."""
NOT_DONE = (RolledBackError, RuntimeInconsistency)
"""What becomes of a step whose transaction was refused for another one."""
MOST_GUESSES = 4


class ZookeeperStore:
    """A SharedStore in ZooKeeper."""

    def __init__(self, name: str, servers: Sequence[Server], files: Files | None) -> None:
        self.name = name
        self._servers, self._files = servers, files
        self._session = Session(name, servers, files, SESSION_SECONDS)

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one transaction."""
        return self._put_all

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

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            writable(entry.key, entry.value)
        folders = False
        for _ in range(MOST_GUESSES):
            refused = await self._try_all(entries, folders)
            if refused is None:
                return
            if isinstance(refused[1], NodeExistsError):
                # A folder, unless somebody was faster.
                folders = True
            else:
                await self._session.call("ensure_path", _path(refused[0]).rpartition("/")[0])
        raise Changed(entries[0].key)

    async def _try_all(
        self, entries: Sequence[Entry], folders: bool
    ) -> tuple[str, NodeExistsError | NoNodeError] | None:
        """Writes all or none; which could not be made as was guessed. Raises Changed."""
        nodes = await asyncio.gather(*(self._node(entry, folders) for entry in entries))
        writing = self._session.client.transaction()
        for entry, node in zip(entries, nodes, strict=True):
            if node is None:
                writing.create(_path(entry.key), entry.value)
            else:
                writing.set_data(_path(entry.key), entry.value, version=node.version)
        answers = await self._session.done(writing.commit_async)
        for entry, node, answer in zip(entries, nodes, answers, strict=True):
            if isinstance(answer, NodeExistsError | NoNodeError) and node is None:
                return entry.key, answer
            if isinstance(answer, NoNodeError | BadVersionError):
                raise Changed(entry.key)
            # Those before the one that was refused, and those after it.
            if isinstance(answer, KazooException) and not isinstance(answer, NOT_DONE):
                raise Failed(f"zookeeper: {type(answer).__name__} {answer}".strip())
        return None

    async def _node(self, entry: Entry, folders: bool) -> Any:
        """What is known of a node that is to be written; None: it is to be made."""
        if entry.version != ABSENT:
            return await self._unchanged(entry.key, entry.version)
        found = await self._session.read(_path(entry.key)) if folders else None
        if found is not None and found[0]:
            raise Changed(entry.key)
        return None if found is None else found[1]

    async def _unchanged(self, key: str, version: int) -> Any:
        """What ZooKeeper knows of a node that is as it was. Raises Changed."""
        found = await self._session.read(_path(key))
        if found is None or (ABSENT if not found[0] else found[1].mzxid) != version:
            raise Changed(key)
        return found[1]


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
        # Each is asked on its own, but nobody has to wait for one before the other.
        found, children = await asyncio.gather(
            self._session.read(path, self._tell),
            self._session.call("get_children", path, watch=self._tell, missing=True),
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
