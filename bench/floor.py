"""The floor: one endpoint in the kernel and nothing else, no API, no store, no container.

`python -m bench.floor ROUNDS` does it in the namespace it is started in and prints samples.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab import Machine
from tests.lab.machine import CHECKOUT

from bench.clock import wall_ms
from bench.figures import OURS, Figure
from bench.subjects import Subject
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.marks import Marks
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    DnsRedirect,
    Namespace,
    Resource,
    Route,
    Veth,
    state,
)
from fairlead.plan.diff import diff

BRIDGE = "br-bench"
JOIN, LEAVE, REAP = "make an endpoint", "take it away", "reap all that were taken away"


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """In a machine of its own, where no daemon is."""
    del subjects
    with Machine("floor") as machine:
        command = [sys.executable, "-m", "bench.floor", str(rounds * 3)]
        said = machine.run(command, env={"PYTHONPATH": str(CHECKOUT)}).stdout
    return [Figure(name, "ms", samples={OURS: values}) for name, values in json.loads(said).items()]


def _samples(rounds: int, folder: Path) -> dict[str, list[float]]:
    kernel = LinuxKernel(folder, Marks("be9cbe9c", "BENCH"))
    gateway = ip_interface("10.9.0.1/16")
    bridge: list[Resource] = [
        Bridge(HOST, BRIDGE, "02:42:0a:09:00:01", 1500),
        Address(HOST, BRIDGE, gateway),
    ]
    kernel.apply(diff(state(bridge), {}))
    found: dict[str, list[float]] = {JOIN: [], LEAVE: [], REAP: []}
    for number in range(1, rounds + 1):
        steps = diff(state(_endpoint(number)), {})
        found[JOIN].append(wall_ms(kernel.apply, steps))
    for number in range(1, rounds + 1):
        steps = diff({}, state(_endpoint(number)))
        found[LEAVE].append(wall_ms(kernel.apply, steps))
    found[REAP].append(wall_ms(kernel.reap))
    kernel.close()
    return found


def _endpoint(number: int) -> list[Resource]:
    """Namespace, resolver's redirect, cable, address, default route."""
    box = f"bench{number:07d}"
    address = ip_interface(f"10.9.{number // 250 + 1}.{number % 250 + 2}/16")
    mac = "02:42:" + address.ip.packed.hex(":")
    everywhere, gateway = ip_network("0.0.0.0/0"), ip_address("10.9.0.1")
    return [
        Namespace(box),
        DnsRedirect(box),
        Veth(f"bench{number}", BRIDGE, box, "eth0", mac, 1500),
        Address(box, "eth0", address),
        Route(box, everywhere, gateway, "eth0"),
    ]


if __name__ == "__main__":
    with TemporaryDirectory() as work:
        json.dump(_samples(int(sys.argv[1]), Path(work)), sys.stdout)
