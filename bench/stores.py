"""The stores that clusters share: what one write, read or notice of a change takes.

`python -m bench.stores URL API ROUNDS` does it in the namespace it is started in and prints
samples: one client writes, another one watches, both through fairlead's own adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence

from tests.lab import Machine
from tests.lab.machine import CHECKOUT
from tests.lab.stores import consul, etcd, zookeeper

from bench.figures import Figure
from bench.subjects import Subject
from fairlead.store.opening import open_store
from fairlead.store.shared import ABSENT, Event, SharedStore

STORES = (
    ("etcd", etcd, ""),
    ("etcd v2", etcd, "2"),
    ("Consul", consul, ""),
    ("ZooKeeper", zookeeper, ""),
)
VALUE = b"x" * 500
KEYS = 1000
PUT, GET, SEEN, LIST = "replace a key", "read a key", "a change is seen", f"list {KEYS:,} keys"
FIRST = "connect and read"


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Each store's server alone in a machine, its clients beside it."""
    del subjects
    figures = {name: Figure(name, "ms") for name in (FIRST, PUT, GET, SEEN, LIST)}
    for store, starter, api in STORES:
        with Machine("store") as machine, starter(machine) as server:
            command = [sys.executable, "-m", "bench.stores", server.url, api, str(rounds)]
            said = machine.run(command, env={"PYTHONPATH": str(CHECKOUT)}, timeout=600).stdout
        for name, samples in json.loads(said).items():
            figures[name].samples[store] = samples
    return [*figures.values()]


async def _samples(url: str, api: str, rounds: int) -> dict[str, list[float]]:
    options = {"kv.api": api} if api else {}
    begun = time.perf_counter()
    store = open_store(f"{url}/bench", options)
    await store.get("nothing")
    found: dict[str, list[float]] = {FIRST: [_ms(begun)], PUT: [], GET: [], SEEN: [], LIST: []}
    watcher = open_store(f"{url}/bench", options)
    entry = await store.put("watched/key", VALUE, ABSENT)
    async with contextlib.aclosing(watcher.watch("watched")) as events:
        await anext(events)
        for number in range(rounds):
            seen = asyncio.create_task(_seen(events))
            begun = time.perf_counter()
            entry = await store.put("watched/key", b"%d %s" % (number, VALUE), entry.version)
            found[PUT].append(_ms(begun))
            found[SEEN].append((await seen - begun) * 1000)
            begun = time.perf_counter()
            await store.get("watched/key")
            found[GET].append(_ms(begun))
    await _fill(store)
    for _ in range(max(rounds // 20, 1)):
        begun = time.perf_counter()
        await store.entries("many")
        found[LIST].append(_ms(begun))
    await store.close()
    await watcher.close()
    return found


async def _seen(events: AsyncGenerator[Event, None]) -> float:
    await anext(events)
    return time.perf_counter()


async def _fill(store: SharedStore) -> None:
    for first in range(0, KEYS, 100):
        numbers = range(first, first + 100)
        await asyncio.gather(*(store.put(f"many/{n}", VALUE, ABSENT) for n in numbers))


def _ms(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_samples(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
