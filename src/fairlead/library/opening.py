"""Opening a folder: every floor on the one below, for one process at a time.

::

    FOLDER/fairlead.lock   held by the process that has it open
           fairlead.db     networks, sandboxes, endpoints
           netns/          where namespaces are pinned
           dataplane/      the process for names and proxied ports, which outlives us
           sandboxes/      /etc/hosts and /etc/resolv.conf of each

Marks come from a number drawn once for a folder: two folders, or a folder and a daemon,
never see each other's links and rules.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path

from fairlead.controller.ask import Several
from fairlead.controller.commit import Committer
from fairlead.controller.controller import Controller
from fairlead.controller.plugins.plugins import Plugins
from fairlead.controller.start import Settings
from fairlead.controller.want import Host
from fairlead.dataplane.client import Dataplane
from fairlead.firewall.backends import BACKENDS
from fairlead.firewall.backends import firewall as walls
from fairlead.ipam.pool import DEFAULT_BASES, Base
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.errors import Conflict, Failed, Forbidden, Invalid
from fairlead.model.marks import Marks
from fairlead.store.lock import hold
from fairlead.store.sqlite import Store

LONGEST_SOCKET = 107
LOCK, DATABASE = "fairlead.lock", "fairlead.db"
OURS = (LOCK, DATABASE, "netns", "dataplane", "sandboxes", "dataplane.log")
SOCKET = Path("dataplane") / "control.sock"


async def opened(
    stack: AsyncExitStack, folder: Path, pools: Sequence[tuple[str, int]], backend: str
) -> Controller:
    """Open a folder; the stack closes it. Raises Conflict when another process has it open."""
    if os.geteuid() != 0:
        raise Forbidden("networks can be made by root only", hint="use sudo")
    if len(os.fsencode(folder / SOCKET)) > LONGEST_SOCKET:
        raise Invalid(f"{folder} is too long a path for a socket in it", hint="use a shorter one")
    bases = _bases(pools)
    if backend not in BACKENDS:
        raise Invalid(f"unknown firewall {backend!r}", hint=" or ".join(BACKENDS))
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        _refuse_strangers(folder)
        _lock(stack, folder / LOCK)
    except OSError as error:
        raise Failed(f"{folder} cannot be opened: {error.strerror}") from error
    store = Store(folder / DATABASE)
    stack.callback(store.close)
    marks = _marks(store, folder)
    kernel = LinuxKernel(folder / "netns", marks)
    stack.callback(kernel.close)
    dataplane = Dataplane(folder / SOCKET, folder / "dataplane.log")
    stack.push_async_callback(dataplane.close)
    committer = Committer(store, kernel, dataplane, walls(backend, marks), Host())
    settings = Settings(bridge="none", bases=bases)
    controller = Controller(committer, settings, folder / "netns")
    controller.outside = Several(controller.leases, Plugins())
    stack.push_async_callback(controller.close)
    await controller.start()
    return controller


def cleared(folder: Path) -> None:
    """Remove what we keep in a folder, and the folder unless others keep something in it."""
    for entry in list(folder.iterdir()):
        if entry.name not in OURS and not entry.name.startswith(f"{DATABASE}-"):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _refuse_strangers(folder: Path) -> None:
    """What is in our folder is ours to change: below /run that would be all of `ip netns`."""
    names = {entry.name for entry in folder.iterdir()} - {LOCK}
    if names and DATABASE not in names:
        raise Invalid(
            f"{folder} is not empty, and not fairlead's",
            hint=f"open a folder of its own, such as {folder / 'mylab'}",
        )


def _lock(stack: AsyncExitStack, path: Path) -> None:
    """Hold the folder."""
    if (holder := hold(stack, path)) is not None:
        raise Conflict(
            f"another process (pid {holder}) has {path.parent} open",
            hint="close it there, or open another folder",
        )


def _marks(store: Store, folder: Path) -> Marks:
    facts = store.load("fact")
    if "engine" in facts:
        raise Conflict(
            f"{folder} is the data of a fairlead daemon",
            hint="talk to the daemon, or open another folder",
        )
    tag = facts.get("library", b"").decode()
    if not tag:
        tag = secrets.token_hex(4)
        store.put("fact", "library", tag.encode())
    # Chains have 28 letters at most, and the longest of ours adds 18 to the prefix.
    return Marks(tag, f"FL{tag}")


def _bases(pools: Sequence[tuple[str, int]]) -> Sequence[Base]:
    """Where subnets come from that nobody chose: pairs of a network and a prefix length."""
    try:
        return tuple(Base(ip_network(text), size) for text, size in pools) or DEFAULT_BASES
    except (ValueError, TypeError) as error:
        raise Invalid(f"invalid pools: {error}", hint='write [("10.64.0.0/12", 24)]') from None
