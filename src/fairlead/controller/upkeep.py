"""Upkeep of the whole host: what is not as the world says, mending it, and leaving it for good."""

from __future__ import annotations

from fairlead.controller.commit import Committer
from fairlead.model.errors import NotFound
from fairlead.model.state import Scope
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.plan.diff import diff


def damage(committer: Committer, world: World) -> tuple[Step, ...]:
    """The steps that a repair would begin with; nothing is changed. Blocks: kernel thread."""
    wanted = committer.wanted(world)
    scope = Scope(settings=frozenset(k for k, r in wanted.items() if r.LASTING))
    return diff(wanted, committer.kernel.observe(scope))


def erase(committer: Committer) -> tuple[Step, ...]:
    """Take everything of ours from the host, rules included; settings stay. Kernel thread."""
    steps = diff({}, committer.kernel.observe(Scope()))
    committer.kernel.apply(steps)
    committer.kernel.reap()
    for kind in ("endpoint", "sandbox", "network", "peer", "keyring"):
        for id_ in committer.store.load(kind):
            committer.store.drop(kind, id_)
    return steps


def of_free_sandbox(world: World, ref: str) -> str:
    """The id of a sandbox that no container is in, by name, id or start of an id."""
    boxes = [box for box in world.sandboxes.values() if box.free]
    found = [box.id for box in boxes if box.name == ref] or [
        box.id for box in boxes if len(ref) >= 4 and box.id.startswith(ref)
    ]
    if len(found) != 1:
        why = f"{len(found)} of them begin so" if found else ""
        raise NotFound(f"sandbox {ref} not found", hint=why or "`sandbox ls` shows what there is")
    return found[0]
