"""Finding containers, and carrying work to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fairlead.engine.shelf import Shelf
from fairlead.engine.tasks import Tasks
from fairlead.model.errors import Invalid, NotFound
from fairlead.store.sqlite import Store
from tests.engine.build import container


def shelf(folder: Path) -> Shelf:
    made = Shelf(Store(folder / "db"))
    for start, name in (("aabb", "web"), ("aacc", "db"), ("beef", "aabb")):
        record = container(start, name).record
        made.claim(name, record.id)
        made.add(record)
    return made


def test_by_name_id_or_beginning(tmp_path: Path) -> None:
    """A name counts more than the beginning of somebody else's id."""
    found = shelf(tmp_path)

    assert found.find("/web").id.startswith("aabb")
    assert found.find("aac").name == "db"
    assert found.find("aabb").id.startswith("beef")
    assert found.find("aabb".ljust(64, "0")).name == "web"


def test_who_is_not_there(tmp_path: Path) -> None:
    """Nobody, several, and no name at all."""
    found = shelf(tmp_path)

    with pytest.raises(NotFound, match="No such container: nosuch"):
        found.find("nosuch")
    with pytest.raises(Invalid, match="multiple IDs found with provided prefix: aa"):
        found.find("aa")
    with pytest.raises(Invalid, match='invalid name or ID supplied: ""'):
        found.find("")


async def test_work_goes_on_when_the_client_leaves() -> None:
    """A Ctrl-C on `docker stop` does not leave half a stop."""
    tasks, gate, done = Tasks(), asyncio.Event(), []

    async def work() -> None:
        await gate.wait()
        done.append(1)

    client = asyncio.ensure_future(tasks.whole(work()))
    await asyncio.sleep(0)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    gate.set()
    await tasks.close()

    assert done == [1]


async def test_close_ends_what_only_waits() -> None:
    """A supervisor of a container that lives on is not waited for."""
    tasks = Tasks()
    watching = tasks.watch(asyncio.sleep(3600), "supervise")
    await tasks.close()

    assert watching.cancelled()
