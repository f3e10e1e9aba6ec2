"""An event loop whose time passes only when nobody has anything else to do.

Minutes of waiting cost nothing, and everything that is due at a time still happens in its
order. What belongs on threads is done in the loop, so that every run is the same.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from fairlead.controller import telling


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, lets the time pass."""

    loop: Loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        assert timeout is not None, "everybody waits for somebody, and nobody for a time"
        self.loop.now += max(timeout, 0)
        return []


class Loop(asyncio.SelectorEventLoop):
    """A loop in which `time()` is whatever it takes."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """The time that has passed, in seconds."""
        return self.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Work that belongs on a thread, done here and now: every run is the same."""
        future = self.create_future()
        # Nobody in there can wait for what this very loop has to do.
        waits, telling.HEARD_SECONDS = telling.HEARD_SECONDS, 0.0
        try:
            future.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001  # whoever waits for it gets it
            future.set_exception(error)
        finally:
            telling.HEARD_SECONDS = waits
        return future
