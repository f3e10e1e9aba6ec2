"""What tests of controllers have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.store.memory import Memory
from tests.controller.bench import Machine
from tests.controller.cluster import Cluster, Host


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """A host with a controller that has started."""
    found = Machine(tmp_path)
    await found.boot()
    yield found
    await found.halt()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three hosts that are up."""
    memory = Memory()
    hosts = []
    for number, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        machine = Machine(tmp_path / name, seed=name)
        hosts.append(Host(name, f"192.0.2.{11 + number}", machine, memory))
    try:
        for host in hosts:
            await host.up()
        for host in hosts:
            async with asyncio.timeout(90):
                await host.member.ready.wait()
        yield Cluster(memory, tuple(hosts))
    finally:
        for host in hosts:
            await host.down()
