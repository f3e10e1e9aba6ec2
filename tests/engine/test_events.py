"""The event bus."""

from __future__ import annotations

import asyncio

import pytest

from fairlead.engine.events import Event, Events
from fairlead.model.errors import Invalid


class Clock:
    """Time in nanoseconds that passes when told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> int:
        return int(self.seconds * 1_000_000_000)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at a hundred seconds."""
    return Clock()


async def collect(events: Events, **asked: object) -> list[Event]:
    return [event async for event in events.subscribe(**asked)]  # type: ignore[arg-type]


def test_a_container_event_looks_like_dockers(clock: Clock) -> None:
    """Old clients read the first three keys, new ones the rest."""
    event = Event("container", "start", "ab", clock(), {"image": "busybox", "name": "app"})

    assert event.document() == {
        "status": "start",
        "id": "ab",
        "from": "busybox",
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "ab", "Attributes": {"image": "busybox", "name": "app"}},
        "scope": "local",
        "time": 100,
        "timeNano": 100_000_000_000,
    }


def test_a_network_event_has_no_status(clock: Clock) -> None:
    """Those came later."""
    document = Event("network", "create", "n", clock(), {"name": "web"}).document()

    assert {"status", "id", "from"}.isdisjoint(document)


async def test_past_events_from_since_to_until(clock: Clock) -> None:
    """`until` in the past ends the stream after what there was."""
    events = Events(clock)
    for second in (100, 101, 102):
        clock.seconds = second
        events.emit("container", "start", str(second), {})

    found = await collect(events, since=101, until=101.5)

    assert [event.id for event in found] == ["101"]


async def test_new_events_reach_every_subscriber(clock: Clock) -> None:
    """Without `since` the past is not told."""
    events = Events(clock)
    events.emit("container", "create", "old", {})
    first, second = events.subscribe(), events.subscribe(filters={"type": ["network"]})

    events.emit("container", "start", "c", {})
    events.emit("network", "connect", "n", {})

    assert (await anext(first)).id == "c"
    assert (await anext(first)).id == "n"
    assert (await anext(second)).id == "n"


async def test_a_waiting_subscriber_is_woken(clock: Clock) -> None:
    """Events are told when they happen."""
    events = Events(clock)
    stream = events.subscribe()
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    events.emit("container", "die", "c", {})

    assert (await waiting).action == "die"


async def test_close_ends_every_stream(clock: Clock) -> None:
    """The daemon does not wait for its listeners."""
    events = Events(clock)
    reading = asyncio.ensure_future(collect(events))
    await asyncio.sleep(0)

    events.close()

    assert await reading == []


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"event": ["exec_create"]}, ["c1"]),
        ({"container": ["app"]}, ["c1"]),
        ({"container": ["c1"]}, ["c1", "n1"]),
        ({"network": ["web"]}, ["n1"]),
        ({"image": ["busybox"]}, ["c1"]),
        ({"label": ["tier=front"]}, ["c1"]),
        ({"type": ["network", "container"], "event": ["connect"]}, ["n1"]),
    ],
)
async def test_filters(clock: Clock, filters: dict[str, list[str]], ids: list[str]) -> None:
    """By what happened, to what, and with which labels."""
    events = Events(clock)
    events.emit(
        "container",
        "exec_create: sh -c ls",
        "c1",
        {"name": "app", "image": "busybox", "tier": "front"},
    )
    events.emit("network", "connect", "n1", {"name": "web", "container": "c1"})

    found = await collect(events, since=0, until=clock.seconds, filters=filters)

    assert [event.id for event in found] == ids


def test_an_unknown_filter_is_refused(clock: Clock) -> None:
    """Before the stream begins."""
    with pytest.raises(Invalid, match="invalid filter 'foo'"):
        Events(clock).subscribe(filters={"foo": ["x"]})
