"""What a thousand cost, against one: endpoints, networks, and a start that finds them all.

`python -m bench.growth KIND BACKEND` measures in the namespace it is started in. There are no
containers, all else is real: kernel, store, dataplane.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.lab import Machine
from tests.lab.machine import CHECKOUT

from bench.figures import OURS, Figure, Goal
from bench.subjects import Subject
from fairlead.controller import want
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.start import Settings
from fairlead.dataplane.client import Dataplane
from fairlead.firewall.backends import firewall
from fairlead.ipam.pool import Base
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.marks import Marks
from fairlead.model.network import NetworkRequest, PoolRequest
from fairlead.model.sandbox import SandboxRequest
from fairlead.store.sqlite import Store

BACKENDS = ("iptables", "nftables")
NETWORK, SUBNET = "many", "172.20.0.0/16"
SETTINGS = Settings(bases=(Base(ip_network("10.0.0.0/8"), 24),))
"""Docker's own pools are spent after 300 networks."""
Samples = dict[str, list[float]]


def attaching(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """A sandbox with an endpoint on a network that few or very many are on."""
    del subjects
    count = 1000 if rounds > 1 else 200
    figures: list[Figure] = []
    for backend in BACKENDS:
        found = _elsewhere("attach", backend, count)
        figures += _grown(f"attach, {backend}", "endpoint", count, found, Goal(1.2))
    return figures


def networks(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """Creating a network, without a subnet asked for, among few or very many."""
    del subjects
    count = 1000 if rounds > 1 else 200
    figures: list[Figure] = []
    for backend in BACKENDS:
        found = _elsewhere("networks", backend, count)
        figures += _grown(f"create, {backend}", "network", count, found, Goal(2))
    return figures


def starting(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """A start that finds endpoints of an earlier daemon, each with a published port."""
    del subjects
    count = 1000 if rounds > 1 else 200
    figures: list[Figure] = []
    for backend in BACKENDS:
        for name, values in _elsewhere("start", backend, count).items():
            title = f"{count} endpoints, {backend}: {name}"
            figures.append(Figure(title, "s", Goal(3), samples={OURS: values}))
    return figures


def _elsewhere(kind: str, backend: str, count: int) -> Samples:
    """The samples of a kind, taken in a machine of its own."""
    with Machine("growth") as machine:
        command = [sys.executable, "-m", "bench.growth", kind, backend, str(count)]
        said = machine.run(command, env={"PYTHONPATH": str(CHECKOUT)}, timeout=900).stdout
    found: Samples = json.loads(said.splitlines()[-1])
    return found


def _grown(title: str, what: str, count: int, found: Samples, goal: Goal) -> list[Figure]:
    few, many = found["few"], found["many"]
    share = median(many) / median(few)
    return [
        Figure(f"{title}: the first ten {what}s", "ms", samples={OURS: few}),
        Figure(f"{title}: the ten before {count}", "ms", samples={OURS: many}),
        Figure(f"{title}: ratio", "", goal, samples={OURS: [share]}),
    ]


class Host:
    """A controller on the real kernel; `open` again is what a daemon's start does."""

    def __init__(self, folder: Path, backend: str) -> None:
        self._folder = folder
        self._backend = backend
        self._dataplane = Dataplane(folder / "dataplane.sock")
        self._store: Store | None = None
        self._kernel: LinuxKernel | None = None

    async def open(self) -> Controller:
        """Start, as the daemon does."""
        marks = Marks("be9cbe9c", "BENCH")
        self._kernel = LinuxKernel(self._folder / "netns", marks)
        self._store = Store(self._folder / "db")
        walls = firewall(self._backend, marks)
        committer = Committer(self._store, self._kernel, self._dataplane, walls, want.Host())
        controller = Controller(committer, SETTINGS, self._folder / "netns")
        await controller.start()
        return controller

    async def close(self, controller: Controller) -> None:
        """End; what there is stays."""
        await controller.close()
        await self._dataplane.close()
        assert self._kernel is not None
        assert self._store is not None
        self._kernel.close()
        self._store.close()

    async def end(self, controller: Controller) -> None:
        """End, and the dataplane with it."""
        await self._dataplane.stop()
        await self.close(controller)


async def _ms(work: Awaitable[object]) -> float:
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


def _joined(
    controller: Controller, number: int, ports: Sequence[PortRequest] = ()
) -> Awaitable[object]:
    box = SandboxRequest(secrets.token_hex(32), secrets.token_hex(32), f"c{number}", "c")
    return controller.open_sandbox(box, [(NETWORK, EndpointRequest())], ports)


async def attach(host: Host, count: int) -> Samples:
    """Endpoints on one network; the first of all, which warms up, is not counted."""
    controller = await host.open()
    await controller.create_network(NetworkRequest(NETWORK, pools=(PoolRequest(SUBNET),)))
    times = [await _ms(_joined(controller, number)) for number in range(count + 1)][1:]
    await host.end(controller)
    return {"few": times[:10], "many": times[-10:]}


async def create(host: Host, count: int) -> Samples:
    """Networks with subnets that fairlead chooses."""
    controller = await host.open()
    times = [
        await _ms(controller.create_network(NetworkRequest(f"net{number}")))
        for number in range(count + 1)
    ][1:]
    await host.end(controller)
    return {"few": times[:10], "many": times[-10:]}


async def start(host: Host, count: int) -> Samples:
    """Starts that find all as it should be, and the firewall empty."""
    controller = await host.open()
    await controller.create_network(NetworkRequest(NETWORK, pools=(PoolRequest(SUBNET),)))
    for number in range(count):
        await _joined(controller, number, [PortRequest("tcp", 80, host_port=20000 + number)])
    found: Samples = {"all is there": [], "rules flushed": []}
    for name, values in found.items():
        for _ in range(3):
            await host.close(controller)
            if name == "rules flushed":
                await asyncio.to_thread(subprocess.run, ["nft", "flush", "ruleset"], check=True)
            begun = time.perf_counter()
            controller = await host.open()
            values.append(time.perf_counter() - begun)
    await host.end(controller)
    return found


KINDS: dict[str, Callable[[Host, int], Awaitable[Samples]]] = {
    "attach": attach,
    "networks": create,
    "start": start,
}


async def _measure(kind: str, backend: str, count: int, folder: Path) -> Samples:
    return await KINDS[kind](Host(folder, backend), count)


def main() -> None:
    """Prints samples as JSON."""
    kind, backend, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    # Namespaces stay pinned in there until the machine goes.
    with TemporaryDirectory(dir="/run", ignore_cleanup_errors=True) as folder:
        print(json.dumps(asyncio.run(_measure(kind, backend, count, Path(folder)))))


if __name__ == "__main__":
    main()
