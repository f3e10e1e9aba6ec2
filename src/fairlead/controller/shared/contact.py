"""contact: a cluster's store, followed, and told that this host lives, whenever it is there.

What it says comes out as events, in its order. That it is away is said once, and so is that
it is back; in between it is asked again and again, not by all hosts at the same time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial

from fairlead.cluster.node import Node, encode_node
from fairlead.controller.shared.place import Place
from fairlead.model.errors import FairleadError
from fairlead.store.shared import Event, Snapshot

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0

Heard = tuple[str, Event]
"""A folder of the store, and what was heard of it."""


class Contact:
    """One host's contact with the store. `lost` is called whenever that breaks."""

    def __init__(
        self,
        place: Place,
        node: Node,
        ttl_seconds: float,
        warn: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        self._place = place
        self._node = node
        self._ttl = ttl_seconds
        self._warn = warn
        self._lost = lost
        self._folders = _folders(place)
        self._told: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._events: asyncio.Queue[Heard] = asyncio.Queue()

    @property
    def trouble(self) -> str:
        """Why the store cannot be used at the moment."""
        return next(iter(self._troubles.values()), "")

    @property
    def complete(self) -> bool:
        """Whether all that the store says has been heard once."""
        return len(self._told) == len(self._folders)

    async def run(self) -> None:
        """Keep in contact; returns only when cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_trying("lease", self._live))
            for folder in self._folders:
                tasks.create_task(self._keep_trying(folder, partial(self._watch, folder)))

    async def next(self) -> list[Heard]:
        """What was heard since, at least one event."""
        batch = [await self._events.get()]
        while not self._events.empty():
            batch.append(self._events.get_nowait())
        for folder, event in batch:
            if isinstance(event, Snapshot):
                self._told.add(folder)
                self._well(folder)
        return batch

    async def _live(self) -> None:
        key, value = f"{self._place.keys.nodes}/{self._node}", encode_node(self._node)
        async with self._place.store.lease(key, value, self._ttl):
            self._well("lease")
            await asyncio.Event().wait()

    async def _watch(self, folder: str) -> None:
        async with aclosing(self._place.store.watch(folder)) as events:
            async for event in events:
                self._events.put_nowait((folder, event))

    async def _keep_trying(self, what: str, attempt: Callable[[], Awaitable[None]]) -> None:
        """Again and again, after longer and longer pauses until one attempt lasts."""
        clock = asyncio.get_running_loop().time
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = clock()
            try:
                await attempt()
            except FairleadError as error:
                # A store that refuses (it is full, it has no leader) is as good as none.
                self._away(what, error)
            if clock() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            # Else a store that comes back would meet all its hosts at once.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _away(self, what: str, error: FairleadError) -> None:
        if not self.trouble:
            self._warn(
                f"the cluster's store is away: {error.message}; what runs goes on, networks of "
                "the cluster cannot be changed"
            )
        self._troubles[what] = error.message
        self._lost()

    def _well(self, what: str) -> None:
        if self._troubles.pop(what, "") and not self.trouble:
            self._warn("the cluster's store is back")


def _folders(place: Place) -> tuple[str, ...]:
    """What is watched: the cluster's keys, and the hosts' unless they lie among those."""
    top = place.keys.root.split("/", 1)[0]
    nodes = place.keys.nodes
    return (top,) if nodes.startswith(f"{top}/") else (top, nodes)
