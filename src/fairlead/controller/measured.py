"""A committer that is watched: how long each change took, and what came in its way.

It changes nothing about a change. What it sees it counts, and tells once per
change to whoever wants to write it down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead.controller.commit import Committer
from fairlead.controller.tally import Tally
from fairlead.kernel.errors import Refused
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox
from fairlead.model.step import Step
from fairlead.model.world import Change, World


@dataclass(frozen=True, slots=True)
class Done:
    """A change that is over. `error` says why it was not made; empty: it was."""

    kind: str
    networks: tuple[str, ...] = ()
    container: str = ""
    name: str = ""
    addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A comparison of the host with the world, and the steps that it took."""

    steps: tuple[Step, ...] = field(default=())
    seconds: float = 0.0


Tell = Callable[[Done | Repaired], None]


class Measured(Committer):
    """Takes the host from one world to the next, and keeps the time."""

    tally: Tally
    tell: Tell

    def watched(self, tally: Tally, tell: Tell) -> Measured:
        """The same, counting there and telling that one."""
        self.tally, self.tell = tally, tell
        return self

    async def commit(self, before: World, change: Change, *args: Any, **kwargs: Any) -> World:
        """Make a change real; the world after it. All or nothing."""
        began = time.monotonic()
        what = described(before, change)
        try:
            after = await super().commit(before, change, *args, **kwargs)
        except BaseException as error:
            self.tally.failures[what["kind"]] += 1
            why = str(error) or type(error).__name__
            self.tell(Done(**what, seconds=time.monotonic() - began, error=why))
            raise
        seconds = time.monotonic() - began
        self.tally.changes[what["kind"]].add(seconds)
        self.tell(Done(**what, seconds=seconds))
        return after

    def repair(self, world: World, *args: Any, **kwargs: Any) -> tuple[Step, ...]:
        """Make the kernel what the world says it is; the steps that this took."""
        began = time.monotonic()
        steps = super().repair(world, *args, **kwargs)
        self.tally.repairs += 1
        self.tally.drift += len(steps)
        self.tell(Repaired(steps, time.monotonic() - began))
        return steps

    def _try(self, steps: Sequence[Step]) -> None:
        try:
            super()._try(steps)
        except Refused as refused:
            self.tally.refusals[refused.code] += 1
            raise


def described(before: World, change: Change) -> dict[str, Any]:
    """The kind of a change, and whom it is about, as the fields of Done."""
    things = (*change.put, *change.drop)
    endpoints = [t for t in things if isinstance(t, Endpoint)]
    boxes = [t for t in things if isinstance(t, Sandbox)]
    boxes += [before.sandboxes[e.sandbox] for e in endpoints if e.sandbox in before.sandboxes]
    nets = [t for t in things if isinstance(t, Network)]
    nets += [before.networks[e.network] for e in endpoints if e.network in before.networks]
    box = boxes[0] if boxes else None
    return {
        "kind": kind(before, change),
        "networks": tuple(dict.fromkeys(net.name for net in nets)),
        "container": box.container if box is not None else "",
        "name": box.name if box is not None else "",
        "addresses": tuple(str(a.ip) for e in endpoints for a in e.addresses),
    }


def kind(before: World, change: Change) -> str:
    """One word for a change: what comes or goes, the largest first."""
    came = {type(t) for t in change.put if not _known(before, t.id)}
    went = {type(t) for t in change.drop}
    for kinds, thing, word in (
        (came, Network, "network-create"),
        (went, Network, "network-remove"),
        (came, Sandbox, "sandbox-open"),
        (went, Sandbox, "sandbox-close"),
        (came, Endpoint, "join"),
        (went, Endpoint, "leave"),
    ):
        if thing in kinds:
            return word
    return "change"


def _known(world: World, id_: str) -> bool:
    return id_ in world.networks or id_ in world.sandboxes or id_ in world.endpoints
