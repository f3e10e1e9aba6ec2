"""Waiting for files to change, without polling.

One inotify descriptor on the loop. A wake-up says "look again", never what
happened: events may be merged or lost, so the caller always re-reads.
"""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Any

from fairlead.runtime import syscalls


class Watch:
    """Wakes whoever waits in `changed` when one of the watched paths changed."""

    def __init__(self) -> None:
        self._fd = syscalls.inotify()
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._drain)

    def add(self, path: os.PathLike[str], mask: int) -> None:
        """Watch one more file or directory."""
        syscalls.inotify_add(self._fd, os.fspath(path), mask)

    def _drain(self) -> None:
        try:
            while os.read(self._fd, 65536):
                pass
        except BlockingIOError:
            self._event.set()

    def wake(self, _: asyncio.Future[Any]) -> None:
        """Wake the waiter when a future is done."""
        self._event.set()

    async def changed(self) -> None:
        """Return once something happened since the last return."""
        await self._event.wait()
        self._event.clear()

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
