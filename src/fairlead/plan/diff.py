"""diff: the steps from what is to what should be.

Pure, total and deterministic. Removals come first, in reverse order of rank;
then additions and changes in order of rank. What cannot change in place is
removed and made anew, and with it everything that stands on it: the kernel
drops an address with its link, so the plan has to put it back.
"""

from __future__ import annotations

from fairlead.model.state import Key, Resource, Route, State, changed_fields
from fairlead.model.step import Step


def diff(want: State, have: State) -> tuple[Step, ...]:
    """The steps that turn `have` into `want`."""
    doomed = _doomed(want, have)
    removals = [have[key] for key in doomed if not have[key].LASTING]
    removals.sort(key=_order, reverse=True)
    steps = [Step(resource, None) for resource in removals]
    # What is as it should be, nearly all of it mostly, has no place in the order.
    due = [r for key, r in want.items() if key in doomed or have.get(key) != r]
    for resource in sorted(due, key=_order):
        present = None if resource.key in doomed else have.get(resource.key)
        steps.append(Step(present, resource))
    return tuple(steps)


def _doomed(want: State, have: State) -> set[Key]:
    """Keys of what must go: unwanted, not changeable in place, or standing on such."""
    ended = {key for key, resource in have.items() if _ends(resource, want.get(key))}
    if not ended:
        return set()
    doomed: set[Key] = set()
    fallen: set[Key] = set()
    for resource in sorted(have.values(), key=_order):
        if resource.key in ended or not fallen.isdisjoint(resource.needs):
            doomed.add(resource.key)
            fallen.update((resource.key, *resource.provides))
    return doomed


def _ends(resource: Resource, wanted: Resource | None) -> bool:
    """Whether a resource must go for its own sake."""
    if resource.LASTING or resource == wanted:
        return False
    return wanted is None or not changed_fields(resource, wanted) <= resource.IN_PLACE


def _order(resource: Resource) -> tuple[int, int, Key, int, str]:
    """By rank, then by name; cables by the name that they have in their sandbox.

    So eth0 is made before eth1, and eth2 before eth10: programs list interfaces as
    they were made.
    """
    if not resource.provides:
        # A router must be reachable before a route leads through it.
        through = int(isinstance(resource, Route) and resource.via is not None)
        return (resource.RANK, through, resource.key, 0, "")
    *place, name = resource.provides[0]
    return (resource.RANK, 0, tuple(place), len(name), name)
