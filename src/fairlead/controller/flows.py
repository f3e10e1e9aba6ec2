"""flows: which connections the kernel is to forget when a change leads ports elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fairlead.firewall.policy import Policy
from fairlead.model.step import ForgetFlows
from fairlead.model.world import World


def forgotten(
    before: World, after: World, boxes: Collection[str], rules: tuple[Policy, Policy]
) -> Iterator[ForgetFlows]:
    """What the kernel should forget: flows to published ports that now lead elsewhere.

    A client that keeps its port would otherwise be sent the old way for minutes.
    Of who left an address only if he was published: nobody else had flows led to him.
    """
    for box in boxes:
        if box in before.sandboxes and before.sandboxes[box].ports:
            here = {a.ip for e in after.in_sandbox(box) for a in e.addresses}
            left = {a.ip for e in before.in_sandbox(box) for a in e.addresses} - here
            yield from (ForgetFlows(address) for address in sorted(left, key=str))
    old, new = (
        {p for box in boxes for p in known.ports.get(box, ()) if p.protocol == "udp"}
        for known in rules
    )
    yield from (ForgetFlows(udp_port=n) for n in sorted({p.host_port for p in old ^ new}))
