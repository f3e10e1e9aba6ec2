"""Work in the background: kept track of, shielded from clients that leave, awaited at close."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fairlead.engine.log import structlog
from fairlead.model.errors import FairleadError

T = TypeVar("T")

# A stop with a long timeout must not hold up the daemon's own.
PATIENCE_S = 5.0

log = structlog.get_logger("engine")


class Tasks:
    """Every task of the engine."""

    def __init__(self) -> None:
        self._verbs: set[asyncio.Task[Any]] = set()
        self._watches: set[asyncio.Task[Any]] = set()

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do a piece of work to its end, whether or not the caller waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._verbs.add(task)
        task.add_done_callback(self._verbs.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # Nobody will fetch its error now: tell the log.
            task.add_done_callback(_report)
            raise

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do something in the background until it ends or the engine closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        task.add_done_callback(_report)
        return task

    async def close(self) -> None:
        """Finish what was begun, end what only waits or takes too long."""
        if self._verbs:
            await asyncio.wait(self._verbs, timeout=PATIENCE_S)
        self._watches |= self._verbs
        watches = list(self._watches)
        for task in watches:
            task.cancel()
        if watches:
            await asyncio.wait(watches)


def _report(task: asyncio.Task[Any]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, FairleadError):
        log.warning("failed", work=task.get_name(), reason=error.message)
    else:
        log.error("failed", work=task.get_name(), exc_info=error)
