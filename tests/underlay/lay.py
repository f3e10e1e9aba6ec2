"""Networks and sandboxes without a daemon, for kernels on which one is slow or lacks something.

Runs inside a machine: `python -m tests.underlay.lay FOLDER`, with lines on its input:

    net NAME DRIVER SUBNET [-internal] [KEY=VALUE …]
    box NAME NETWORK [ADDRESS]
    gone NAME
    clear

A network whose SUBNET is "dhcp" has its addresses from a server on its parent's segment.
What a line calls for is planned by fairlead and applied to the kernel; the answer is a line.
Namespaces are pinned in the folder, under the names of the boxes. Nobody answers for names.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fairlead.controller import parents, requests, want
from fairlead.controller.join import Held, Joiner, nothing_held, ways
from fairlead.controller.leases.lessor import Leases
from fairlead.firewall.backends import firewall
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import FairleadError
from fairlead.model.lease import Lease
from fairlead.model.marks import Marks
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Scope
from fairlead.model.world import Change, Thing, World
from fairlead.plan.diff import diff

MARKS = Marks("c0ffee00", "TEST")


class House:
    """A world, and the kernel that is as it says."""

    def __init__(self, folder: Path) -> None:
        self.kernel = LinuxKernel(folder, MARKS)
        self.world = World()
        self._drawn = 0
        self.held: Held = nothing_held
        self._leases = Leases(self)

    def draw(self, count: int) -> str:
        """Hex digits that look random."""
        self._drawn += 1
        return hashlib.shake_256(str(self._drawn).encode()).hexdigest(count)

    def net(self, name: str, driver: str, subnet: str, *options: str) -> None:
        """Make a network."""
        six, leased = ":" in subnet, subnet == "dhcp"
        request = NetworkRequest(
            name,
            driver,
            () if leased else (PoolRequest(subnet),),
            dict(option.split("=", 1) for option in options if "=" in option),
            ipam_driver="dhcp" if leased else "default",
            internal="-internal" in options,
            enable_ipv4=not six,
            enable_ipv6=six,
        )
        requests.check_request(self.world, request, foreign=leased)
        found = requests.pools(self.world, request, (), ())
        net = requests.network(request, self.draw(32), len(self.world.networks), found)
        footing = self.kernel.footing(parents.asked(net), parents.OPTIONS)
        net = parents.checked(self.world, net, footing)
        # A network of the user's would have names.
        self._become(Change(put=(replace(net, predefined=True),)))

    def box(self, name: str, network: str, address: str = "") -> None:
        """Make a sandbox on a network."""
        id_ = f"{name}-".ljust(64, "0")
        box = Sandbox(id_, id_, name, name)
        net = self.world.called(network)
        assert net is not None, network
        request = (
            EndpointRequest(ipv4=address) if address and ":" not in address else EndpointRequest()
        )
        joiner = Joiner(self.world, box, self.draw)
        ep = joiner.join(net, request)
        if net.leased:
            ep = asyncio.run(self._leases.let(net, box, ep, request))
            ep = replace(ep, gateways=ways(net, box, ep.addresses, ep.lease))
        self._become(Change(put=(box, ep)))

    async def relet(self, endpoint: str, lease: Lease) -> None:
        """Nobody stays that long."""

    def warn(self, text: str) -> None:
        """Nobody listens."""

    def gone(self, name: str) -> None:
        """Remove a sandbox or a network."""
        boxes = [b for b in self.world.sandboxes.values() if b.name == name]
        ends = [e for b in boxes for e in self.world.in_sandbox(b.id)]
        nets = [n for n in self.world.networks.values() if n.name == name]
        for ep in ends:
            if ep.lease is not None:
                asyncio.run(self._leases.give_back(self.world.networks[ep.network], ep))
        self._become(Change(drop=(*ends, *boxes, *nets)))

    def clear(self) -> None:
        """Remove all there is."""
        world = self.world
        things: list[Thing] = [*world.endpoints.values(), *world.sandboxes.values()]
        things += world.networks.values()
        self._become(Change(drop=tuple(things)))

    def _become(self, change: Change) -> None:
        world = self.world.after(change)
        host = want.Host(forwarding=False, firewall=False)
        wanted, _ = want.states(want.claims(world, firewall("iptables", MARKS), host))
        settings = frozenset(key for key, item in wanted.items() if item.LASTING)
        scope = Scope(settings, rules=False)
        for _ in range(3):
            steps = diff(wanted, self.kernel.observe(scope))
            if not steps:
                break
            self.kernel.apply(steps)
        else:
            raise AssertionError(f"never done: {steps}")
        self.world = world


def main() -> None:
    """Answers one line after the other."""
    house = House(Path(sys.argv[1]))
    verbs: dict[str, Callable[..., None]] = {
        "net": house.net,
        "box": house.box,
        "gone": house.gone,
        "clear": house.clear,
    }
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            verbs[verb](*words)
        except FairleadError as error:
            print(f"refused {error.message}", flush=True)
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main()
