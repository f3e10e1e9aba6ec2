"""The store keeps what it was told, all of it or nothing, and says when it cannot."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fairlead.model.errors import Failed, Unavailable
from fairlead.store.sqlite import Document, Store

KINDS = st.sampled_from(["network", "endpoint"])
IDS = st.sampled_from(["a", "b", "c"])
BODIES = st.binary(min_size=1, max_size=20)


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """Documents by kind and id; an intent that nobody finished as well."""
    store = Store(tmp_path / "db")
    store.put("network", "a", b"{}")
    store.begin(7, b"put", b"gone")
    store.close()

    again = Store(tmp_path / "db")

    assert again.load("network") == {"a": b"{}"}
    assert again.load("endpoint") == {}
    assert again.intents() == [(7, b"put", b"gone")]
    again.close()


def test_finishing_changes_the_model_and_forgets_the_intent(tmp_path: Path) -> None:
    """Both in one transaction."""
    store = Store(tmp_path / "db")
    store.put("network", "old", b"1")
    store.begin(1, b"", b"")

    store.finish(1, [Document("network", "new", b"2"), Document("network", "old")])

    assert store.load("network") == {"new": b"2"}
    assert store.intents() == []
    store.close()


def test_all_or_nothing(tmp_path: Path) -> None:
    """A write that fails in the middle leaves what was there."""
    store = Store(tmp_path / "db")
    store.put("network", "a", b"1")
    bad = Document("network", "b", object())  # type: ignore[arg-type]

    with pytest.raises(Unavailable):
        store.write([Document("network", "a", b"2"), bad])

    assert store.load("network") == {"a": b"1"}
    store.close()


def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    """A folder in the place of the file, and a file that is no database."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable, match="cannot be opened"):
        Store(tmp_path / "folder")

    (tmp_path / "noise").write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match="cannot be opened"):
        Store(tmp_path / "noise")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """An older fairlead does not guess at what a newer one wrote."""
    with sqlite3.connect(tmp_path / "db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()

    with pytest.raises(Failed, match="written by a newer fairlead"):
        Store(tmp_path / "db")


@settings(deadline=None)
@given(st.lists(st.tuples(KINDS, IDS, st.none() | BODIES)))
def test_the_last_word_counts(tmp_path_factory: pytest.TempPathFactory, words: list) -> None:  # type: ignore[type-arg]
    """The store is a dictionary that survives."""
    path = tmp_path_factory.mktemp("store") / "db"
    expected: dict[tuple[str, str], bytes] = {}
    store = Store(path)
    for kind, id_, body in words:
        store.write([Document(kind, id_, body or b"")])
        if body:
            expected[kind, id_] = body
        else:
            expected.pop((kind, id_), None)
    store.close()

    again = Store(path)
    found = {(k, i): b for k in ("network", "endpoint") for i, b in again.load(k).items()}
    again.close()

    assert found == expected


class Intents(RuleBasedStateMachine):
    """Intents are begun, and finished or abandoned, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(Path("/dev/shm") / f"fairlead-intents-{id(self)}.db")
        self.open: dict[int, tuple[bytes, bytes]] = {}
        self.number = 0

    @rule(put=st.binary(max_size=5), gone=st.binary(max_size=5))
    def begin(self, put: bytes, gone: bytes) -> None:
        self.number += 1
        self.store.begin(self.number, put, gone)
        self.open[self.number] = (put, gone)

    @rule(done=st.booleans(), data=st.data())
    def end(self, done: bool, data: st.DataObject) -> None:
        if not self.open:
            return
        number = data.draw(st.sampled_from(sorted(self.open)))
        if done:
            self.store.finish(number, [Document("x", str(number), b"1")])
        else:
            self.store.abandon(number)
        del self.open[number]

    @rule()
    def is_right(self) -> None:
        assert self.store.intents() == [(n, *self.open[n]) for n in sorted(self.open)]

    def teardown(self) -> None:
        self.store.close()
        for path in Path("/dev/shm").glob(f"fairlead-intents-{id(self)}.db*"):
            path.unlink()


TestIntents = Intents.TestCase


def test_a_scribble_is_named(tmp_path: Path) -> None:
    """What was stored and makes no sense any more is said by name, and stays."""
    store = Store(tmp_path / "db")
    store.put("network", "abcdef0123456789", b"scribble")

    with pytest.raises(Failed, match="the stored network abcdef012345 cannot be read"):
        store.read("network", msgspec.json.decode)

    assert store.load("network") == {"abcdef0123456789": b"scribble"}
    store.close()


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    """Neither the file nor what SQLite puts beside it; also one that was open to all before."""
    path = tmp_path / "fairlead.db"
    store = Store(path)
    store.put("keyring", "keyring", b"secret")
    store.close()
    path.chmod(0o644)
    again = Store(path)
    again.put("keyring", "keyring", b"secret")
    modes = {found.name: found.stat().st_mode & 0o777 for found in tmp_path.iterdir()}
    again.close()
    assert set(modes) == {"fairlead.db", "fairlead.db-wal", "fairlead.db-shm"}
    assert set(modes.values()) == {0o600}


def test_an_intent_survives_the_death_of_its_process(tmp_path: Path) -> None:
    """It is not waited for, and yet nothing less than the whole machine takes it along."""
    path = tmp_path / "db"
    code = (
        "import os, pathlib, sys\n"
        "from fairlead.store.sqlite import Store\n"
        "Store(pathlib.Path(sys.argv[1])).begin(1, b'put', b'gone')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    store = Store(path)
    assert store.intents() == [(1, b"put", b"gone")]
    store.close()
