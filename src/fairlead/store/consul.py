"""Consul: its key-value store, its sessions for leases.

The version of a key is its ``ModifyIndex``. Short calls are py-consul's; changes go through
transactions, the only ones that say what index they made, of one step or of several. A watch is a
blocking query on everything below a prefix, compared with what was there before: it is sent
from here, since it lasts, and a thread that waits cannot be told to stop.

Consul takes no session shorter than ten seconds and lets one live up to twice its time: a
lease is a session of half its time, and of less than twenty seconds there are none.
"""

from __future__ import annotations

import math
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from consul.exceptions import ClientError, ConsulException, NotFound
from consul.std import Consul

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

SHORTEST_SESSION_SECONDS = 10
WAIT_SECONDS = 60
STALE = "is stale"
"""What Consul says of an index that is not the key's."""
T = TypeVar("T")


def headers() -> Mapping[str, str]:
    """What every request carries: the token that Consul's own tools take, if there is one."""
    token = os.environ.get("CONSUL_HTTP_TOKEN")
    return {"X-Consul-Token": token} if token else {}


class ConsulStore:
    """A SharedStore in Consul."""

    def __init__(self, name: str, servers: Sequence[Server], web: Web, files: Files | None) -> None:
        self.name = name
        self._web = web
        self._threads = Threads("consul")
        self._clients = {server: _client(server, files, len(servers)) for server in servers}

    @property
    def at_once(self) -> AtOnce | None:
        """Writes several keys in one transaction."""
        return self._put_all

    async def get(self, key: str) -> Entry | None:
        """What a key holds; None if it does not exist."""
        _, found = await self._call(lambda client: client.kv.get(key), again=True)
        return Entry(key, found["Value"] or b"", found["ModifyIndex"]) if found else None

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        """Every key below a prefix."""
        answer, _ = await self._web.ask(Request("GET", _target(prefix)))
        return tuple(_entries(answer))

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        """Write a key whose version is still that."""
        writable(key, value)
        return Entry(key, value, await self._change(_put(Entry(key, value, version))))

    async def delete(self, key: str, version: int) -> None:
        """Remove a key whose version is still that."""
        if version == ABSENT:
            raise Changed(key)
        # A step that removes succeeds where nothing is; this one wants the key as it was.
        check = {"Verb": "check-index", "Key": key, "Index": version}
        await self._change(check, {"Verb": "delete-cas", "Key": key, "Index": version})

    async def watch(self, prefix: str) -> AsyncGenerator[Event, None]:
        """What is below a prefix, and what becomes of it."""
        while True:
            answer, server = await self._web.ask(Request("GET", _target(prefix)))
            index, known = _index(answer), {entry.key: entry for entry in _entries(answer)}
            yield Snapshot(tuple(known.values()))
            try:
                while True:
                    answer = await self._later(prefix, index, server)
                    if _index(answer) < index:
                        break  # Another store than before: all anew.
                    index, found = _index(answer), {e.key: e for e in _entries(answer)}
                    for event in _changes(known, found):
                        yield event
                    known = found
            except (Broken, Unreached) as error:
                self._web.servers.leave(server, error)

    def lease(
        self, key: str, value: bytes, ttl_seconds: float
    ) -> AbstractAsyncContextManager[None]:
        """A key that is there while the block runs; it lasts 20 seconds at least."""
        writable(key, value)
        ttl_seconds = max(ttl_seconds, 2 * SHORTEST_SESSION_SECONDS)
        return kept(_Lease(self, key, value, math.floor(ttl_seconds / 2)), ttl_seconds / 2)

    async def close(self) -> None:
        """Let go of connections."""
        self._web.close()
        self._threads.close()
        for client in self._clients.values():
            client.http.session.close()

    async def _later(self, prefix: str, index: int, server: Server) -> Answer:
        target = _target(prefix, f"&index={max(index, 1)}&wait={WAIT_SECONDS}s")
        return await self._web.wait(server, Request("GET", target), self._alive)

    async def _alive(self, server: Server) -> None:
        answer = await self._web.ask_one(server, Request("GET", "/v1/status/leader"))
        if len(answer.body) < 4:
            raise Broken("no leader")

    async def _call(self, work: Callable[[Any], T], *, again: bool) -> T:
        """What one of the clients says. Raises Away, and Failed if it refuses."""

        async def send(server: Server, _seconds: float) -> T:
            return await self._threads.run(work, self._clients[server])

        try:
            return (await self._web.servers.ask(send, again=again))[0]
        except ConsulException as error:
            raise Failed(f"consul: {error}") from error

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            writable(entry.key, entry.value)
        await self._change(*map(_put, entries))

    async def _change(self, *steps: dict[str, Any]) -> int:
        """Does steps to a key, all or none; the index it has then. Raises Changed."""

        def change(client: Any) -> int:
            try:
                done = client.txn.put([{"KV": step} for step in steps])
            except ClientError as error:
                words = str(error)
                if words.startswith("409") and (STALE in words or "doesn't exist" in words):
                    raise Changed(steps[0]["Key"]) from error
                raise
            return int(done["Results"][-1]["KV"]["ModifyIndex"]) if done["Results"] else ABSENT

        return await self._call(change, again=False)


class _Lease:
    """A key that a session holds, and that goes with it."""

    def __init__(self, store: ConsulStore, key: str, value: bytes, seconds: int) -> None:
        self._store, self._key, self._value, self._seconds = store, key, value, seconds
        self._session = ""

    async def make(self) -> None:
        def made(client: Any) -> str:
            session: str = client.session.create(
                name="fairlead", behavior="delete", ttl=self._seconds, lock_delay=0
            )
            if not client.kv.put(self._key, self._value, acquire=session):
                # Somebody holds it: most likely we did, before we were started again.
                client.kv.delete(self._key)
                if not client.kv.put(self._key, self._value, acquire=session):
                    client.session.destroy(session)
                    raise Changed(self._key)
            return session

        self._session = await self._store._call(made, again=True)

    async def renew(self) -> None:
        def renewed(client: Any) -> bool:
            try:
                client.session.renew(self._session)
            except NotFound:
                return False
            _, found = client.kv.get(self._key)
            return bool(found) and found.get("Session") == self._session

        if not await self._store._call(renewed, again=True):
            await self.make()

    async def drop(self) -> None:
        await self._store._call(lambda client: client.session.destroy(self._session), again=True)


def _client(server: Server, files: Files | None, servers: int) -> Any:
    host = f"[{server.host}]" if ":" in server.host else server.host
    client = Consul(host, server.port, scheme="https" if files else "http")
    client.http.session = Session(files, LIMIT_SECONDS / servers)
    client.http.session.headers.update(headers())
    return client


def _put(entry: Entry) -> dict[str, Any]:
    """The step that writes a key whose version is still that."""
    coded = b64encode(entry.value).decode()
    return {"Verb": "cas", "Key": entry.key, "Value": coded, "Index": entry.version}


def _target(prefix: str, more: str = "") -> str:
    return f"{quote(f'/v1/kv/{prefix}/', safe='/')}?recurse=true{more}"


def _index(answer: Answer) -> int:
    return int(answer.headers.get("x-consul-index", "0"))


def _entries(answer: Answer) -> Iterator[Entry]:
    """The keys of an answer; those that end as folders do are none."""
    if answer.status == 404:
        return
    if answer.status != 200:
        raise Failed(f"consul: {answer.body[:200].decode(errors='replace').strip()}")
    for pair in msgspec.json.decode(answer.body):
        if not pair["Key"].endswith("/"):
            yield Entry(pair["Key"], b64decode(pair["Value"] or ""), pair["ModifyIndex"])


def _changes(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> Iterator[Event]:
    """What went, then what was written, in the order of that."""
    yield from (Gone(key) for key in before.keys() - after.keys())
    written = (entry for key, entry in after.items() if entry != before.get(key))
    yield from sorted(written, key=lambda entry: entry.version)
