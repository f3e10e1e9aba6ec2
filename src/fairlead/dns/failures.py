"""Questions that nobody could answer a moment ago (RFC 9520).

Rule: pure; time is an argument. A failure is kept for a second, the least that the RFC
allows: programs that ask again and again do not make a storm of it, and a server that is
back is asked as soon. There is room for so many; the oldest go first.
"""

from __future__ import annotations

from collections.abc import Hashable

FAILED_SECONDS = 1.0
MOST = 2048


class Failures:
    """What failed, and until when that is the answer."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        # All are kept for the same time, so the first is the oldest.
        self._until: dict[Hashable, float] = {}

    def note(self, key: Hashable, now: float) -> None:
        """A question has failed."""
        self._until.pop(key, None)
        self._until[key] = now + FAILED_SECONDS
        while len(self._until) > self._most or self._until[self._oldest()] <= now:
            del self._until[self._oldest()]

    def stands(self, key: Hashable, now: float) -> bool:
        """Whether it failed so short a time ago that nobody is to be asked again."""
        return now < self._until.get(key, now)

    def _oldest(self) -> Hashable:
        return next(iter(self._until))

    def __len__(self) -> int:
        return len(self._until)
