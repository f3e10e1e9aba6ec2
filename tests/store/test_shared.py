"""The contract of a shared store, which all five keep."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fairlead.model.errors import Invalid
from fairlead.store.shared import (
    ABSENT,
    LARGEST_VALUE_BYTES,
    Changed,
    Entry,
    Gone,
    SharedStore,
    Snapshot,
)
from tests.store.conftest import Shared, closing, following


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


async def test_several_keys_at_once(shared: Shared, store: SharedStore, other: SharedStore) -> None:
    """All or none: new ones, old ones, in folders that were never there; who watches hears it."""
    if shared.kind in ("memory", "etcd2"):
        assert store.at_once is None
        return
    assert store.at_once is not None
    assert other.at_once is not None
    old = await store.put("t/old", b"1", ABSENT)
    async with contextlib.aclosing(other.watch("t")) as events:
        assert await following(events) == Snapshot((old,))
        await store.at_once(
            [
                Entry("t/deep/er/new", b"2", ABSENT),
                Entry("t/old", b"3", old.version),
                # Somebody's folder by now.
                Entry("t/deep", b"4", ABSENT),
            ]
        )
        heard: dict[str, Entry] = {}
        while len(heard) < 3:
            event = await following(events)
            assert isinstance(event, Entry)
            heard[event.key] = event
    now = {entry.key: entry for entry in await other.entries("t")}
    assert {k: e.value for k, e in now.items()} == {
        "t/deep/er/new": b"2", "t/old": b"3", "t/deep": b"4",
    }  # fmt: skip
    assert heard == now
    version = now["t/old"].version
    wrong = [
        Entry("t/old", b"5", old.version),
        Entry("t/old", b"5", ABSENT),
        Entry("t/deep/er/new", b"5", ABSENT),
        Entry("t/deep", b"5", ABSENT),
        Entry("t/nothing", b"5", version),
    ]
    for each in wrong:
        for entries in (
            [each, Entry("t/more", b"5", ABSENT)],
            [Entry("t/more", b"5", ABSENT), each],
        ):
            with pytest.raises(Changed):
                await other.at_once(entries)
    assert {e.key: e for e in await store.entries("t")} == now
    with pytest.raises(Invalid):
        await store.at_once([Entry("t/more", b"", ABSENT), Entry("t/some", b"1", ABSENT)])
    assert await store.get("t/some") is None
    gone = now["t/deep/er/new"]
    await other.delete(gone.key, gone.version)
    await store.at_once([Entry(gone.key, b"6", ABSENT), Entry("t/old", b"6", version)])
    assert {e.value for e in await other.entries("t")} == {b"6", b"4"}


async def test_a_prefix_is_a_folder(store: SharedStore) -> None:
    """What is below it is listed, and nothing that only begins alike."""
    for key in ("n/a", "n/b/c", "n/10.0.0.0/24", "na", "nb/a"):
        await store.put(key, key.encode(), ABSENT)
    found = {entry.key: entry for entry in await store.entries("n")}
    assert found.keys() == {"n/a", "n/b/c", "n/10.0.0.0/24"}
    assert [*found.values()] == [await store.get(key) for key in found]
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


async def test_a_watch_that_begins_again_tells_what_is_there_now(
    store: SharedStore, other: SharedStore
) -> None:
    """Whatever was heard before: kept, changed, gone, made anew, new; few changes or many."""
    kept, changed, gone, anew = [
        await store.put(f"w/{name}", b"1", ABSENT) for name in ("kept", "changed", "gone", "anew")
    ]
    for number in (0, 1, 150):
        async with contextlib.aclosing(store.watch("w")) as events:
            assert await following(events) == Snapshot(await other.entries("w"))
            changed = await other.put("w/changed", b"by an event %d" % number, changed.version)
            assert await following(events) == changed
        changed = await other.put("w/changed", b"unheard %d" % number, changed.version)
        if number:
            await other.delete("w/anew", anew.version)
            anew = await other.put("w/anew", b"%d" % number, ABSENT)
        await asyncio.gather(*(other.put(f"w/{number}/{n}", b"x", ABSENT) for n in range(number)))
    await other.delete("w/gone", gone.version)
    async with contextlib.aclosing(store.watch("w")) as events:
        now = await following(events)
    assert now == Snapshot(await other.entries("w"))
    assert isinstance(now, Snapshot)
    assert {kept, changed, anew} < {*now.entries}
    assert gone.key not in {entry.key for entry in now.entries}


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
                assert event.key not in known or event.version > known[event.key].version
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
    for first in range(0, 1200, 100):
        numbers = range(first, first + 100)
        await asyncio.gather(*(store.put(f"many/{n:04}", b"%d" % n, ABSENT) for n in numbers))
    assert [entry.value for entry in sorted(await other.entries("many"), key=str)] == [
        b"%d" % n for n in range(1200)
    ]
