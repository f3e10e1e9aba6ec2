"""patience: how often the same thing is repaired before it is left alone for a while. Pure.

Two programs that undo each other's work for ever help nobody: after a few
repairs in a short time there is a rest, and a longer one each time that the
damage is there again after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST = 5
WITHIN_SECONDS = 10.0
FIRST_REST_SECONDS = 2.0
LONGEST_REST_SECONDS = 60.0


@dataclass(slots=True)
class _Past:
    times: list[float] = field(default_factory=list)
    rest_seconds: float = 0.0
    until: float = 0.0


class Patience:
    """Who was repaired when. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._past: dict[str, _Past] = {}

    def resting(self, now: float) -> dict[str, float]:
        """Who is left alone, and until when."""
        return {who: past.until for who, past in self._past.items() if past.until > now}

    def acted(self, who: str, now: float) -> float:
        """Note a repair; the seconds for which it is left alone now, or 0."""
        past = self._past.setdefault(who, _Past())
        if past.until and now - past.until > 2 * past.rest_seconds:
            past.rest_seconds = past.until = 0.0
        past.times = [t for t in past.times if now - t < WITHIN_SECONDS] + [now]
        if len(past.times) < MOST and not past.until:
            return 0.0
        past.rest_seconds = min(2 * past.rest_seconds or FIRST_REST_SECONDS, LONGEST_REST_SECONDS)
        past.until = now + past.rest_seconds
        past.times.clear()
        return past.rest_seconds
