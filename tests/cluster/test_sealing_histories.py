"""Sealing over time: at every moment what a host sends by is what its receiver takes.

Hosts hear of turns and of newcomers late, and put what they heard into their kernels one
step after the other, in any order among them. None is ever two turns behind.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import permutations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fairlead.cluster import keyring, sealing
from fairlead.model.keyring import Keyring
from fairlead.model.state import IPAddress, State, state
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmPolicy, XfrmState
from fairlead.plan.diff import diff

HOSTS = [ip_address(f"192.0.2.{number}") for number in range(1, 5)]
WHO = st.integers(min_value=0, max_value=len(HOSTS) - 1)


def wanted(ring: Keyring, here: IPAddress) -> State:
    """What a host has by a keyring."""
    return state(
        [r for there in HOSTS if there != here for r in sealing.between(ring, here, there)]
    )


class Hosts(RuleBasedStateMachine):
    """Four hosts, of which the first two take part from the beginning."""

    @initialize()
    def begin(self) -> None:
        self.ring = keyring.first(0, (b"a" * 32, b"b" * 32, b"c" * 32))
        self.drawn = 0
        self.members: list[IPAddress] = []
        for host in HOSTS[:2]:
            self.join(host)
        self.known = dict.fromkeys(HOSTS, self.ring)
        self.kernels: dict[IPAddress, State] = {h: wanted(self.ring, h) for h in self.members}
        self.steps: dict[IPAddress, list[Step]] = {host: [] for host in HOSTS}
        self.made = [
            item
            for here, found in self.kernels.items()
            for item in found.values()
            if isinstance(item, XfrmState) and item.source == here
        ]

    def join(self, host: IPAddress) -> None:
        self.drawn += 1
        self.ring = keyring.joined(self.ring, host, self.drawn.to_bytes(16))
        self.members.append(host)

    @precondition(lambda self: len(self.members) < len(HOSTS))
    @rule()
    def somebody_comes(self) -> None:
        """It has the keyring at once: it wrote it."""
        host = HOSTS[len(self.members)]
        self.join(host)
        self.known[host] = self.ring
        self.kernels[host] = wanted(self.ring, host)
        self.made += [
            item
            for item in self.kernels[host].values()
            if isinstance(item, XfrmState) and item.source == host
        ]

    @precondition(
        lambda self: all(
            self.known[host].generation == self.ring.generation and not self.steps[host]
            for host in self.members
        )
    )
    @rule()
    def somebody_turns(self) -> None:
        self.drawn += 1
        self.ring = keyring.turned(self.ring, self.drawn, self.drawn.to_bytes(32))

    @rule(who=WHO)
    def a_host_hears(self, who: int) -> None:
        """And plans from what it has, if it has done what it planned before."""
        host = HOSTS[who]
        if host in self.members and not self.steps[host]:
            self.known[host] = self.ring
            self.steps[host] = list(diff(wanted(self.ring, host), self.kernels[host]))

    @rule(who=WHO, count=st.integers(min_value=1, max_value=20))
    def a_host_takes_steps(self, who: int, count: int) -> None:
        host = HOSTS[who]
        for step in self.steps[host][:count]:
            kernel = dict(self.kernels[host])
            kernel.pop(step.resource.key, None)
            if step.after is not None:
                kernel[step.resource.key] = step.after
                if isinstance(step.after, XfrmState) and step.after.source == host:
                    self.made.append(step.after)
            self.kernels[host] = kernel
            self.are_understood()
        del self.steps[host][:count]

    @invariant()
    def are_understood(self) -> None:
        for here, there in permutations(getattr(self, "members", ()), 2):
            found = self.kernels[here].get(("xfrm-policy", str(here), str(there)))
            back = self.kernels[there].get(("xfrm-policy", str(there), str(here)))
            if not isinstance(found, XfrmPolicy) or back is None:
                # One has not heard of the other yet: what it sends is dropped.
                continue
            key = ("xfrm-state", str(there), f"{found.spi:#010x}")
            sent = self.kernels[here].get(key)
            assert sent is not None
            assert self.kernels[there].get(key) == sent

    @invariant()
    def nothing_is_made_twice(self) -> None:
        made = getattr(self, "made", [])
        assert len({item.secret for item in made}) == len(made)


TestHosts = Hosts.TestCase
TestHosts.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
