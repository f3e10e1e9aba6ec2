"""sqlite: the model on disk, and what was about to be done to it.

A commit is ``begin`` (the intent is on disk) → steps in the kernel → ``finish``
(the model changes and the intent goes, in one transaction), or ``abandon`` when
the steps were undone. An intent that is found at start was cut short: what it
was to remove is removed then, what it was to add is not there.

Durable when a call returns: WAL with synchronous=FULL, about 0.3 ms, far more on a slow disk.
Only an intent is not waited for. It is for who comes after a daemon that died, and survives
that; when the machine dies, the kernel state of which it speaks is gone as well. It cannot be
later on disk than what follows it, because all goes into one log.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from fairlead.model.errors import Failed, Unavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
  kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent (
  number INTEGER PRIMARY KEY, put BLOB NOT NULL, gone BLOB NOT NULL
);
"""
VERSION = 1
T = TypeVar("T")


PRIVATE = 0o600
"""Of the files: the keyring of encrypted networks is in them."""


@dataclass(frozen=True, slots=True)
class Document:
    """One thing on disk: its kind, its id, its JSON; no body when it is to go."""

    kind: str
    id: str
    body: bytes = b""


def _keep_private(path: Path) -> None:
    """Let nobody else read a file, and so what SQLite puts beside it, which takes its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            if (found := path.with_name(name)).exists():
                found.chmod(PRIVATE)
    except OSError as error:
        raise Unavailable(
            f"the store {path} cannot be opened: {error.strerror}",
            hint="is the disk full or mounted read-only?",
        ) from error


class Store:
    """A file of documents. May be called from any thread; calls are short."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        _keep_private(path)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise Failed(
                    f"{path} was written by a newer fairlead (format {version})",
                    hint="start that one, or use another --data-root",
                )
            self._db.executescript(SCHEMA)
            self._db.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.Error as error:
            raise Unavailable(
                f"the store {path} cannot be opened: {error}",
                hint="is the disk full or mounted read-only?",
            ) from error

    def close(self) -> None:
        self._db.close()

    def load(self, kind: str) -> dict[str, bytes]:
        """All documents of a kind, in the order in which ids sort."""
        with self._lock:
            rows = self._db.execute("SELECT id, body FROM document WHERE kind=?", (kind,))
            return dict(rows.fetchall())

    def read(self, kind: str, decode: Callable[[bytes], T]) -> dict[str, T]:
        """All documents of a kind, decoded. One that cannot be is named, and stays as it is."""
        return {id_: self.decoded(f"{kind} {id_[:12]}", body, decode)
                for id_, body in self.load(kind).items()}  # fmt: skip

    def decoded(self, what: str, body: bytes, decode: Callable[[bytes], T]) -> T:
        """One thing that was stored. Raises Failed with its name if it makes no sense."""
        try:
            return decode(body)
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise Failed(
                f"{self.path}: the stored {what} cannot be read: {error}",
                hint="put back a copy of the file, or move it away to begin anew",
            ) from error

    def put(self, kind: str, id_: str, body: bytes) -> None:
        """Write one document."""
        self.write([Document(kind, id_, body)])

    def drop(self, kind: str, id_: str) -> None:
        """Remove one document, if it is there."""
        self.write([Document(kind, id_)])

    def write(self, documents: Sequence[Document]) -> None:
        """Put or (without a body) drop documents, all or none."""
        self._transact([], documents)

    def begin(self, number: int, put: bytes, gone: bytes) -> None:
        """Note what is about to be done."""
        statement = "INSERT INTO intent (number, put, gone) VALUES (?, ?, ?)"
        with self._lock:
            self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                self._transact([(statement, (number, put, gone))], [])
            finally:
                self._db.execute("PRAGMA synchronous=FULL")

    def finish(self, number: int, documents: Sequence[Document]) -> None:
        """It is done: change the model and forget the intent."""
        self._transact([("DELETE FROM intent WHERE number=?", (number,))], documents)

    def abandon(self, number: int) -> None:
        """It was undone."""
        self._transact([("DELETE FROM intent WHERE number=?", (number,))], [])

    def intents(self) -> list[tuple[int, bytes, bytes]]:
        """What was begun and neither finished nor abandoned."""
        with self._lock:
            rows = self._db.execute("SELECT number, put, gone FROM intent ORDER BY number")
            return rows.fetchall()

    def check(self) -> str:
        """What is wrong with the file; empty if nothing is."""
        with self._lock:
            try:
                (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            except sqlite3.Error as error:
                return str(error)
        return "" if found == "ok" else str(found)

    def _transact(
        self, statements: Sequence[tuple[str, tuple[object, ...]]], documents: Sequence[Document]
    ) -> None:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    for sql, values in statements:
                        self._db.execute(sql, values)
                    for document in documents:
                        self._write_one(document)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise Unavailable(
                    f"the store cannot be written: {error}",
                    hint="is the disk full or mounted read-only?",
                ) from error

    def _write_one(self, document: Document) -> None:
        key = (document.kind, document.id)
        if document.body:
            sql = "INSERT OR REPLACE INTO document (kind, id, body) VALUES (?, ?, ?)"
            self._db.execute(sql, (*key, document.body))
        else:
            self._db.execute("DELETE FROM document WHERE kind=? AND id=?", key)
