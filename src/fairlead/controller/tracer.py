"""trace: sends a probe on its way, or watches what is really sent, and says what was seen.

One trace at a time: the kernel tells of all packets that are followed to whoever listens.
What blocks happens on the kernel thread; while packets are waited for, it is free.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from fairlead.controller.commit import Committer
from fairlead.controller.scout import Scout, Start
from fairlead.kernel.probe import tell_tale
from fairlead.kernel.trace import Meant, Trace, everywhere
from fairlead.model.errors import Conflict
from fairlead.model.packet import Flow, Sight, Way, joined
from fairlead.model.state import HOST
from fairlead.model.world import World
from fairlead.plan.trace import story
from fairlead.plan.trace.ends import Asked, End, asked, covers, published
from fairlead.plan.trace.outcome import Outcome, beyond, expected, leaves, outcome, reached_by
from fairlead.plan.trace.rulebook import Rulebook
from fairlead.plan.trace.story import Ending, Fate
from fairlead.plan.trace.watching import all_told, packets
from fairlead.plan.trace.watching import meant as matches

PATIENCE_SECONDS = 1.0
"""How long a probe may take to be seen at its end, on a busy machine; the kernel's own drops are
told by nobody."""
QUIET_SECONDS = 0.2
"""After so long nothing more is expected of a packet that somebody sent."""
EPHEMERAL = 32768
PROXY = "the proxy"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a packet: lines, and the last word."""

    lines: tuple[str, ...]
    outcome: Outcome | None = None


class Tracer:
    """Follows packets on one host."""

    def __init__(self, committer: Committer, world: Callable[[], World]) -> None:
        self._committer = committer
        self._world = world
        self._busy = False

    async def probe(self, source: str, target: str, whole: bool = False) -> Report:
        """What would become of a packet, by one that nobody sees. Raises Invalid, NotFound.

        `whole`: with every rule that it meets, not only those that decide.
        """
        world = self._world()
        question = asked(world, source, target)
        start = await self._on_thread(lambda: self._scout(world).start(question))
        rules = await self._on_thread(lambda: self._rules(world))
        async with self._turn():
            return await self._leg(world, rules, start, whole)

    async def watch(
        self, source: str, target: str, seconds: int, whole: bool = False
    ) -> AsyncGenerator[Report, None]:
        """What becomes of packets that are really sent; before that, of a probe."""
        world = self._world()
        question = asked(world, source, target, watched=True)
        rules = await self._on_thread(lambda: self._rules(world))
        async with self._turn():
            if not question.source.anybody:
                start = await self._on_thread(lambda: self._scout(world).start(question))
                yield await self._leg(world, rules, start, whole)
            async with self._following(matches(world, question)) as trace:
                yield Report((f"watching for {question}, for {seconds} s",))
                seen, until = 0, time.monotonic() + seconds
                while (left := until - time.monotonic()) > 0:
                    told = await self._read(trace, left, QUIET_SECONDS, all_told)
                    for flow, packet in packets(told).items():
                        seen += 1
                        first = Start(question.source, question.target, flow, packet[0].came_by)
                        yield await self._told(world, rules, first, packet, whole)
                yield Report((_counted(seen),))

    # One probe

    async def _leg(self, world: World, rules: Rulebook, start: Start, whole: bool) -> Report:
        """From the beginning of a way to its end, or to the proxy and from there on."""
        flow = replace(start.flow, source_port=EPHEMERAL + secrets.randbelow(EPHEMERAL // 2))
        start = replace(start, flow=flow)
        head = (_head(start), *await self._listed(world, flow), *start.said)
        if start.ended is not None:
            return Report((*head, *start.ended.lines()), start.ended)
        if start.past:
            return await self._last(world, rules, start, head)
        sights = await self._probed(start)
        lines = (*head, *story.hops(sights, rules, flow, whole))
        found = story.ending(sights)
        behind = await self._proxied(world, found, start)
        if behind is None:
            return await self._last(world, rules, start, lines, sights)
        rest = await self._leg(world, rules, behind, whole)
        return Report((*lines, _taken(behind), *rest.lines), rest.outcome)

    async def _probed(self, start: Start) -> list[Sight]:
        tracing, secret = self._committer.kernel.tracing(), secrets.randbits(32)
        tale = tell_tale(start.flow.protocol, secret)
        async with self._following(everywhere(tale), tale) as trace:
            if start.by:
                await self._on_thread(
                    lambda: tracing.receive(start.flow, secret, start.by, start.macs)
                )
            else:
                await self._on_thread(lambda: tracing.send(start.flow, secret))
            return await self._read(trace, PATIENCE_SECONDS, PATIENCE_SECONDS, story.is_over)

    async def _proxied(self, world: World, found: Ending, start: Start) -> Start | None:
        """The way from this host to a container, where the proxy has the published port."""
        flow = found.flow
        if found.fate is not Fate.DELIVERED or flow is None:
            return None
        meant = published(world, flow.protocol, flow.port)
        led = ((box, port) for box, port in meant if covers(port, flow.destination))
        box, port = next(led, (None, None))
        if box is None or port is None or box is start.source.box:
            return None
        question = Asked(End(host=True), End(box), flow.protocol, port.container_port)
        return await self._on_thread(lambda: self._scout(world).start(question))

    async def _last(
        self,
        world: World,
        rules: Rulebook,
        start: Start,
        lines: Sequence[str],
        sights: Sequence[Sight] = (),
    ) -> Report:
        """The end of a way, and who listens there."""
        found = story.ending(sights)
        if start.past:
            found = Ending(Fate.LEFT, None, start.flow)
        flow = found.flow or start.flow
        reached = start.target if start.past else reached_by(world, found, flow)
        if start.past and reached is not None and reached.box is None:
            said = beyond(world, flow, start.past)
            return Report((*lines, *said.lines()), said)
        tracing, way, heard = self._committer.kernel.tracing(), Way(), []
        if reached is not None:
            heard = await self._on_thread(
                lambda: tracing.listeners(reached.namespace, flow.protocol)
            )
        elif found.fate in (Fate.LOST, Fate.UNSEEN):
            came = found.link or start.by
            way = await self._on_thread(
                lambda: tracing.way(HOST, flow.destination, flow.source, came)
            )
        said = outcome(world, rules, found, flow, reached, heard, way)
        left = () if start.past else leaves(world, found, flow, reached)
        return Report((*lines, *left, *said.lines()), said)

    # What is really sent

    async def _told(
        self,
        world: World,
        rules: Rulebook,
        start: Start,
        sights: Sequence[Sight],
        whole: bool,
    ) -> Report:
        """One packet that somebody sent."""
        came = (f"  comes   by {start.by}",) if start.by else ()
        lines = (str(start.flow), *came, *story.hops(sights, rules, start.flow, whole))
        behind = await self._proxied(world, story.ending(sights), start)
        if behind is None:
            return await self._last(world, rules, start, lines, sights)
        return await self._last(world, rules, replace(behind, past=PROXY), (*lines, _taken(behind)))

    # Beneath

    async def _listed(self, world: World, flow: Flow) -> tuple[str, ...]:
        tracing = self._committer.kernel.tracing()
        way = await self._on_thread(lambda: tracing.way(HOST, flow.destination))
        listed = list(published(world, flow.protocol, flow.port))
        return tuple(expected(world, flow, way.local, listed))

    async def _read(
        self,
        trace: Trace,
        seconds: float,
        quiet_seconds: float,
        over: Callable[[list[Sight]], bool],
    ) -> list[Sight]:
        """What is told until it is over, or until nothing comes for a while after something."""
        found: list[Sight] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await _readable(trace, min(left, quiet_seconds) if found else left)
            # Looked at in any case: on a busy host the time may be up before anybody looked.
            told = await self._on_thread(trace.read)
            found += told
            if not told or over(found):
                break
        return found

    @asynccontextmanager
    async def _following(self, meant: Meant, ending: str = "") -> AsyncIterator[Trace]:
        trace = self._committer.kernel.tracing().trace()
        try:
            await self._on_thread(lambda: trace.begin(meant, ending))
            yield trace
        finally:
            # Whoever gave up waiting leaves nothing behind: the thread takes one after the other.
            await asyncio.shield(self._on_thread(trace.end))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._busy:
            raise Conflict(
                "packets are being followed already", hint="wait for the other `trace` to end"
            )
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def _scout(self, world: World) -> Scout:
        return Scout(world, self._committer.kernel.tracing())

    def _rules(self, world: World) -> Rulebook:
        return Rulebook(world, *self._committer.claimed(world))

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await self._committer.on_thread(work)


def _head(start: Start) -> str:
    """The packet, with the names of both ends."""
    flow, (one, other) = start.flow, (start.source.name, start.target.name)
    source = str(flow.source) if one == str(flow.source) else f"{one}, {flow.source},"
    if flow.source == flow.destination and start.ended is not None:
        # It has no address for that.
        source = one
    target = joined(flow.destination, flow.port)
    named = "" if other == str(flow.destination) else f"{other}, "
    return f"{flow.protocol} from {source} to {named}{target}"


def _counted(seen: int) -> str:
    if seen:
        return f"{seen} such packet{'s' if seen > 1 else ''} came"
    return "no such packet came: whoever sends it does not get as far as this host"


def _taken(behind: Start) -> str:
    who, where = behind.target.name, behind.flow.destination
    return f"  proxy   takes it, and asks {who} at {where} from this host"


async def _readable(trace: Trace, seconds: float) -> None:
    """Wait until something is told of packets, for a time."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(trace.socket, came.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await came.wait()
    finally:
        loop.remove_reader(trace.socket)
