"""etcd by its own API (v3), through the JSON gateway that every server has.

The version of a key is its ``mod_revision``. Leases are etcd3gw's; lists and watches are
sent from here, because they need the revision a list is of, and a watch that ends with its
caller: etcd3gw's tells nobody when it breaks off or when revisions were compacted away. So are
reads and changes, of which a network is made by eight, one after the other: none has to wait
for a thread.

A watch that begins again, after an absence of the store, asks for keys and revisions only, and
then for the values that it does not have: all hosts of a cluster come back at once.
"""

from __future__ import annotations

import contextlib
import math
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import Etcd3Exception

from fairlead.model.errors import Failed
from fairlead.store.kept import kept
from fairlead.store.requesting import Session
from fairlead.store.servers import Broken, Server, Unreached
from fairlead.store.shared import (
    ABSENT,
    LIMIT_SECONDS,
    AtOnce,
    Changed,
    Entry,
    Event,
    Gone,
    Snapshot,
    writable,
)
from fairlead.store.threads import Threads
from fairlead.store.tls import Files
from fairlead.store.web import Answer, Request, Web

PAGE = 500
"""Keys in one answer to a list."""
MOST_FETCHED = 100
"""Values in one request; of more that are new all are read. (etcd takes 128.)"""
Stamp = tuple[int, int]
"""What beside its version tells two of a key's values apart, in a store that was set back, too."""


@dataclass(slots=True)
class _Heard:
    """What was below a prefix when it was heard last, and of which revision that is.

    Whoever watches keeps those very values: what is heard again is the same object, not its like.
    """

    entries: dict[str, tuple[Stamp, Entry]] = field(default_factory=dict)
    revision: int = 0

    def known(self, pair: Any) -> Entry | None:
        """The entry that was heard before, if it is still that."""
        key = b64decode(pair["key"]).decode(errors="replace")
        stamp, entry = self.entries.get(key, (None, None))
        if entry is None or entry.version != int(pair["mod_revision"]):
            return None
        return entry if stamp == _stamp(pair) else None

    def told(self, pair: Any) -> Entry:
        """What etcd says a key holds, which may be what it held before."""
        entry = _entry(pair)
        _, before = self.entries.get(entry.key, (None, None))
        if before is None or before.value != entry.value:
            return entry
        return Entry(before.key, before.value, entry.version)

    def take(self, event: Any) -> Entry | Gone:
        """What etcd says of a change."""
        entry = self.told(event["kv"])
        self.revision = entry.version
        # Zero values are left out of this JSON, and PUT is one.
        if event.get("type") == "DELETE":
            self.entries.pop(entry.key, None)
            return Gone(entry.key)
        self.entries[entry.key] = (_stamp(event["kv"]), entry)
        return entry


API = "/v3/"
T = TypeVar("T")


class Etcd3Store:
    """A SharedStore in etcd."""

    def __init__(self, name: str, servers: Sequence[Server], web: Web, files: Files | None) -> None:
        self.name = name
        self._web = web
        self._threads = Threads("etcd")
        self._heard: dict[str, _Heard] = {}
        """By the prefixes that are watched."""
        limit = LIMIT_SECONDS / len(servers)
        self._clients = {
            server: Etcd3Client(
                server.host,
                server.port,
                "https" if files else "http",
                timeout=limit,
                api_path=API,
                session=Session(files, limit),
            )
            for server in servers
        }

    @property
    def received_bytes(self) -> int:
        """All that the servers have sent, but for the keeping of leases."""
        return self._web.received_bytes

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one transaction."""
        return self._put_all

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""
        said = await self._asked("kv/range", {"key": _coded(key)}, again=True)
        for pair in said.get("kvs", ()):
            return _entry(pair)
        return None

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        return tuple(_entry(pair) for pair in (await self._listed(prefix))[0])

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        writable(key, value)
        return Entry(key, value, await self._change([(key, version, _put(key, value))]))

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that."""
        if version == ABSENT:
            raise Changed(key)
        gone = {"request_delete_range": {"key": _coded(key)}}
        await self._change([(key, version, gone)])

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        while True:
            entries, revision, server = await self._renewed(prefix)
            yield Snapshot(entries)
            try:
                async with contextlib.aclosing(self._events(prefix, revision, server)) as events:
                    async for event in events:
                        yield event
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
        self._threads.close()
        for client in self._clients.values():
            client.session.close()

    async def _call(self, work: Callable[[Etcd3Client], T], *, again: bool) -> T:
        """What one of the clients says. Raises Away, and Failed if it refuses."""

        async def send(server: Server, _seconds: float) -> T:
            return await self._threads.run(work, self._clients[server])

        try:
            return (await self._web.servers.ask(send, again=again))[0]
        except Etcd3Exception as error:
            raise Failed(f"etcd: {error.detail_text or error}".strip()) from error

    async def _asked(self, path: str, body: object, *, again: bool) -> Any:
        """What one of the servers says. Raises Away, and Failed if it refuses."""
        answer, _ = await self._web.ask(_request(path, body), again=again)
        return _granted(answer)

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            writable(entry.key, entry.value)
        await self._change([(e.key, e.version, _put(e.key, e.value)) for e in entries])

    async def _change(self, changes: Sequence[tuple[str, int, Any]]) -> int:
        """Does something to keys whose versions are still those; the version they have then."""
        compare = [
            {
                "key": _coded(key),
                "result": "EQUAL",
                "target": "MOD",
                "mod_revision": str(version),
            }
            for key, version, _ in changes
        ]
        wanted = {"compare": compare, "success": [change for _, _, change in changes]}
        said = await self._asked("kv/txn", wanted, again=False)
        if not said.get("succeeded"):
            raise Changed(changes[0][0])
        return int(said["header"]["revision"])

    async def _listed(self, prefix: str, keys_only: bool = False) -> tuple[list[Any], str, Server]:
        """What etcd says of the keys below a prefix, the revision that is of, and who said so."""
        found: list[Any] = []
        ask = {"key": _coded(f"{prefix}/"), "range_end": _coded(_end(prefix)), "limit": PAGE}
        ask |= {"keys_only": True} if keys_only else {}
        while True:
            answer, server = await self._web.ask(_request("kv/range", ask))
            said = _granted(answer)
            found.extend(said.get("kvs", ()))
            # All pages are of the moment of the first.
            ask.setdefault("revision", said["header"]["revision"])
            if not said.get("more"):
                return found, str(ask["revision"]), server
            ask["key"] = b64encode(b64decode(found[-1]["key"]) + b"\0").decode()

    async def _renewed(self, prefix: str) -> tuple[tuple[Entry, ...], int, Server]:
        """The entries below a prefix, the revision they are of, and who said so."""
        heard = self._heard.get(prefix) or _Heard()
        pairs, revision, server = await self._listed(prefix, keys_only=bool(heard.entries))
        had: dict[str, Entry] = {}
        if heard.entries:
            # A store that went back may have other values under the same revisions.
            if int(revision) >= heard.revision:
                had = {pair["key"]: entry for pair in pairs if (entry := heard.known(pair))}
            missing = [pair["key"] for pair in pairs if pair["key"] not in had]
            if len(missing) > MOST_FETCHED:
                had, (pairs, revision, server) = {}, await self._listed(prefix)
            elif missing:
                news = {pair["key"]: pair for pair in await self._fetched(missing, revision)}
                pairs = [news.get(pair["key"], pair) for pair in pairs]
        now = [had.get(pair["key"]) or heard.told(pair) for pair in pairs]
        stamped = zip(map(_stamp, pairs), now, strict=True)
        self._heard[prefix] = _Heard({each[1].key: each for each in stamped}, int(revision))
        return tuple(now), int(revision), server

    async def _fetched(self, keys: Sequence[str], revision: str) -> list[Any]:
        """What some keys held at a revision."""
        reads = [{"request_range": {"key": key, "revision": revision}} for key in keys]
        said = await self._asked("kv/txn", {"success": reads}, again=True)
        answers = (each["response_range"] for each in said["responses"])
        return [pair for answer in answers for pair in answer.get("kvs", ())]

    async def _events(
        self, prefix: str, revision: int, server: Server
    ) -> AsyncGenerator[Event, None]:
        """Every event after a revision, until one may be missing."""
        wanted = {
            "key": _coded(f"{prefix}/"),
            "range_end": _coded(_end(prefix)),
            "start_revision": str(revision + 1),
        }
        request = _request("watch", {"create_request": wanted})
        heard = self._heard[prefix]
        async with contextlib.aclosing(self._web.lines(server, request, self._alive)) as lines:
            async for line in lines:
                if not line.strip():
                    continue
                said = _said(line)
                if "result" not in said:
                    raise Broken(str(said.get("error", "an answer that makes no sense"))[:200])
                if said["result"].get("canceled"):
                    return  # What we asked for was compacted away.
                for event in said["result"].get("events", ()):
                    yield heard.take(event)

    async def _alive(self, server: Server) -> None:
        ask = {"key": _coded("fairlead"), "keys_only": True}
        await self._web.ask_one(server, _request("kv/range", ask))


class _Lease:
    """A key that is bound to one of etcd's leases."""

    def __init__(self, store: Etcd3Store, key: str, value: bytes, ttl_seconds: int) -> None:
        self._store, self._key, self._value, self._ttl = store, key, value, ttl_seconds
        self._id = 0

    async def make(self) -> None:
        def made(client: Etcd3Client) -> int:
            lease = client.lease(self._ttl)
            client.put(self._key.encode(), self._value, lease)
            return int(lease.id)

        self._id = await self._store._call(made, again=True)

    async def renew(self) -> None:
        def renewed(client: Etcd3Client) -> bool:
            said = client.post(client.get_url("lease/keepalive"), json={"ID": str(self._id)})
            # One that is gone is answered without a time.
            return bool(said["result"].get("TTL")) and bool(client.get(self._key.encode()))

        if not await self._store._call(renewed, again=True):
            await self.make()

    async def drop(self) -> None:
        def revoked(client: Etcd3Client) -> None:
            client.post(client.get_url("lease/revoke"), json={"ID": str(self._id)})

        await self._store._call(revoked, again=True)


def _put(key: str, value: bytes) -> dict[str, Any]:
    return {"request_put": {"key": _coded(key), "value": b64encode(value).decode()}}


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _end(prefix: str) -> str:
    """The first key after all that begin with ``prefix/``."""
    return f"{prefix}{chr(ord('/') + 1)}"


def _request(path: str, body: object) -> Request:
    return Request("POST", f"{API}{path}", msgspec.json.encode(body), "application/json")


def _granted(answer: Answer) -> Any:
    said = _said(answer.body)
    if answer.status != 200:
        raise Failed(f"etcd: {said.get('message') or said.get('error')}")
    return said


def _said(text: bytes) -> Any:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Failed(
            f"etcd answered with no JSON: {text[:100].decode(errors='replace')}"
        ) from error
    if not isinstance(found, dict):
        raise Failed("etcd answered with something that is no object")
    return found


def _entry(pair: Any) -> Entry:
    key = b64decode(pair["key"]).decode(errors="replace")
    return Entry(key, b64decode(pair.get("value", "")), int(pair["mod_revision"]))


def _stamp(pair: Any) -> Stamp:
    return int(pair["create_revision"]), int(pair["version"])
