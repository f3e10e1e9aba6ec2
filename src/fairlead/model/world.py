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
        return tuple(e for e in self.endpoints.values() if e.network == network)

    def in_sandbox(self, sandbox: str) -> tuple[Endpoint, ...]:
        """The endpoints of a sandbox in the order of its joins."""
        mine = [e for e in self.endpoints.values() if e.sandbox == sandbox]
        return tuple(sorted(mine, key=lambda e: e.order))

    def gateway(self, sandbox: str, version: int = 4) -> Endpoint | None:
        """The endpoint through which a sandbox reaches the world, if any does.

        Highest priority first, then the name of the network: the order that
        Docker documents since 28.
        """

        def rank(endpoint: Endpoint) -> tuple[int, str]:
            return (-endpoint.priority, self.networks[endpoint.network].name)

        ways = [
            e
            for e in self.in_sandbox(sandbox)
            if e.gateway(version) is not None and not self.networks[e.network].internal
        ]
        return min(ways, key=rank, default=None)
