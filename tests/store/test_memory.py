"""The store in this process: it can be taken away from all, or from one host."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fairlead.store.memory import Memory
from fairlead.store.shared import ABSENT, Away, Gone, Snapshot
from tests.store.conftest import PATIENCE_SECONDS, following


async def test_a_host_that_is_cut_off_loses_its_lease_and_gets_it_back() -> None:
    """Others see the key go after its time, and come when the host is back."""
    memory = Memory()
    here, there = memory.client(), memory.client()
    async with (
        contextlib.aclosing(there.watch("nodes")) as events,
        here.lease("nodes/here", b"1", 0.3),
    ):
        first = await following(events)
        assert isinstance(first, Snapshot)
        assert [entry.key for entry in first.entries] == ["nodes/here"]
        here.cut()
        with pytest.raises(Away):
            await here.get("nodes/here")
        assert await following(events) == Gone("nodes/here")
        here.mend()
        assert await following(events) == await there.get("nodes/here")
    assert await there.entries("nodes") == ()


async def test_a_host_that_is_cut_off_watches_no_more() -> None:
    """Its watch ends with Away, and those of others do not."""
    memory = Memory()
    here, there = memory.client(), memory.client()
    async with (
        contextlib.aclosing(here.watch("a")) as ours,
        contextlib.aclosing(there.watch("a")) as theirs,
    ):
        assert await following(ours) == await following(theirs) == Snapshot(())
        here.cut()
        with pytest.raises(Away):
            await following(ours)
        made = await there.put("a/b", b"1", ABSENT)
        assert await following(theirs) == made


async def test_what_is_late_still_comes() -> None:
    """A store that is slow says the same, in the same order."""
    memory = Memory()
    memory.delay_seconds = 0.01
    client = memory.client()
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        contextlib.aclosing(client.watch("a")) as events,
    ):
        assert await following(events) == Snapshot(())
        made = await client.put("a/b", b"1", ABSENT)
        await client.delete("a/b", made.version)
        assert [await following(events), await following(events)] == [made, Gone("a/b")]
