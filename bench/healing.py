"""What looking after the host costs, and how soon damage is gone.

`python -m bench.healing ENDPOINTS BACKEND` measures in the namespace it is started in; the
dataplane is one that serves nobody, all else is real.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.controller.bench import FakeDataplane
from tests.lab import Machine
from tests.lab.machine import CHECKOUT

from bench.figures import OURS, Figure
from bench.subjects import Subject
from fairlead.controller import want
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.start import Settings
from fairlead.firewall.backends import firewall
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.watch import Watch
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.marks import Marks
from fairlead.model.network import NetworkRequest
from fairlead.model.sandbox import SandboxRequest
from fairlead.store.sqlite import Store

COUNTS = (0, 100, 1000)
BACKENDS = ("iptables", "nftables")
PER_NETWORK = 50


def measure(subjects: Sequence[Subject], rounds: int) -> list[Figure]:
    """In machines of their own, where no daemon is."""
    del subjects
    figures: list[Figure] = []
    for backend in BACKENDS:
        for count in COUNTS:
            with Machine("healing") as machine:
                command = [sys.executable, "-m", "bench.healing", str(count), backend, str(rounds)]
                env = {"PYTHONPATH": str(CHECKOUT)}
                said = machine.run(command, env=env, timeout=900).stdout
            for name, values in json.loads(said.splitlines()[-1]).items():
                title = f"{name}, {count} endpoints, {backend}"
                figures.append(Figure(title, "ms", samples={OURS: values}))
    return figures


async def _build(folder: Path, count: int, backend: str) -> Controller:
    marks = Marks("be9cbe9c", "BENCH")
    kernel = LinuxKernel(folder / "netns", marks)
    store = Store(folder / "db")
    dataplane: Any = FakeDataplane()
    committer = Committer(store, kernel, dataplane, firewall(backend, marks), want.Host())
    controller = Controller(committer, Settings(), folder / "netns")
    await controller.start()
    for number in range(count):
        name = f"net{number // PER_NETWORK}"
        if number % PER_NETWORK == 0:
            await controller.create_network(NetworkRequest(name))
        box = SandboxRequest(secrets.token_hex(32), secrets.token_hex(32), f"c{number}", "c")
        await controller.open_sandbox(box, [(name, EndpointRequest())])
    return controller


async def _samples(folder: Path, count: int, backend: str, rounds: int) -> dict[str, list[float]]:
    controller = await _build(folder, count, backend)
    healer = controller.healer
    await healer.audit()
    found: dict[str, list[float]] = {}
    found["audit, CPU time"] = [await _cpu_ms(healer.audit) for _ in range(rounds)]
    healer.open([Watch()], 0)
    await asyncio.sleep(1)
    for what, command in (
        ("nft flush ruleset", "nft flush ruleset"),
        ("a bridge down", "ip link set docker0 down"),
        ("forwarding off", "sysctl -q -w net.ipv4.ip_forward=0"),
    ):
        found[f"mended after {what}"] = []
        for _ in range(rounds):
            found[f"mended after {what}"].append(await _mended_ms(controller, command))
            # Nobody is to take it for a fight.
            await asyncio.sleep(3)
    await controller.close()
    return found


async def _cpu_ms(work: Callable[[], Awaitable[object]]) -> float:
    """Of this process and what it started."""
    begun = time.process_time()
    await work()
    return 1000 * (time.process_time() - begun)


async def _mended_ms(controller: Controller, command: str) -> float:
    """From the end of the command to the end of the repair."""
    mended = asyncio.Event()
    controller.healer.notices[:] = [lambda notice: mended.set()]
    await asyncio.to_thread(subprocess.run, command.split(), check=True)
    begun = time.perf_counter()
    await mended.wait()
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    """Prints samples as JSON."""
    count, backend, rounds = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    # Namespaces stay pinned in there until the machine goes.
    with TemporaryDirectory(dir="/run", ignore_cleanup_errors=True) as folder:
        print(json.dumps(asyncio.run(_samples(Path(folder), count, backend, rounds))))


if __name__ == "__main__":
    main()
