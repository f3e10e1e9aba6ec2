"""How keys are changed where hosts share them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from fairlead.controller.shared.allocate import request_pools
from fairlead.controller.shared.place import Altering, Place
from fairlead.controller.shared.register import put_network
from fairlead.model.network import Network, Scope
from fairlead.store.memory import Memory, MemoryStore
from fairlead.store.shared import LARGEST_VALUE_BYTES, AtOnce, Entry
from tests.controller.shared.deeds import KEYS, id_of
from tests.controller.shared.hosts import Content, Host, kinds, run

T = TypeVar("T")


def test_values_too_large_for_one_request_are_written_one_by_one() -> None:
    """Two that each fit, and together do not."""
    content = Content()
    large = b"x" * (LARGEST_VALUE_BYTES - 10)
    steps = [Altering(lambda key=key: key, lambda _: large) for key in ("a", "b")]  # type: ignore[misc]
    run(Host(content).place.alter_all(*steps))
    assert content.pairs() == {"a": large, "b": large}


class Waves(MemoryStore):
    """Answers nobody before all that wait for nothing else have asked, and counts how often."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, "waves")
        self.waves: list[list[str]] = []
        self._wave: asyncio.Future[None] | None = None
        self._breaking: asyncio.Task[None] | None = None

    @property
    def at_once(self) -> AtOnce | None:
        return self._put_all if "transactions" in kinds else None

    async def get(self, key: str) -> Entry | None:
        return await self._after(f"get {key}", super().get(key))

    async def entries(self, prefix: str) -> tuple[Entry, ...]:
        return await self._after(f"list {prefix}", super().entries(prefix))

    async def put(self, key: str, value: bytes, version: int) -> Entry:
        return await self._after(f"put {key}", super().put(key, value, version))

    async def _put_all(self, entries: Sequence[Entry]) -> None:
        put = super().put

        async def all_of_them() -> None:
            for entry in entries:
                await put(entry.key, entry.value, entry.version)

        await self._after(" and ".join(f"put {entry.key}" for entry in entries), all_of_them())

    async def _after(self, what: str, call: Awaitable[T]) -> T:
        loop = asyncio.get_running_loop()
        if self._wave is None or self._wave.done():
            self._wave = loop.create_future()
            self.waves.append([])
            wave = self._wave
            # Whoever can go on has had time to by then.
            self._breaking = loop.create_task(self._break(wave))
        self.waves[-1].append(what)
        await self._wave
        return await call

    async def _break(self, wave: asyncio.Future[None]) -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        wave.set_result(None)


async def test_what_depends_on_nothing_is_not_waited_for() -> None:
    """So often the store is asked one after the other before others see a new network."""
    place = Place(Waves(Memory()))
    store = place.store
    assert isinstance(store, Waves)
    pools = await request_pools(place, ())
    network = Network(id_of(1), "net", "overlay", 0, pools, scope=Scope.GLOBAL)
    await put_network(place, network, with_vnis=True)
    written = next(n for n, wave in enumerate(store.waves) if _writes(wave, KEYS.network(id_of(1))))
    assert written + 1 == (5 if "transactions" in kinds else 7), store.waves
    # Who reads the network has to find what belongs to it.
    if "transactions" not in kinds:
        before = {what for wave in store.waves[:written] for what in wave}
        theirs = (KEYS.overlay(id_of(1)), KEYS.count(id_of(1)), KEYS.addresses("10.0.0.0/24"))
        assert {f"put {key}" for key in theirs} <= before


def _writes(wave: Sequence[str], key: str) -> bool:
    return any(f"put {key}" in what.split(" and ") for what in wave)
