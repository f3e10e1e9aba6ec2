"""The stores that clusters share, each as real as it gets, opened as the daemon opens them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import count

import pytest

from fairlead.store.below import Below
from fairlead.store.memory import Memory
from fairlead.store.opening import open_store
from fairlead.store.shared import Event, SharedStore
from tests.lab.stores import Server, consul, etcd, zookeeper

CLONE_NEWNET = 0x40000000
STARTERS: Mapping[str, Callable[..., AbstractContextManager[Server]]] = {
    "etcd3": etcd,
    "etcd2": etcd,
    "consul": consul,
    "zookeeper": zookeeper,
}
REAL = [pytest.param(name, marks=pytest.mark.root) for name in STARTERS]
PATIENCE_SECONDS = 90
_libc = ctypes.CDLL(None, use_errno=True)
_prefixes = count()


class Shared:
    """A store and its server, which can be taken away; every test has a part of its own."""

    def __init__(self, kind: str, server: Server | None) -> None:
        self.kind = kind
        self.server = server
        self._memory = Memory()
        self._options = {"kv.api": kind.removeprefix("etcd")} if kind.startswith("etcd") else {}
        self._prefix = ""
        # Consul takes no less.
        self.ttl_seconds = 20.0 if kind == "consul" else 2.0

    @property
    def url(self) -> str:
        """The URL of this test's part."""
        assert self.server is not None
        return f"{self.server.url}/{self._prefix}"

    @property
    def options(self) -> dict[str, str]:
        """The options that go with the URL."""
        return self._options

    def renew(self) -> None:
        """Begin with nothing."""
        self._prefix = f"test/{next(_prefixes)}"
        self._memory = Memory()
        if self.server is not None and not self.server.running:
            self.server.start()

    def client(self, prefix: str = "") -> SharedStore:
        """Another client."""
        if self.server is None:
            return Below(self._memory.client(), prefix) if prefix else self._memory.client()
        return open_store(f"{self.url}/{prefix}", self._options)

    def stop(self) -> None:
        """Take the server away."""
        if self.server is None:
            self._memory.stop()
        else:
            self.server.kill()

    def start(self) -> None:
        """Bring it back."""
        if self.server is None:
            self._memory.start()
        else:
            self.server.start()


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """The tests' thread, and all that it starts, in a network namespace of its own."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    assert _libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    yield
    _libc.setns(home, CLONE_NEWNET)
    os.close(home)


@pytest.fixture(scope="module", params=["memory", *REAL])
def running(request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Each store in turn, its server shared by all tests of a module."""
    if request.param == "memory":
        yield Shared("memory", None)
        return
    request.getfixturevalue("alone")
    with STARTERS[request.param]() as server:
        yield Shared(request.param, server)


@pytest.fixture
def shared(running: Shared) -> Shared:
    """A store with nothing in it."""
    running.renew()
    return running


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


async def following(events: AsyncGenerator[Event, None]) -> Event:
    """The next event."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(events)
