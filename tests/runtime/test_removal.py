"""Names and removal: Docker's rules about who may still need an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.runtime.catalog import Catalog, Entry
from fairlead.runtime.reference import parse
from fairlead.runtime.removal import remove
from fairlead.runtime.stored import Removed, Use

ONE, TWO = "sha256:" + "1a" * 32, "sha256:" + "1b" * 32
DIGEST = "sha256:" + "dd" * 32
RUNNING, STOPPED = Use("c0ffee" * 10, True), Use("decade" * 10, False)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """One image with a tag and its digest, one with tags in two repositories."""
    made = Catalog(tmp_path / "catalog")
    made.add(Entry(ONE, (), (str(parse("one:latest")),), (f"{parse('one').name}@{DIGEST}",)))
    made.add(Entry(TWO, (), tuple(str(parse(name)) for name in ("two:a", "two:b", "other:c"))))
    return made


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("one", ONE), ("one:latest", ONE), (f"one@{DIGEST}", ONE), ("docker.io/library/one", ONE),
        (ONE, ONE), (ONE[7:], ONE), (ONE[7:19], ONE), ("1a", ONE), ("sha256:1b", TWO),
        ("other:c", TWO),
    ],
)  # fmt: skip
def test_finding(catalog: Catalog, name: str, image: str) -> None:
    """A reference, an id and the start of one find an image."""
    assert catalog.find(name).id == image


def test_not_finding(catalog: Catalog) -> None:
    """What is not there is named with its tag; a start that fits two is no name."""
    with pytest.raises(NotFound, match=r"^No such image: ghost:latest$"):
        catalog.find("ghost")
    with pytest.raises(NotFound, match=r"^No such image: two:latest$"):
        catalog.find("two")
    with pytest.raises(Conflict):
        catalog.find("1")
    with pytest.raises(Invalid):
        catalog.find("")


def test_a_name_that_looks_like_an_id_is_a_name_first(catalog: Catalog) -> None:
    """Whoever calls an image `beef` means that one."""
    catalog.tag(TWO, parse("1a"), "")

    assert catalog.find("1a").id == TWO
    assert remove(catalog, catalog.find("1a"), "1a", (), force=False) == [Removed("1a:latest")]
    assert catalog.find("1a").id == ONE


def test_a_tag_moves(catalog: Catalog) -> None:
    """A tag belongs to one image; the other keeps the rest."""
    catalog.tag(ONE, parse("two:a"), "")

    assert catalog.find("two:a").id == ONE
    assert [r.familiar for r in catalog.entries[TWO].references] == ["two:b", "other:c"]


def test_removing_the_last_name_removes_the_image(catalog: Catalog) -> None:
    """Tag, digest and image go, and the answer says so in that order."""
    removed = remove(catalog, catalog.find("one"), "one", (), force=False)

    assert removed == [Removed("one:latest"), Removed(f"one@{DIGEST}"), Removed(deleted=ONE)]
    assert set(catalog.entries) == {TWO}


def test_removing_one_of_many_names(catalog: Catalog) -> None:
    """The image stays with its other names, whoever uses it."""
    removed = remove(catalog, catalog.find("two:a"), "two:a", (RUNNING,), force=False)

    assert removed == [Removed("two:a")]
    assert catalog.find("two:b").id == TWO


def test_conflicts(catalog: Catalog) -> None:
    """Each refusal is in Docker's words, and nothing has changed after it."""
    before = dict(catalog.entries)
    refused = [
        ("one", (STOPPED,), False,
         'conflict: unable to remove repository reference "one:latest" (must force) - container '
         "decadedecade is using its referenced image 1a1a1a1a1a1a"),
        (ONE, (RUNNING,), True,
         "conflict: unable to delete 1a1a1a1a1a1a (cannot be forced) - image is being used by "
         "running container c0ffeec0ffee"),
        (ONE[7:19], (STOPPED,), False,
         "conflict: unable to delete 1a1a1a1a1a1a (must be forced) - image is being used by "
         "stopped container decadedecade"),
        (TWO, (), False,
         "conflict: unable to delete 1b1b1b1b1b1b (must be forced) - image is referenced in "
         "multiple repositories"),
    ]  # fmt: skip
    for name, uses, force, said in refused:
        with pytest.raises(Conflict) as conflict:
            remove(catalog, catalog.find(name), name, uses, force=force)
        assert conflict.value.message == said

    assert catalog.entries == before


def test_force(catalog: Catalog) -> None:
    """Force takes all names of an image, and the name of a running one without the image."""
    assert remove(catalog, catalog.find(TWO), TWO, (STOPPED,), force=True) == [
        Removed("two:a"), Removed("two:b"), Removed("other:c"), Removed(deleted=TWO),
    ]  # fmt: skip
    assert remove(catalog, catalog.find("one"), "one", (RUNNING,), force=True) == [
        Removed("one:latest"), Removed(f"one@{DIGEST}"),
    ]  # fmt: skip
    assert catalog.find(ONE).references == ()


def test_it_is_the_same_after_a_restart(catalog: Catalog, tmp_path: Path) -> None:
    """What was stored is what is read."""
    catalog.store()
    again = Catalog(tmp_path / "catalog")
    again.open()

    assert again.entries == catalog.entries
