"""The contract of a shared store, which all five keep."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import pytest

from fairlead.model.errors import Invalid
from fairlead.store.shared import (
    ABSENT,
    LARGEST_VALUE_BYTES,
    Away,
    Changed,
    Entry,
    Event,
    Gone,
    SharedStore,
    Snapshot,
)
from tests.lab.machine import CHECKOUT
from tests.store.conftest import Shared

PATIENCE_SECONDS = 90

HOLDER = """
import asyncio, sys
from fairlead.store.opening import open_store

async def main(url, api, ttl):
    store = open_store(url, {"kv.api": api} if api else {})
    async with store.lease("nodes/killed", b"here", float(ttl)):
        print("held", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def store(shared: Shared) -> AsyncIterator[SharedStore]:
    """A client."""
    async with closing(shared.client()) as client:
        yield client


@pytest.fixture
async def other(shared: Shared) -> AsyncIterator[SharedStore]:
    """The client of another host."""
    async with closing(shared.client()) as client:
        yield client


@contextlib.asynccontextmanager
async def closing(client: SharedStore) -> AsyncIterator[SharedStore]:
    """A client that is closed at the end."""
    try:
        yield client
    finally:
        await client.close()


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Waits for something to become so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Away):
                if await seen():
                    return
            await asyncio.sleep(0.05)


async def following(events: AsyncGenerator[Event, None]) -> Event:
    """The next event."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(events)


async def test_what_is_written_is_read(store: SharedStore, other: SharedStore) -> None:
    """A value is what it was, for others as well, and its version is that of its writing."""
    assert await store.get("a/b") is None
    made = await store.put("a/b", b'{"x": "\xc3\xa4"}', ABSENT)
    assert made == await other.get("a/b") == Entry("a/b", b'{"x": "\xc3\xa4"}', made.version)
    assert made.version != ABSENT
    again = await other.put("a/b", b"2", made.version)
    assert again.version != made.version
    assert await store.get("a/b") == again
    await store.delete("a/b", again.version)
    assert await other.get("a/b") is None


async def test_the_second_of_two_writers_is_told(store: SharedStore, other: SharedStore) -> None:
    """Whoever did not see the last writing changes nothing."""
    first = await store.put("a", b"1", ABSENT)
    with pytest.raises(Changed):
        await other.put("a", b"2", ABSENT)
    second = await other.put("a", b"2", first.version)
    with pytest.raises(Changed):
        await store.put("a", b"3", first.version)
    with pytest.raises(Changed):
        await store.delete("a", first.version)
    with pytest.raises(Changed):
        await store.delete("a", ABSENT)
    assert await store.get("a") == second
    await store.delete("a", second.version)
    for stale in (first.version, second.version):
        with pytest.raises(Changed):
            await other.put("a", b"4", stale)
        with pytest.raises(Changed):
            await other.delete("a", stale)


async def test_a_key_made_anew_is_another(store: SharedStore, other: SharedStore) -> None:
    """A version from before a key was removed is not that of its successor."""
    first = await store.put("a", b"1", ABSENT)
    await other.delete("a", first.version)
    await other.put("a", b"2", ABSENT)
    with pytest.raises(Changed):
        await store.put("a", b"3", first.version)


async def test_no_count_is_lost(store: SharedStore, other: SharedStore) -> None:
    """Many who add one at a time, from two hosts, add up."""
    await store.put("count", b"0", ABSENT)

    async def add(client: SharedStore) -> None:
        while True:
            found = await client.get("count")
            assert found is not None
            with contextlib.suppress(Changed):
                await client.put("count", b"%d" % (int(found.value) + 1), found.version)
                return

    await asyncio.gather(*(add(client) for client in (store, other) for _ in range(5)))
    found = await store.get("count")
    assert found is not None
    assert found.value == b"10"


async def test_a_prefix_is_a_folder(store: SharedStore) -> None:
    """What is below it is listed, and nothing that only begins alike."""
    for key in ("n/a", "n/b/c", "n/10.0.0.0/24", "na", "nb/a"):
        await store.put(key, key.encode(), ABSENT)
    found = {entry.key: entry for entry in await store.entries("n")}
    assert found.keys() == {"n/a", "n/b/c", "n/10.0.0.0/24"}
    assert all(entry == await store.get(key) for key, entry in found.items())
    assert await store.entries("nothing") == ()
    assert await store.get("n/b") is None


async def test_the_prefix_of_a_url_is_all_there_is(shared: Shared) -> None:
    """Two clusters in one store do not see each other."""
    async with closing(shared.client("x")) as one, closing(shared.client("xy")) as two:
        made = await one.put("a/b", b"1", ABSENT)
        assert await two.get("a/b") is None
        assert await two.entries("a") == ()
        assert await one.entries("a") == (made,)
        async with contextlib.aclosing(one.watch("a")) as events:
            assert await following(events) == Snapshot((made,))
            await two.put("a/c", b"2", ABSENT)
            last = await one.put("a/d", b"3", ABSENT)
            assert await following(events) == last


async def test_a_watch_tells_all_that_happens(store: SharedStore, other: SharedStore) -> None:
    """First what is there, then what is written and removed, in order."""
    here = await store.put("w/here", b"1", ABSENT)
    await store.put("wide", b"1", ABSENT)
    async with contextlib.aclosing(store.watch("w")) as events:
        assert await following(events) == Snapshot((here,))
        for client in (store, other):
            made = await client.put("w/x/y", b"2", ABSENT)
            assert await following(events) == made
            changed = await other.put("w/x/y", b"3", made.version)
            assert await following(events) == changed
            await client.delete("w/x/y", changed.version)
            assert await following(events) == Gone("w/x/y")
        await other.delete("w/here", here.version)
        assert await following(events) == Gone("w/here")


async def test_a_watch_ends_where_all_else_does(store: SharedStore, other: SharedStore) -> None:
    """However quick the changes, what is known at the end is what is there."""
    known: dict[str, Entry] = {}

    async def busy() -> None:
        for number in range(40):
            key = f"w/{number % 7}"
            found = await other.get(key)
            if found is not None and number % 3 == 0:
                await other.delete(key, found.version)
            else:
                await other.put(key, b"%d" % number, found.version if found else ABSENT)
        await other.put("w/last", b"!", ABSENT)

    async with contextlib.aclosing(store.watch("w")) as events, asyncio.TaskGroup() as group:
        assert await following(events) == Snapshot(())
        group.create_task(busy())
        while "w/last" not in known:
            event = await following(events)
            if isinstance(event, Gone):
                del known[event.key]
            else:
                assert isinstance(event, Entry)
                assert event.version > known.get(event.key, event).version - 1
                known[event.key] = event
    assert sorted(known.values(), key=str) == sorted(await store.entries("w"), key=str)


async def test_a_watch_of_what_is_not_there_yet(store: SharedStore, other: SharedStore) -> None:
    """A folder that comes, goes and comes again is seen each time."""
    async with contextlib.aclosing(store.watch("new/folder")) as events:
        assert await following(events) == Snapshot(())
        for _ in range(2):
            made = await other.put("new/folder/key", b"1", ABSENT)
            assert await following(events) == made
            await other.delete("new/folder/key", made.version)
            assert await following(events) == Gone("new/folder/key")


async def test_a_store_that_goes_and_comes(shared: Shared, store: SharedStore) -> None:
    """Away is raised while it is gone, by a watch as well; then all is as it was."""
    made = await store.put("a/b", b"1", ABSENT)
    async with contextlib.aclosing(store.watch("a")) as events:
        assert await following(events) == Snapshot((made,))
        shared.stop()
        with pytest.raises(Away):
            await following(events)
    for call in (
        lambda: store.get("a/b"),
        lambda: store.entries("a"),
        lambda: store.put("a/c", b"1", ABSENT),
        lambda: store.delete("a/b", made.version),
        lambda: anext(store.watch("a")),
    ):
        with pytest.raises(Away):
            await call()  # type: ignore[no-untyped-call]
    shared.start()

    async def there() -> bool:
        return await store.get("a/b") == made

    await until(there)
    async with contextlib.aclosing(store.watch("a")) as events:
        assert await following(events) == Snapshot((made,))
        assert await store.put("a/b", b"2", made.version) == await following(events)


async def test_a_store_that_hangs_hangs_nobody(shared: Shared, store: SharedStore) -> None:
    """A server that takes requests and never answers is away, too."""
    if shared.server is None:
        pytest.skip("what is in this process cannot hang")
    made = await store.put("a", b"1", ABSENT)
    shared.server.freeze()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            for call in (store.get("a"), store.entries("x"), store.put("b", b"1", ABSENT)):
                with pytest.raises(Away):
                    await call
    finally:
        shared.server.thaw()

    async def there() -> bool:
        return await store.get("a") == made

    await until(there)


async def test_a_lease_is_there_while_it_is_held(
    shared: Shared, store: SharedStore, other: SharedStore
) -> None:
    """It outlasts its time, replaces what was there, and goes with the block."""
    await store.put("nodes/a", b"old", ABSENT)
    async with store.lease("nodes/a", b"new", 1.0):
        found = await other.get("nodes/a")
        assert found is not None
        assert found.value == b"new"
        await asyncio.sleep(2.5)
        found = await other.get("nodes/a")
        assert found is not None
        assert found.value == b"new"

    async def gone() -> bool:
        return await other.get("nodes/a") is None

    await until(gone)


async def test_a_lease_goes_with_its_host(shared: Shared, store: SharedStore) -> None:
    """A process that is killed takes its key along, and whoever watches is told."""
    if shared.server is None:
        pytest.skip("there is no process to kill: see test_memory")
    api = shared.options.get("kv.api", "")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, shared.url, api, str(shared.ttl_seconds)],
        stdout=subprocess.PIPE, text=True, cwd=CHECKOUT,
    )  # fmt: skip
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            async with contextlib.aclosing(store.watch("nodes")) as events:
                first = await following(events)
                assert isinstance(first, Snapshot)
                assert [(e.key, e.value) for e in first.entries] == [("nodes/killed", b"here")]
                holder.kill()
                while (event := await following(events)) != Gone("nodes/killed"):
                    assert isinstance(event, Entry)
        finally:
            holder.kill()


async def test_a_lease_comes_back_with_the_store(
    shared: Shared, store: SharedStore, other: SharedStore
) -> None:
    """An absence of the store, and the key's removal, do not end it."""
    async with store.lease("nodes/a", b"here", 3.0):
        shared.stop()
        await asyncio.sleep(0.5)
        shared.start()

        async def there() -> bool:
            found = await other.get("nodes/a")
            return found is not None and found.value == b"here"

        await until(there)
        found = None
        while found is None:
            found = await other.get("nodes/a")
        with contextlib.suppress(Changed):
            await other.delete("nodes/a", found.version)
        await until(there)


async def test_a_lease_is_not_given_by_a_store_that_is_away(
    shared: Shared, store: SharedStore
) -> None:
    """Whoever enters is told."""
    shared.stop()
    with pytest.raises(Away):
        await store.lease("nodes/a", b"here", 3.0).__aenter__()


async def test_big_values_and_many_keys(store: SharedStore, other: SharedStore) -> None:
    """The largest value fits, a larger one and an empty one do not, and lists are whole."""
    big = await store.put("big", b"x" * LARGEST_VALUE_BYTES, ABSENT)
    assert await other.get("big") == big
    for wrong in (b"x" * (LARGEST_VALUE_BYTES + 1), b""):
        with pytest.raises(Invalid):
            await store.put("wrong", wrong, ABSENT)
    for key in ("", "/a", "a/", "a//b"):
        with pytest.raises(Invalid):
            await store.put(key, b"1", ABSENT)
    await asyncio.gather(*(store.put(f"many/{n:04}", b"%d" % n, ABSENT) for n in range(1200)))
    assert [entry.value for entry in sorted(await other.entries("many"), key=str)] == [
        b"%d" % n for n in range(1200)
    ]
