"""conmon's log: ``<time> stdout|stderr F|P <text>``, one piece a line.

P is a piece of a line that goes on; the newline is not part of it. Following
waits on inotify. A log that is cut off because it grew too large starts anew in
a file of the same name, so the end of the old file is read first.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fairlead.runtime import syscalls
from fairlead.runtime.attach import STDERR, STDOUT
from fairlead.runtime.watch import Watch

Entry = tuple[datetime, int, bytes]
"""When, 1 stdout or 2 stderr, and the data with its newline if it has one."""

_STREAMS = {b"stdout": STDOUT, b"stderr": STDERR}
_WHOLE_LINE = re.compile(rb"^\S+ (?:stdout|stderr) F [^\n]*\n", re.MULTILINE)
_BLOCK = 65536
_AT_ONCE = 256


def parse(line: bytes) -> Entry | None:
    """Read one line of a log; None when it is damaged."""
    when, _, rest = line.partition(b" ")
    stream, _, rest = rest.partition(b" ")
    mark, _, text = rest.partition(b" ")
    if stream not in _STREAMS or mark not in (b"F", b"P"):
        return None
    try:
        at = _moment(when.decode("ascii"))
    except ValueError:
        return None
    whole = text.rstrip(b"\n") if mark == b"P" else text if text.endswith(b"\n") else text + b"\n"
    return at, _STREAMS[stream], whole


def _moment(text: str) -> datetime:
    # Nine digits of a second; a datetime has six.
    head, dot, tail = text.partition(".")
    if not dot:
        return datetime.fromisoformat(text).astimezone(UTC)
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return datetime.fromisoformat(f"{head}.{tail[: min(digits, 6)]}{tail[digits:]}").astimezone(UTC)


async def read(
    path: Path,
    *,
    tail: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    follow: bool = False,
    ended: asyncio.Event | None = None,
) -> AsyncIterator[Entry]:
    """Read a log; with `follow` until `ended` is set and the rest is read."""
    source = _follow(path, tail, ended or asyncio.Event()) if follow else _present(path, tail)
    count = 0
    async with aclosing(source) as entries:
        async for entry in entries:
            if until is not None and entry[0] > until:
                return
            if since is None or entry[0] >= since:
                yield entry
            count += 1
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)


async def _present(path: Path, tail: int | None) -> AsyncGenerator[Entry, None]:
    if not path.exists():
        return
    with _opened(path) as file:
        _skip(file, tail)
        for entry in _entries(file):
            yield entry


async def _follow(
    path: Path, tail: int | None, ended: asyncio.Event
) -> AsyncGenerator[Entry, None]:
    with Watch() as watch, ExitStack() as opened:
        watch.add(path.parent, syscalls.IN_MODIFY | syscalls.IN_CREATE | syscalls.IN_MOVED_TO)
        end = asyncio.create_task(ended.wait())
        end.add_done_callback(watch.wake)
        opened.callback(end.cancel)
        file: IO[bytes] | None = None
        while True:
            over = ended.is_set()
            if file is None and path.exists():
                file = opened.enter_context(_opened(path))
                _skip(file, tail)
            if file is not None:
                for entry in _entries(file):
                    yield entry
                if _replaced(file, path):
                    file.close()
                    file, tail = None, None
                    continue
            if over:
                return
            await watch.changed()


def _opened(path: Path) -> IO[bytes]:
    return open(path, "rb")


def _replaced(file: IO[bytes], path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False


def _entries(file: IO[bytes]) -> Iterator[Entry]:
    """Every whole line from here; a half-written one is left for the next time."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), os.SEEK_CUR)
            return
        if (entry := parse(line)) is not None:
            yield entry


def _skip(file: IO[bytes], tail: int | None) -> None:
    """Go to where the last so many lines begin, reading no more than the end."""
    if tail is None:
        return
    size = file.seek(0, os.SEEK_END)
    if tail <= 0:
        return
    block = _BLOCK
    while True:
        start = file.seek(max(0, size - block))
        text = file.read(size - start)
        # The first line of a block is cut, unless the block is the whole file.
        cut = text.find(b"\n") + 1 if start else 0
        ends = [match.end() for match in _WHOLE_LINE.finditer(text, cut)]
        if len(ends) > tail:
            file.seek(start + ends[-tail - 1])
            return
        if start == 0:
            file.seek(0)
            return
        block *= 4
