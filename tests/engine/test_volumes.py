"""Volumes: made, listed, kept while used, pruned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.engine.events import Events
from fairlead.engine.volumes import Volumes, document
from fairlead.model.errors import Conflict, Failed, FairleadError, Invalid, NotFound
from fairlead.store.sqlite import Store


class House:
    """Volumes on a store, and who uses them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "db")
        self.used: dict[str, list[str]] = {}
        self.volumes = self.again()

    def again(self) -> Volumes:
        """As the next daemon finds them."""
        made = Volumes(
            self.folder / "volumes",
            self.store,
            Events(lambda: 0),
            lambda: datetime.now(UTC),
            lambda name: self.used.get(name, []),
        )
        made.open()
        return made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house."""
    made = House(tmp_path)
    yield made
    made.store.close()


async def test_a_volume_is_made_once(house: House) -> None:
    """Asking again for a name gives what is there."""
    first = await house.volumes.create("data", labels={"a": "1"})
    again = await house.volumes.create("data", labels={"a": "2"})

    assert again is first
    assert Path(first.mountpoint).is_dir()
    assert house.again().find("data") == first


async def test_a_making_that_was_cut_short_is_finished(house: House) -> None:
    """The record comes first; the next daemon makes the directory."""
    volume = house.volumes.draft("data")
    house.store.write([document(volume)])

    assert house.again().find("data") == volume
    assert Path(volume.mountpoint).is_dir()


async def test_a_removal_that_was_cut_short_is_finished(house: House) -> None:
    """What was condemned is gone for the next daemon, with all that was in it."""
    volume = await house.volumes.create("data")
    Path(volume.mountpoint, "file").write_text("content")
    house.volumes.condemn(volume)

    assert not house.again().exists("data")
    assert list((house.folder / "volumes").iterdir()) == []


async def test_a_volume_that_cannot_be_made_is_not_there(house: House) -> None:
    """A refusal by the disk leaves neither record nor directory."""
    (house.folder / "volumes" / "data").write_text("in the way")

    with pytest.raises(Failed, match="error while creating volume root path"):
        await house.volumes.create("data")

    assert not house.again().exists("data")


async def test_a_volume_in_use_stays(house: House) -> None:
    """Docker's words name who has it."""
    await house.volumes.create("data")
    house.used["data"] = ["c1"]

    with pytest.raises(Conflict) as caught:
        await house.volumes.remove("data")
    assert caught.value.message == "remove data: volume is in use - [c1]"

    house.used.clear()
    await house.volumes.remove("data")
    assert not (house.folder / "volumes" / "data").exists()
    with pytest.raises(NotFound, match="get data: no such volume"):
        house.again().find("data")


async def test_prune_takes_the_nameless_unless_told_otherwise(house: House) -> None:
    """A name is a promise; what is used is never taken."""
    for name in ("kept", "used"):
        await house.volumes.create(name)
    nameless = await house.volumes.create()
    Path(nameless.mountpoint, "file").write_bytes(b"x" * 10)
    house.used["used"] = ["c1"]

    assert await house.volumes.prune() == ([nameless.name], 10)
    assert await house.volumes.prune({"all": ["true"]}) == (["kept"], 0)
    assert [v.name for v in house.volumes.list()[0]] == ["used"]


async def test_filters(house: House) -> None:
    """By name, label, driver, and whether anybody has it."""
    await house.volumes.create("one", labels={"tier": "a"})
    await house.volumes.create("two")
    house.used["two"] = ["c1"]

    def names(**filters: list[str]) -> list[str]:
        return [v.name for v in house.volumes.list(filters)[0]]

    assert names(name=["on"]) == ["one"]
    assert names(label=["tier=a"]) == ["one"]
    assert names(dangling=["true"]) == ["one"]
    assert names(dangling=["0"]) == ["two"]
    assert names(driver=["other"]) == []


@pytest.mark.parametrize(
    ("name", "driver", "options", "kind"),
    [
        ("../etc", "local", {}, Invalid),
        ("data", "nfs", {}, NotFound),
        ("data", "local", {"type": "nfs"}, Invalid),
    ],
)
async def test_refused(
    house: House, name: str, driver: str, options: dict[str, str], kind: type[FairleadError]
) -> None:
    """A name is no path, and other drivers are somebody else's."""
    with pytest.raises(kind):
        await house.volumes.create(name, driver, options)
    assert house.volumes.list()[0] == []
