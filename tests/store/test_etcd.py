"""What is etcd's own: what other clients write and read, TLS and events that are forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from fairlead.model.errors import Conflict, Invalid
from fairlead.store.etcd3 import MOST_FETCHED
from fairlead.store.opening import open_store
from fairlead.store.shared import ABSENT, Away, Changed, Entry, Gone, Snapshot
from tests.lab.stores import Server, etcd
from tests.store.conftest import closing, following

pytestmark = pytest.mark.root

OLD = {"kv.api": "2"}


@pytest.fixture(scope="module")
def server(alone: None) -> Iterator[Server]:
    """An etcd that speaks both APIs."""
    with etcd() as running:
        yield running


async def raw(server: Server, method: str, target: str, **form: str) -> Any:
    """What etcd answers to somebody who knows its older API."""
    url = f"{server.url.replace('etcd', 'http')}/v2/keys/{target}"
    body = urlencode(form).encode() or None

    def ask() -> Any:
        try:
            with urlopen(Request(url, body, method=method), timeout=60) as said:
                return json.load(said)
        except HTTPError as error:
            with error:
                return json.load(error)

    return await asyncio.to_thread(ask)


async def test_what_others_write_by_the_older_api_is_read(server: Server) -> None:
    """Keys, folders and keys that expire, as Docker writes them."""
    async with closing(open_store(f"{server.url}/others", OLD)) as store:
        await raw(server, "PUT", "others/docker/network/v1.0/endpoint/e1", dir="true")
        await raw(server, "PUT", "others/docker/network/v1.0/idm/vxlan-id", value='{"id":"ä"}')
        found = await store.entries("docker/network/v1.0")
        assert [(entry.key, entry.value.decode()) for entry in found] == [
            ("docker/network/v1.0/idm/vxlan-id", '{"id":"ä"}')
        ]
        assert await store.get("docker/network/v1.0/endpoint/e1") is None
        with pytest.raises(Conflict):
            await store.put("docker/network/v1.0/idm/vxlan-id/below", b"1", ABSENT)
        async with contextlib.aclosing(store.watch("docker")) as events:
            assert await following(events) == Snapshot(found)
            node = "others/docker/nodes/192.0.2.1:2376"
            await raw(server, "PUT", node, value="192.0.2.1:2376", ttl="1")
            came = await following(events)
            assert isinstance(came, Entry)
            assert came.value == b"192.0.2.1:2376"
            assert await following(events) == Gone("docker/nodes/192.0.2.1:2376")
            await raw(server, "DELETE", "others/docker/network?recursive=true")
            assert await following(events) == Gone("docker/network/v1.0/idm/vxlan-id")


async def test_what_is_written_by_the_older_api_is_read_by_others(server: Server) -> None:
    """The version is the index that another's compare-and-swap takes, and theirs is ours."""
    async with closing(open_store(f"{server.url}/ours", OLD)) as store:
        made = await store.put("a/b", b'{"Count":1}', ABSENT)
        said = await raw(server, "GET", "ours/a/b")
        assert said["node"]["value"] == '{"Count":1}'
        assert said["node"]["modifiedIndex"] == made.version
        target = f"ours/a/b?prevIndex={made.version}&prevExist=true"
        theirs = await raw(server, "PUT", target, value="2")
        with pytest.raises(Changed):
            await store.put("a/b", b"3", made.version)
        ours = await store.put("a/b", b"3", theirs["node"]["modifiedIndex"])
        assert (await raw(server, "PUT", target, value="4"))["errorCode"] == 101
        assert (await raw(server, "GET", "ours/a/b"))["node"]["modifiedIndex"] == ours.version
        with pytest.raises(Invalid, match="keeps text"):
            await store.put("a/c", b"\xff\xfe", ABSENT)


async def test_a_lease_of_the_older_api_expires_by_itself(server: Server) -> None:
    """It is a key with a time, which others read as well, and renewing it tells nobody."""
    async with (
        closing(open_store(f"{server.url}/leases", OLD)) as store,
        store.lease("nodes/a", b"a", 2.0),
        contextlib.aclosing(store.watch("nodes")) as events,
    ):
        first = await following(events)
        assert isinstance(first, Snapshot)
        assert len(first.entries) == 1
        assert (await raw(server, "GET", "leases/nodes/a"))["node"]["ttl"] <= 2
        await asyncio.sleep(3)
        await store.put("nodes/b", b"b", ABSENT)
        event = await following(events)
        assert isinstance(event, Entry)
        assert event.key == "nodes/b"


@pytest.mark.parametrize("options", [OLD, {}], ids=["v2", "v3"])
async def test_a_watch_that_missed_too_much_begins_anew(
    server: Server, options: dict[str, str]
) -> None:
    """When etcd has forgotten what followed, all that there is is told."""
    prefix = f"cleared/{len(options)}"
    async with closing(open_store(f"{server.url}/{prefix}", options)) as store:
        await store.put("a/b", b"1", ABSENT)
        async with contextlib.aclosing(store.watch("a")) as events:
            first = await following(events)
            assert isinstance(first, Snapshot)
            # Nobody listens while this happens: the watch waits for its reader.
            many = [store.put(f"x/{number}", b"1", ABSENT) for number in range(1100)]
            last = (await asyncio.gather(*many))[-1]
            if not options:
                await compact(server, max(entry.version for entry in await store.entries("x")))
            made = await store.put("a/c", b"2", ABSENT)
            assert last.version != ABSENT
            event = await following(events)
            assert isinstance(event, Snapshot)
            assert made in event.entries
            assert len(event.entries) == 2


async def compact(server: Server, revision: int) -> None:
    """Makes etcd forget what was before."""
    url = f"{server.url.replace('etcd', 'http')}/v3/kv/compaction"
    body = json.dumps({"revision": str(revision), "physical": True}).encode()
    await asyncio.to_thread(lambda: urlopen(Request(url, body), timeout=60).close())


@pytest.fixture(scope="module")
def secured(alone: None) -> Iterator[Server]:
    """An etcd that takes nobody without a certificate."""
    with etcd(address="127.0.0.2", tls=True) as running:
        yield running


@pytest.mark.parametrize("options", [OLD, {}], ids=["v2", "v3"])
async def test_tls(server: Server, secured: Server, options: dict[str, str]) -> None:
    """Who has the right certificates is served; who has others, or none, is not."""
    del server
    assert secured.certificates is not None
    good = {**options, **secured.certificates.options()}
    async with closing(open_store(f"{secured.url}/tls", good)) as store:
        made = await store.put(f"a/{len(options)}", b"1", ABSENT)
        async with contextlib.aclosing(store.watch("a")) as events:
            first = await following(events)
            assert isinstance(first, Snapshot)
            assert made in first.entries
    for bad in (
        {},
        secured.certificates.options(ca="stranger-ca"),
        secured.certificates.options(client="stranger"),
        {"kv.cacertfile": secured.certificates.options()["kv.cacertfile"]},
    ):
        async with closing(open_store(f"{secured.url}/tls", {**options, **bad})) as store:
            with pytest.raises(Away) as refused:
                await store.get("a")
            assert refused.value.hint
            with pytest.raises(Away):
                await store.entries("a")


async def test_what_is_heard_again_is_not_kept_twice(server: Server) -> None:
    """A watch that begins again gives the very values that are known, however much was written."""
    async with closing(open_store(f"{server.url}/again", {})) as store:
        keys = [f"w/{number}" for number in range(MOST_FETCHED + 20)]
        await asyncio.gather(
            *(store.put(key, b"%s as it is" % key.encode(), ABSENT) for key in keys)
        )
        known: dict[str, bytes] = {}
        for times in range(3):
            async with contextlib.aclosing(store.watch("w")) as events:
                now = await following(events)
                assert isinstance(now, Snapshot)
                values = {entry.key: entry.value for entry in now.entries}
                assert values == {key: b"%s as it is" % key.encode() for key in keys}
                assert all(values[key] is known.get(key, values[key]) for key in keys)
                known = values
                if times == 0:
                    one = next(entry for entry in now.entries if entry.key == keys[0])
                    again = await store.put(one.key, one.value, one.version)
                    heard = await following(events)
                    assert heard == again
                    assert isinstance(heard, Entry)
                    assert heard.value is known[one.key]
            for entry in now.entries:
                found = await store.get(entry.key)
                assert found is not None
                await store.delete(entry.key, found.version)
                await store.put(entry.key, entry.value, ABSENT)
