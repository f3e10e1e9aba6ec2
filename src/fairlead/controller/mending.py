"""mending: put right what is damaged, leave what is somebody's will. Kernel thread.

The same observe, diff and apply as a repair; only what the host is compared
with differs: `plan.damage` says what may be left as it was found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fairlead.kernel.port import Kernel
from fairlead.model.facts import Vitals
from fairlead.model.iptables import Rule
from fairlead.model.state import Scope, State
from fairlead.model.step import ForgetFlows, Step
from fairlead.model.underlay import grounded, parents
from fairlead.plan import damage
from fairlead.plan.diff import diff

ROUNDS = 4
"""It looks again after it acted; more rounds than this never helped anybody."""


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: everything, or some namespaces; with or without rules."""

    namespaces: frozenset[str] | None = None
    rules: bool = True


def standing(kernel: Kernel, want: State) -> State:
    """What of a state can stand: not what is on a parent that somebody took away."""
    names = parents(want)
    return grounded(want, names - kernel.footing(names).present) if names else want


def mend(
    kernel: Kernel,
    want: State,
    view: View,
    flows: tuple[ForgetFlows, ...] = (),
    seen: Vitals | None = None,
) -> tuple[Step, ...]:
    """Make the damaged parts of `want` whole; the steps that this took.

    `flows` are forgotten if rules come back: what began without them goes on without them.
    `seen` is of this moment, if the caller looked already.
    """
    rules = view.rules
    want = standing(kernel, want)
    wanted = {k: r for k, r in want.items() if rules or not damage.is_rule(r)}
    settings = frozenset(key for key, resource in wanted.items() if resource.LASTING)
    scope = Scope(settings, view.namespaces, rules)
    taken: list[Step] = []
    for _ in range(ROUNDS):
        have = kernel.observe(scope)
        lone = any(isinstance(r, Rule) and k not in have for k, r in wanted.items())
        vitals = seen if seen is not None and not lone else kernel.vitals(lone)
        seen = None
        steps = diff(damage.target(wanted, have, vitals), have)
        steps = steps or damage.unrooted(wanted, have, vitals)
        if not steps:
            if rules:
                kernel.settle(intact=_same(wanted, have))
            break
        if flows and any(damage.is_rule(step.resource) for step in steps):
            steps = (*steps[:-1], replace(steps[-1], then=flows))
        kernel.apply(steps)
        taken += steps
    if any(step.then for step in taken):
        kernel.reap()
    return tuple(taken)


def _same(want: State, have: State) -> bool:
    """Whether the firewall is just as planned."""
    ours = {k: r for k, r in want.items() if damage.is_rule(r)}
    return ours == {k: r for k, r in have.items() if damage.is_rule(r)}
