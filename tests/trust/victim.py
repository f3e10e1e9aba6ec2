"""The real command line, counting the steps it takes, and killed at the one it is told.

Run as `victim.py FOLDER daemon …`. It wraps what changes the world (kernel, store, programs,
files, mounts, the dataplane) by counters and does nothing else until it hears a signal:

    SIGUSR2  read FOLDER/orders and begin to count; each point's kind goes to FOLDER/points.
             At the point that the orders name, the daemon or the dataplane is dead.
    SIGUSR1  write to FOLDER/plan what a repair of the host would do now.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairlead.cli.main import main
from fairlead.controller import want
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.dataplane.channel import Channel
from fairlead.kernel import conntrack, netns, sysctl
from fairlead.kernel.netlink import Socket
from fairlead.kernel.nft import Context
from fairlead.kernel.restorer import Restorer
from fairlead.model.state import Scope
from fairlead.plan.diff import diff
from fairlead.runtime import process, syscalls
from fairlead.runtime.life import Life
from fairlead.store.sqlite import Store

FOLDER = Path(sys.argv[1])
# What is below these is ours to change.
PLACES = ("/run/fairlead", "/var/lib/fairlead")
FILES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate",
}  # fmt: skip


class Counter:
    """Counts points from the moment that it is told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = threading.local()
        self._left: int | None = None
        self._dataplane = 0
        self._points = -1

    def begin(self) -> None:
        """Reads the orders: how many points to live, and whose death it is."""
        self._busy.now = True
        orders = json.loads((FOLDER / "orders").read_text())
        self._dataplane = orders["dataplane"]
        self._points = os.open(FOLDER / "points", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._left = orders["at"]
        self._busy.now = False

    def point(self, kind: str) -> None:
        """One step further, and perhaps the last."""
        if self._left is None or getattr(self._busy, "now", False):
            return
        self._busy.now = True
        try:
            with self._lock:
                os.write(self._points, f"{kind}\n".encode())
                self._left -= 1
                if self._left == 0:
                    os.kill(self._dataplane or os.getpid(), signal.SIGKILL)
        finally:
            self._busy.now = False


counter = Counter()


def after(kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function that counts when it has done its work."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                result = await function(*args, **kwargs)
                counter.point(kind)
                return result

            return later

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            counter.point(kind)
            return result

        return now

    return wrap


def replace(original: Callable[..., Any], kind: str) -> None:
    """Puts the counting function wherever the original has been imported to."""
    counting = after(kind)(original)
    for name, module in list(sys.modules.items()):
        if name.startswith("fairlead"):
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, counting)


def audit(event: str, args: tuple[Any, ...]) -> None:
    """Files: the interpreter tells before it changes one."""
    if event == "open":
        path, _, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and isinstance(path, str | bytes) and os.fsdecode(path).startswith(PLACES):
            counter.point("file: open")
    elif event in FILES and isinstance(args[0], str | bytes | os.PathLike):
        # Below a descriptor there are only names.
        path = os.fsdecode(args[0])
        if path.startswith(PLACES) or not path.startswith("/"):
            counter.point(f"file: {event.removeprefix('os.')}")


def watch(controller: Any) -> Callable[[], None]:
    """What tells the plan of a repair, on the kernel thread where it would be made."""
    committer: Committer = controller._committer
    tasks: list[asyncio.Task[None]] = []

    def plan() -> list[str]:
        wanted, _ = want.states(want.claims(controller.world, committer.walls, committer.host))
        scope = Scope(settings=frozenset(k for k, r in wanted.items() if r.LASTING))
        return [str(step) for step in diff(wanted, committer.kernel.observe(scope))]

    async def tell() -> None:
        fresh = FOLDER / "plan.new"
        fresh.write_text(json.dumps(await committer.on_thread(plan)))
        fresh.rename(FOLDER / "plan")

    return lambda: tasks.append(asyncio.ensure_future(tell()))


def arm() -> None:
    """Puts every counter in its place."""
    for owner, name, kind in (
        (Socket, "batch", "kernel: netlink"),
        (Restorer, "apply", "kernel: iptables"),
        (Context, "run", "kernel: nft"),
        (Store, "_transact", "store"),
        (Channel, "send", "dataplane: asked"),
        (Channel, "receive", "dataplane: answered"),
        (Life, "signal", "process: signalled"),
    ):
        setattr(owner, name, after(kind)(getattr(owner, name)))
    replace(netns._call, "kernel: namespace")
    replace(sysctl.write_sysctl, "kernel: sysctl")
    replace(conntrack.forget, "kernel: conntrack")
    replace(syscalls.mount, "mount")
    replace(syscalls.unmount, "mount")
    replace(process.spawn, "process: started")
    replace(process.run, "process: ended")
    start = Controller.start

    async def starting(self: Any, *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, watch(self))
        loop.add_signal_handler(signal.SIGUSR2, counter.begin)
        return await start(self, *args, **kwargs)

    Controller.start = starting  # type: ignore[method-assign]
    sys.addaudithook(audit)


if __name__ == "__main__":
    arm()
    sys.argv[:2] = ["fairlead"]
    main()
