"""etcd by its older API (v2), which is the one that Docker's own client speaks.

Rules, so that both can write the same keys:

=============  ========================================================================
version        ``modifiedIndex`` of the node
make           PUT with ``prevExist=false``
replace        PUT with ``prevExist=true`` and ``prevIndex``
remove         DELETE with ``prevIndex``
read           with ``quorum=true``
watch          GET with ``wait``, ``recursive`` and ``waitIndex``, one event an answer
lease          a key with a ``ttl``, renewed by ``refresh``, which no watcher is told of
=============  ========================================================================

Values are text here: bytes that are no UTF-8 cannot be kept. A server remembers the last
thousand events; a watch that asks for an older one begins anew with a Snapshot.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from fairlead.model.errors import Conflict, Failed, Invalid
from fairlead.store.kept import kept
from fairlead.store.servers import Broken, Server, Unreached
from fairlead.store.shared import ABSENT, AtOnce, Changed, Entry, Event, Gone, Snapshot, writable
from fairlead.store.web import Answer, Request, Web

KEY_NOT_FOUND, COMPARE_FAILED, NODE_EXISTS, EVENTS_CLEARED = 100, 101, 105, 401
CHANGES = frozenset({KEY_NOT_FOUND, COMPARE_FAILED, NODE_EXISTS})
FORM = "application/x-www-form-urlencoded"
REMOVALS = frozenset({"delete", "expire", "compareAndDelete"})


class Etcd2Store:
    """A SharedStore in etcd's older one."""

    def __init__(self, name: str, web: Web) -> None:
        self.name = name
        self._web = web

    @property
    def at_once(self) -> AtOnce | None:
        """This API writes one key at a time."""
        return None

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist or is a folder."""
        answer, _ = await self._web.ask(Request("GET", _target(key, quorum="true")))
        found = _parsed(answer)
        if _code(found) == KEY_NOT_FOUND:
            return None
        node = _node(key, found)
        return None if node.get("dir") else _entry(node)

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        return (await self._listed(prefix))[0]

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        writable(key, value)
        if version == ABSENT:
            condition = {"prevExist": "false"}
        else:
            condition = {"prevExist": "true", "prevIndex": str(version)}
        return _entry(await self._write(key, condition, {"value": _text(key, value)}))

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that."""
        if version == ABSENT:
            raise Changed(key)  # To etcd, index 0 is no condition.
        request = Request("DELETE", _target(key, prevIndex=str(version)))
        answer, _ = await self._web.ask(request, again=False)
        _node(key, _parsed(answer))

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        while True:
            entries, index, server = await self._listed(prefix)
            yield Snapshot(entries)
            known = {entry.key for entry in entries}
            try:
                async with contextlib.aclosing(self._events(prefix, index, server)) as events:
                    async for event in events:
                        for change in _changes(event, known):
                            yield change
            except (Broken, Unreached) as error:
                self._web.servers.leave(server, error)

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs."""
        writable(key, value)
        return kept(_Lease(self, key, value, math.ceil(ttl_seconds)), ttl_seconds)

    async def close(self) -> None:
        """Let go of connections."""
        self._web.close()

    async def _listed(self, prefix: str) -> tuple[tuple[Entry, ...], int, Server]:
        """The keys below a prefix, the index they are of, and who said so."""
        target = _target(prefix, quorum="true", recursive="true", sorted="true")
        answer, server = await self._web.ask(Request("GET", target))
        found = _parsed(answer)
        if _code(found) == KEY_NOT_FOUND:
            return (), int(found["index"]), server
        index = int(answer.headers.get("x-etcd-index", "0"))
        return tuple(_leaves(_node(prefix, found))), index, server

    async def _events(self, prefix: str, index: int, server: Server) -> AsyncGenerator[Any, None]:
        """Every event after an index, until so many have happened that one may be missing."""
        while True:
            target = _target(prefix, wait="true", recursive="true", waitIndex=str(index + 1))
            answer = await self._web.wait(server, Request("GET", target), self._alive)
            if not answer.body:
                raise Broken("it stops")
            found = _parsed(answer)
            if _code(found) == EVENTS_CLEARED:
                return
            index = int(_node(prefix, found)["modifiedIndex"])
            yield found

    async def _alive(self, server: Server) -> None:
        await self._web.ask_one(server, Request("GET", _target("", quorum="true")))

    async def _write(self, key: str, condition: dict[str, str], form: dict[str, str]) -> Any:
        body = urlencode(form).encode()
        request = Request("PUT", _target(key, **condition), body, FORM)
        # A second try would find what the first has written.
        answer, _ = await self._web.ask(request, again=False)
        return _node(key, _parsed(answer))


class _Lease:
    """A key that expires."""

    def __init__(self, store: Etcd2Store, key: str, value: bytes, ttl_seconds: int) -> None:
        self._store, self._key = store, key
        self._ttl = str(ttl_seconds)
        self._value = _text(key, value)
        self._version = ABSENT

    async def make(self) -> None:
        node = await self._store._write(self._key, {}, {"value": self._value, "ttl": self._ttl})
        self._version = int(node["modifiedIndex"])

    async def renew(self) -> None:
        form = {"ttl": self._ttl, "refresh": "true"}
        try:
            node = await self._store._write(self._key, {"prevExist": "true"}, form)
        except Changed:
            await self.make()
        else:
            self._version = int(node["modifiedIndex"])

    async def drop(self) -> None:
        await self._store.delete(self._key, self._version)


def _target(key: str, **query: str) -> str:
    path = quote(f"/v2/keys/{key}", safe="/")
    return f"{path}?{urlencode(query)}" if query else path


def _text(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{key}: etcd's older API keeps text, and this is none") from None


def _parsed(answer: Answer) -> Any:
    try:
        found = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        words = answer.body[:100].decode(errors="replace").strip()
        raise Failed(
            f"etcd answered {answer.status}: {words}",
            hint="its older API may be off: etcd needs --enable-v2",
        ) from error
    if not isinstance(found, dict):
        raise Failed("etcd answered with something that is no object")
    return found


def _code(found: Any) -> int:
    return int(found.get("errorCode", 0))


def _node(key: str, found: Any) -> Any:
    """The node that an answer is about. Raises Changed, Conflict or Failed."""
    code = _code(found)
    if code in CHANGES:
        raise Changed(key)
    if code:
        raise Conflict(f"etcd: {found.get('message')} ({found.get('cause')})")
    if not isinstance(found.get("node"), dict):
        raise Failed(f"etcd answered: {found.get('message', 'nothing that makes sense')}")
    return found["node"]


def _entry(node: Any) -> Entry:
    value = str(node.get("value", "")).encode()
    return Entry(str(node["key"]).lstrip("/"), value, int(node["modifiedIndex"]))


def _leaves(node: Any) -> Iterator[Entry]:
    """All keys in a folder and those in it; nothing in a key."""
    for inner in node.get("nodes") or ():
        if inner.get("dir"):
            yield from _leaves(inner)
        else:
            yield _entry(inner)


def _changes(event: Any, known: set[str]) -> Iterator[Event]:
    """What an event says of keys; a folder that goes takes all in it along."""
    node = event["node"]
    key = str(node["key"]).lstrip("/")
    if event.get("action") in REMOVALS:
        gone = [each for each in known if each == key or each.startswith(f"{key}/")]
        known.difference_update(gone)
        yield from (Gone(each) for each in sorted(gone))
    elif not node.get("dir"):
        known.add(key)
        yield _entry(node)
