"""healing: the host is looked at when somebody changed it, and now and then anyway.

::

    hint ─► wait a moment ─► lock ─► is it about anything of ours? ─► look ─► mend

Hints come from the kernel (`kernel.watch`, `kernel.ears`); the audit finds what nobody tells
of: settings, the insides of sandboxes a few at a time. Both end in `mend`,
which leaves people's edits alone. Who undoes our repairs again and again is
given way for a while, and a warning says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.controller import want
from fairlead.controller.commit import Committer
from fairlead.controller.mending import View, mend
from fairlead.controller.want import Claim
from fairlead.firewall.policy import Policy
from fairlead.kernel.ears import Ears
from fairlead.kernel.errors import Refused
from fairlead.kernel.watch import Watch
from fairlead.model.errors import FairleadError
from fairlead.model.facts import Hint
from fairlead.model.network import Network, span
from fairlead.model.state import HOST, IPNetwork, Key, Resource, State, state
from fairlead.model.step import ForgetFlows, Step
from fairlead.model.world import World
from fairlead.plan.damage import is_rule
from fairlead.plan.doctor import OVERLAP
from fairlead.plan.explain import describe
from fairlead.plan.patience import Patience
from fairlead.plan.worry import Worry, cut_off, overlaps, worry

DEBOUNCE_SECONDS = 0.05
"""From the first hint to the look: changes come in bursts, most of them our own."""
AUDIT_SECONDS = 30.0
BITE = 20
"""Sandboxes that one audit looks into: a host of a thousand is through in half an hour."""
SHOWN = 8
"""Steps in one line of the log."""
RULES = "rules"
"""The firewall, among those who can be left alone for a while."""


Source = Watch | Ears
"""Who tells of changes: of the host, and of networks that span hosts."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the log should tell."""

    text: str
    detail: Mapping[str, str] = field(default_factory=dict)


class Healer:
    """Keeps the host as the world says, under the controller's lock."""

    def __init__(
        self,
        committer: Committer,
        lock: asyncio.Lock,
        world: Callable[[], World],
        warn: Callable[[str], None],
        overlap: Callable[[Network, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.notices: list[Callable[[Notice], None]] = []
        self.looked: list[Callable[[], None]] = []
        """Who hears that the host was looked at."""
        self.repairs = 0
        self._committer = committer
        self._lock = lock
        self._world = world
        self._warn = warn
        self._overlap = overlap
        self._clock = clock
        self._patience = Patience()
        self._hints: list[Hint] = []
        self._heard = asyncio.Event()
        self._reported: set[tuple[str, str]] = set()
        self._next = 0
        self._author = ""
        self._sources: tuple[Source, ...] = ()
        self._task: asyncio.Task[None] | None = None

    def open(self, sources: Sequence[Source], audit_seconds: float = AUDIT_SECONDS) -> None:
        """Begin to listen, and to audit every so many seconds (0: never)."""
        self._sources = tuple(sources)
        loop = asyncio.get_running_loop()
        for source in self._sources:
            for sock in source.sockets:
                loop.add_reader(sock, self._read, source)
        self._task = asyncio.ensure_future(self._run(audit_seconds))
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop; what is being mended is mended to its end."""
        for source in self._sources:
            for sock in source.sockets:
                asyncio.get_running_loop().remove_reader(sock)
            source.close()
        self._sources = ()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def hear(self, hints: Sequence[Hint]) -> None:
        """Look soon."""
        if hints:
            self._hints += hints
            self._heard.set()

    async def heed(self) -> tuple[Step, ...]:
        """Look at what was heard of, now; the steps that mending took."""
        self._heard.clear()
        hints, self._hints = self._hints, []
        async with self._lock:
            ground = self._committer.host.ground
            concern = worry(self._world(), hints, frozenset({ground.link, *ground.near.values()}))
            return await self._tend(concern) if concern else ()

    async def audit(self) -> tuple[Step, ...]:
        """Look at the host, and into the next few sandboxes."""
        boxes = sorted(self._world().sandboxes)
        chosen = (boxes + boxes)[self._next : self._next + BITE][: len(boxes)]
        self._next = (self._next + len(chosen)) % max(1, len(boxes))
        async with self._lock:
            # Some may have gone while others had the lock.
            there = frozenset(chosen) & self._world().sandboxes.keys()
            return await self._tend(Worry(True, True, there, True))

    def _ended(self, task: asyncio.Task[None]) -> None:
        """It ends only when it is told to, or by a fault of ours that must not stay unknown."""
        if not task.cancelled() and (error := task.exception()) is not None:
            text = "the host is no longer looked after: restart the daemon"
            self._tell(Notice(text, {"reason": repr(error)}))
            self._warn(text)

    def _read(self, source: Source) -> None:
        self.hear(source.read())

    async def _run(self, audit_seconds: float) -> None:
        audited = self._clock()
        while True:
            now = self._clock()
            ends = list(self._patience.resting(now).values())
            if audit_seconds:
                ends.append(audited + audit_seconds)
            # Not wait_for: it forgets a cancellation that comes together with a hint.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(ends) - now) if ends else None):
                    await self._heard.wait()
            try:
                if self._heard.is_set():
                    await asyncio.sleep(DEBOUNCE_SECONDS)
                    await self.heed()
                elif audit_seconds and self._clock() - audited >= audit_seconds:
                    audited = self._clock()
                    await self.audit()
                else:
                    # A rest is over.
                    self.hear([Hint("all")])
            except (FairleadError, ExceptionGroup, OSError) as error:
                self._tell(Notice("the host cannot be looked after", {"reason": str(error)}))
                await asyncio.sleep(1)

    async def _tend(self, concern: Worry) -> tuple[Step, ...]:
        """Look and mend; the lock is held."""
        world, now = self._world(), self._clock()
        self._author = concern.author or self._author
        look = Look(world, concern, frozenset(self._patience.resting(now)))
        try:
            await self._committer.on_thread(lambda: look.take(self._committer))
        except Refused as refused:
            detail = {"reason": refused.message, "hint": refused.hint}
            self._tell(Notice("the host could not be mended", detail))
            self._count(look, (refused.step,), now)
        if look.steps:
            self.repairs += 1
            self._tell(_mended(look.steps, concern.author))
            self._count(look, look.steps, now)
        if concern.routes:
            self._report_overlaps(look)
        for listener in self.looked:
            listener()
        return look.steps

    def _count(self, look: Look, steps: Sequence[Step], now: float) -> None:
        for who in sorted({look.group(step) for step in steps}):
            seconds = self._patience.acted(who, now)
            if seconds:
                by = f" (rules were last written by {self._author})" if who == RULES else ""
                text = f"what fairlead repairs of {look.called(who)} is undone again and again{by}"
                self._tell(Notice(text, {"next_look_in_seconds": f"{seconds:g}"}))
                self._warn(text)

    def _report_overlaps(self, look: Look) -> None:
        found: set[tuple[str, str]] = set()
        for route, net, subnet in overlaps(look.world, look.occupied):
            found.add((str(route), net.id))
            if (str(route), net.id) not in self._reported:
                text = (
                    f"{OVERLAP} {route} overlaps {subnet} of network {net.name}: "
                    "one of them cannot be reached"
                )
                self._tell(Notice(text))
                self._warn(text)
                self._overlap(net, str(route))
        self._reported = found

    def _tell(self, notice: Notice) -> None:
        for listener in self.notices:
            listener(notice)


@dataclass(slots=True)
class Look:
    """One look at the host. `resting`: ids of whom is left alone, and `RULES`."""

    world: World
    concern: Worry
    resting: frozenset[str] = frozenset()
    steps: tuple[Step, ...] = ()
    occupied: tuple[IPNetwork, ...] = ()
    _groups: dict[Key, str] = field(default_factory=dict)

    def take(self, committer: Committer) -> None:
        """Look, and mend. On the kernel thread."""
        kernel, concern, world = committer.kernel, self.concern, self.world
        rules = concern.rules and RULES not in self.resting
        rules = rules and (kernel.touched() or committer.seals.touched(world))
        host = rules or concern.host
        if concern.routes:
            self.occupied = kernel.surroundings().routes
        if not host and not concern.boxes:
            return
        steps = _shifted(committer.survey(world)) if host else ()
        if steps:
            kernel.apply(steps)
        vitals = kernel.vitals(rules=False)
        boxes = concern.boxes | (cut_off(world, vitals.links) if host else frozenset())
        boxes -= self.resting
        wanted = self._wanted(committer, boxes, host, rules)
        places = {world.sandboxes[b].namespace for b in boxes}
        if host:
            tunnelled = (
                n for n in world.networks.values() if want.tunnelled(world, n, committer.host)
            )
            places |= {HOST, *(span(net.id) for net in tunnelled)}
        view = View(frozenset(places), rules)
        if rules:
            wanted = committer.seals.spared(wanted)
        self.steps = mend(kernel, wanted, view, self._flows(), vitals)

    def _flows(self) -> tuple[ForgetFlows, ...]:
        """What began while there were no rules, and would go on as if there were none."""
        ports = (p for box in self.world.sandboxes.values() for p in box.ports)
        numbers = sorted({p.host_port for p in ports if p.protocol == "udp"})
        return tuple(ForgetFlows(udp_port=number) for number in numbers)

    def group(self, step: Step) -> str:
        """Whose a step is: the id of a network or sandbox, or `RULES`."""
        return self._groups.get(step.resource.key, RULES)

    def called(self, who: str) -> str:
        """A group as people know it."""
        if who in self.world.sandboxes:
            return f"container {self.world.sandboxes[who].name}"
        if who in self.world.networks:
            return f"network {self.world.networks[who].name}"
        return "the firewall" if who == RULES else "the host"

    def _wanted(
        self, committer: Committer, boxes: Collection[str], host: bool, rules: bool
    ) -> State:
        """What should be of some sandboxes and of the host; of rules all or none."""
        world, walls, settings = self.world, committer.walls, committer.host
        claims: list[tuple[str, Claim]] = []
        for box in world.sandboxes.values():
            if rules or box.id in boxes:
                claims += [(box.id, c) for c in want.sandbox(world, box, walls, settings)]
        if host:
            for net in world.networks.values():
                claims += [(net.id, c) for c in want.network(world, net, walls, settings)]
                for peer in world.afar(net.id).values():
                    claims += [(net.id, c) for c in want.peer(world, peer, walls, settings)]
            for id_, there in world.reach:
                claims += [(id_, c) for c in want.heard(world, id_, there, walls, settings)]
            claims += [(RULES, c) for c in want.sealed(world, settings)]
            known = None if rules else Policy()
            claims += [(HOST, c) for c in want.firewall(world, walls, settings, known)]
        found: list[Resource] = []
        for who, claim in claims:
            rule = is_rule(claim.resource)
            self._groups[claim.resource.key] = RULES if rule else who
            mine = who in boxes or who not in world.sandboxes
            if rules if rule else mine and who not in self.resting:
                found.append(claim.resource)
        return state(found)


def _shifted(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Of what other ground calls for, what is not found missing by a look at links and routes."""
    return tuple(step for step in steps if step.after is None or is_rule(step.resource))


def _mended(steps: Sequence[Step], author: str) -> Notice:
    lines = [" ".join(f"{step.verb} {describe(step.resource)}".split()) for step in steps]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    detail = {"steps": "; ".join(lines[:SHOWN] + more)}
    if author and any(is_rule(step.resource) for step in steps):
        detail["rules_written_by"] = author
    return Notice("the host was damaged and is mended", detail)
