"""diff: from any state to any other, in an order that a kernel takes."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

from hypothesis import given
from hypothesis import strategies as st

from fairlead.kernel.fake import FakeKernel
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Namespace,
    Resource,
    Route,
    Scope,
    State,
    Sysctl,
    Veth,
    state,
)
from fairlead.model.step import Step
from fairlead.plan.diff import diff

BRIDGES = ("br-a", "br-b")
BOXES = ("box1", "box2")


@st.composite
def states(draw: st.DrawFn) -> State:
    """Hosts with up to two bridges, two sandboxes and cables between them."""
    found: list[Resource] = []
    for name in draw(st.sets(st.sampled_from(BRIDGES))):
        found.append(Bridge(HOST, name, "02:42:00:00:00:01", draw(st.sampled_from([1400, 1500]))))
        if draw(st.booleans()):
            found.append(Address(HOST, name, ip_interface("10.0.0.1/24")))
    bridges = [b.name for b in found if isinstance(b, Bridge)]
    found += [Namespace(name) for name in draw(st.sets(st.sampled_from(BOXES)))]
    boxes = [n.name for n in found if isinstance(n, Namespace)]
    if not bridges or not boxes:
        return state(found)
    places = st.tuples(st.sampled_from(boxes), st.sampled_from(["eth0", "eth1"]))
    for number, (box, inside) in enumerate(sorted(draw(st.sets(places)))):
        name = f"v{draw(st.integers(0, 1))}{number}"
        mac = draw(st.sampled_from(["02:42:00:00:00:07", "02:42:00:00:00:08"]))
        found.append(Veth(name, draw(st.sampled_from(bridges)), box, inside, mac, 1500))
        if draw(st.booleans()):
            found.append(Address(box, inside, ip_interface("10.0.0.7/24")))
            found.append(Route(box, ip_network(f"10.{number}.0.0/16"), None, inside))
    return state(found)


@given(states(), states())
def test_any_state_leads_to_any_other(start: State, goal: State) -> None:
    """The kernel takes every step, and ends in the state that was wanted."""
    kernel = FakeKernel(start)

    kernel.apply(diff(goal, kernel.observe(Scope())))

    assert kernel.observe(Scope()) == goal


@given(states(), states())
def test_there_and_back_again(start: State, goal: State) -> None:
    """Undoing the steps backwards restores the start."""
    kernel = FakeKernel(start)
    steps = diff(goal, start)
    kernel.apply(steps)

    kernel.apply([step.undo() for step in reversed(steps)])

    assert kernel.observe(Scope()) == start


@given(states())
def test_no_difference_no_steps(start: State) -> None:
    """A state that is reached needs nothing."""
    assert diff(start, start) == ()


@given(states(), states())
def test_the_order_does_not_depend_on_the_order_of_the_input(start: State, goal: State) -> None:
    """Two engines with the same state make the same plan."""
    backwards = diff(dict(reversed(list(goal.items()))), dict(reversed(list(start.items()))))

    assert diff(goal, start) == backwards


def test_a_setting_is_never_removed() -> None:
    """A setting that nobody wants any more stays as it is."""
    forwarding = Sysctl(HOST, "net/ipv4/ip_forward", "1")

    assert diff({}, state([forwarding])) == ()
    assert diff(state([forwarding]), {}) == (Step(None, forwarding),)
