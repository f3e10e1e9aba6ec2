"""The host itself on networks that span hosts and were made with host access. Pure.

It is a sandbox with one endpoint to each such network, in the host's own namespace: known
to all hosts like a container's, healed and explained like one, and no user of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.world import World


def request(net: Network, host: str) -> SandboxRequest:
    """The host on a network; always the same one, so that it is there at most once."""
    id_ = sha256(f"host access to {net.id}".encode()).hexdigest()
    return SandboxRequest(id_, "", f"host_{host}", "", access=True)


def granted(world: World, net: Network) -> bool:
    """Whether the host is on a network."""
    return any(world.sandboxes[e.sandbox].access for e in world.on_network(net.id))


def missing(world: World) -> Iterator[Network]:
    """The networks that the host is to be on and is not."""
    for net in world.networks.values():
        if net.shared and net.host_access and not granted(world, net):
            yield net


def idle(world: World) -> Iterator[Sandbox]:
    """What stands for the host on a network that it had to leave."""
    for box in world.sandboxes.values():
        if box.access and not world.in_sandbox(box.id):
            yield box


def without_access(world: World, net: Network) -> tuple[tuple[Endpoint, ...], tuple[Sandbox, ...]]:
    """What goes with a network that nobody uses: the host's endpoint and sandbox on it."""
    ends = tuple(e for e in world.on_network(net.id) if world.sandboxes[e.sandbox].access)
    return ends, tuple(world.sandboxes[e.sandbox] for e in ends)
