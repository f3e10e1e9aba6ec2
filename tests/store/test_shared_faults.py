"""What shared stores do when servers stop, hang or lose a client: the same, all five."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from fairlead.store.opening import open_store
from fairlead.store.shared import ABSENT, Away, Changed, Entry, Gone, SharedStore, Snapshot
from tests.lab.machine import CHECKOUT
from tests.store.conftest import PATIENCE_SECONDS, REAL, Shared, closing, following

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


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Waits for something to become so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(Away):
                if await seen():
                    return
            await asyncio.sleep(0.05)


def all_calls(store: SharedStore) -> tuple[Awaitable[object], ...]:
    """One of each."""
    return (
        store.get("a"),
        store.entries("x"),
        store.put("b", b"1", ABSENT),
        store.delete("a", 1),
        anext(store.watch("x")),
        store.lease("nodes/a", b"here", 3.0).__aenter__(),
    )


async def kinds(*calls: Awaitable[object]) -> set[type[object]]:
    """What comes of calls, be it an error."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return {type(done) for done in await asyncio.gather(*calls, return_exceptions=True)}


async def test_a_store_that_goes_and_comes(shared: Shared, store: SharedStore) -> None:
    """Away is raised while it is gone, by a watch as well; then all is as it was."""
    made = await store.put("a/b", b"1", ABSENT)
    async with contextlib.aclosing(store.watch("a")) as events:
        assert await following(events) == Snapshot((made,))
        shared.stop()
        with pytest.raises(Away):
            await following(events)
    assert await kinds(*all_calls(store)) == {Away}
    shared.start()

    async def there() -> bool:
        return await store.get("a/b") == made

    await until(there)
    async with contextlib.aclosing(store.watch("a")) as events:
        assert await following(events) == Snapshot((made,))
        assert await store.put("a/b", b"2", made.version) == await following(events)


@pytest.mark.parametrize("running", REAL, indirect=True)
async def test_a_store_that_hangs_hangs_nobody(shared: Shared, store: SharedStore) -> None:
    """A server that takes requests and never answers is away, too."""
    assert shared.server is not None
    made = await store.put("a", b"1", ABSENT)
    events = store.watch("x")
    assert await following(events) == Snapshot(())
    shared.server.freeze()
    try:
        assert await kinds(following(events), *all_calls(store)) == {Away}
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


async def test_a_lease_that_is_cut_off_is_left_to_its_time(
    shared: Shared, store: SharedStore, other: SharedStore
) -> None:
    """A daemon that stops does not say that its host is gone; ZooKeeper says it for it."""
    held = asyncio.Event()

    async def hold() -> None:
        async with store.lease("nodes/a", b"here", shared.ttl_seconds):
            held.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait_for(held.wait(), 30)
    holding.cancel()
    await asyncio.wait({holding})
    gone = await other.get("nodes/a") is None
    assert gone == store.name.startswith("zk:")


@pytest.mark.parametrize("running", REAL, indirect=True)
async def test_a_server_that_is_down_is_passed_over(shared: Shared) -> None:
    """With several in the URL the first that answers serves, for changes and watches too."""
    scheme, _, rest = shared.url.partition("://")
    url = f"{scheme}://127.0.0.1:1,{rest}"
    async with closing(open_store(url, shared.options)) as store:
        made = await store.put("a/b", b"1", ABSENT)
        assert await store.get("a/b") == made
        async with store.lease("nodes/a", b"here", shared.ttl_seconds):
            assert len(await store.entries("nodes")) == 1
    async with (
        closing(open_store(url, shared.options)) as store,
        contextlib.aclosing(store.watch("a")) as events,
    ):
        assert await following(events) == Snapshot((made,))
        assert await store.put("a/c", b"1", ABSENT) == await following(events)


@pytest.mark.parametrize("running", REAL, indirect=True)
async def test_a_lease_goes_with_its_host(shared: Shared, store: SharedStore) -> None:
    """A process that is killed takes its key along, and whoever watches is told."""
    api = shared.options.get("kv.api", "")
    holder = subprocess.Popen(  # noqa: ASYNC220
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
