"""What happened, told to whoever listens: the last 256 events and all to come.

A subscriber that falls far behind is cut off rather than allowed to hold the
daemon's memory; it sees the end of its stream and may ask again with `since`.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.engine.record import Container
from fairlead.model.errors import Invalid

KEPT = 256
BACKLOG = 8192
NS_PER_S = 1_000_000_000

Filters = Mapping[str, Sequence[str]]

_OBJECTS = ("container", "network", "image", "volume", "daemon", "plugin")
KNOWN = (*_OBJECTS, "event", "type", "label", "scope", "service", "node", "secret", "config")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at a time in nanoseconds since the epoch."""

    type: str
    action: str
    id: str
    time_ns: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    scope: str = "local"

    def document(self) -> dict[str, Any]:
        """The event as Docker sends it; the first three keys are for old clients."""
        made: dict[str, Any] = {}
        if self.type == "container":
            made = {"status": self.action, "id": self.id}
            if "image" in self.attributes:
                made["from"] = self.attributes["image"]
        elif self.type == "image":
            made = {"status": self.action, "id": self.id}
        return made | {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": self.time_ns // NS_PER_S,
            "timeNano": self.time_ns,
        }


class _Queue:
    """What one subscriber has not read yet."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.wake = asyncio.Event()
        self.closed = False

    def put(self, event: Event) -> None:
        if len(self.events) >= BACKLOG:
            self.closed = True
        else:
            self.events.append(event)
        self.wake.set()


class Events:
    """The bus."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._ring: deque[Event] = deque(maxlen=KEPT)
        self._queues: set[_Queue] = set()
        self.listeners: list[Callable[[Event], None]] = []

    def emit(
        self,
        type: str,
        action: str,
        id: str,
        attributes: Mapping[str, str],
        *,
        scope: str = "local",
    ) -> None:
        """Tell everybody, and remember it for a while."""
        event = Event(type, action, id, self._clock_ns(), dict(attributes), scope)
        self._ring.append(event)
        for queue in self._queues:
            queue.put(event)
        for listener in self.listeners:
            listener(event)

    def subscribe(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: Filters | None = None,
    ) -> AsyncIterator[Event]:
        """Past events from `since` on, then new ones up to `until` (both in seconds).

        Without `since` only new ones. Subscribed when it returns. Raises Invalid.
        """
        wanted = matcher(filters or {})
        queue = _Queue()
        first_ns = _ns(since)
        if first_ns is not None:
            queue.events.extend(e for e in self._ring if e.time_ns >= first_ns)
        if queue.events:
            queue.wake.set()
        self._queues.add(queue)
        return self._follow(queue, _ns(until), wanted)

    async def _follow(
        self, queue: _Queue, last_ns: int | None, wanted: Callable[[Event], bool]
    ) -> AsyncIterator[Event]:
        try:
            while True:
                while queue.events:
                    event = queue.events.popleft()
                    if last_ns is not None and event.time_ns > last_ns:
                        return
                    if wanted(event):
                        yield event
                if queue.closed or not await self._more(queue, last_ns):
                    return
        finally:
            self._queues.discard(queue)

    async def _more(self, queue: _Queue, last_ns: int | None) -> bool:
        """Wait for the next event; False when none can come in time."""
        queue.wake.clear()
        left_s = None if last_ns is None else (last_ns - self._clock_ns()) / NS_PER_S
        if left_s is not None and left_s <= 0:
            return False
        try:
            async with asyncio.timeout(left_s):
                await queue.wake.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End every subscription."""
        for queue in self._queues:
            queue.closed = True
            queue.wake.set()


def tell(events: Events, container: Container, action: str, **attributes: str) -> None:
    """Tell of something that happened to a container: its labels, image and name go along."""
    labels = container.record.config.labels
    known = {**labels, "image": container.record.image_ref, "name": container.name}
    events.emit("container", action, container.id, {**known, **attributes})


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * NS_PER_S)


def matcher(filters: Filters) -> Callable[[Event], bool]:
    """Whether an event fits: one value of each key. Raises Invalid."""
    for key in filters:
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}'")

    def fits(event: Event) -> bool:
        return all(not values or _fits(event, key, values) for key, values in filters.items())

    return fits


def _fits(event: Event, key: str, values: Sequence[str]) -> bool:
    if key == "event":
        # exec_create carries its command behind a colon.
        return event.action in values or event.action.partition(":")[0] in values
    if key == "type":
        return event.type in values
    if key == "scope":
        return event.scope in values
    if key == "label":
        return all(_label(event.attributes, value) for value in values)
    if key == "image" and event.type == "container":
        return event.attributes.get("image", "") in values
    if key == "container" and event.attributes.get("container"):
        # A network's event about a container is the container's too.
        return any(event.attributes["container"].startswith(v) for v in values)
    return event.type == key and any(_names(event, value) for value in values)


def _names(event: Event, value: str) -> bool:
    name = event.attributes.get("name", "")
    prefix = bool(re.fullmatch("[0-9a-f]+", value)) and event.id.startswith(value)
    return value in (event.id, name) or prefix


def _label(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
