"""The model: every network, sandbox and endpoint there is, as one immutable value.

The controller swaps it whole; readers keep whichever they hold. What can be
derived is derived here (who is on a network, which endpoint is the gateway)
and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox

Thing = Network | Sandbox | Endpoint


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the model: things put in (or in place of) and ids taken out."""

    put: tuple[Thing, ...] = ()
    drop: tuple[Thing, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """All that exists."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    sandboxes: Mapping[str, Sandbox] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    _members: Mapping[str, tuple[Endpoint, ...]] = field(init=False, repr=False, compare=False)
    _joins: Mapping[str, tuple[Endpoint, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        members: dict[str, list[Endpoint]] = {}
        joins: dict[str, list[Endpoint]] = {}
        for endpoint in self.endpoints.values():
            members.setdefault(endpoint.network, []).append(endpoint)
            joins.setdefault(endpoint.sandbox, []).append(endpoint)
        ordered = {box: sorted(mine, key=lambda e: e.order) for box, mine in joins.items()}
        # A frozen value sets its indices once, while it is made.
        object.__setattr__(self, "_members", {net: tuple(es) for net, es in members.items()})
        object.__setattr__(self, "_joins", {box: tuple(es) for box, es in ordered.items()})

    def after(self, change: Change) -> World:
        """The world with a change made to it."""
        networks = dict(self.networks)
        sandboxes = dict(self.sandboxes)
        endpoints = dict(self.endpoints)
        for thing in change.drop:
            for table in (networks, sandboxes, endpoints):
                table.pop(thing.id, None)
        for thing in change.put:
            match thing:
                case Network():
                    networks[thing.id] = thing
                case Sandbox():
                    sandboxes[thing.id] = thing
                case Endpoint():
                    endpoints[thing.id] = thing
        return World(networks, sandboxes, endpoints)

    def on_network(self, network: str) -> tuple[Endpoint, ...]:
        """The endpoints of a network, oldest first."""
        return self._members.get(network, ())

    def in_sandbox(self, sandbox: str) -> tuple[Endpoint, ...]:
        """The endpoints of a sandbox in the order of its joins."""
        return self._joins.get(sandbox, ())

    def gateway(self, sandbox: str, version: int = 4) -> Endpoint | None:
        """The endpoint through which a sandbox reaches the world, if any does.

        Highest priority first, then one with both families, then the name of
        the network: the order that Docker documents since 28.
        """

        def rank(endpoint: Endpoint) -> tuple[int, bool, str]:
            single = len(endpoint.gateways) < 2
            return (-endpoint.priority, single, self.networks[endpoint.network].name)

        ways = [
            e
            for e in self.in_sandbox(sandbox)
            if e.gateway(version) is not None and not self.networks[e.network].internal
        ]
        return min(ways, key=rank, default=None)
