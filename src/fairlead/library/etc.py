"""/etc/hosts and /etc/resolv.conf of sandboxes that no container is in.

They are written in place, so that a program that has them bind-mounted sees the change.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fairlead.controller import servers
from fairlead.dns import files
from fairlead.dns.files import HostLine, Overrides
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import World
from fairlead.store.overwrite import overwrite


class Etc:
    """The files of each sandbox, in a folder of its own."""

    def __init__(self, folder: Path, resolv_conf: Path = Path("/etc/resolv.conf")) -> None:
        self._folder = folder
        self._resolv_conf = resolv_conf

    def path(self, sandbox: str) -> Path:
        """Where the files of a sandbox are."""
        return self._folder / sandbox[:12]

    def write(self, world: World, box: Sandbox, *, served: bool) -> None:
        """Write what a sandbox is to see; `served`: names are answered in it."""
        folder = self.path(box.id)
        folder.mkdir(parents=True, exist_ok=True)
        overwrite(folder / "hosts", self._hosts(world, box))
        overwrite(folder / "resolv.conf", self._resolv(world, box, served))

    def options(self) -> tuple[str, ...]:
        """What the host's resolv.conf sets: its `ndots` is the sandboxes', too."""
        return files.parse_resolv(self._host())[0].options

    def _host(self) -> str:
        try:
            return self._resolv_conf.read_text(errors="surrogateescape")
        except FileNotFoundError:
            return ""

    def drop(self, sandbox: str) -> None:
        """Remove the files of a sandbox that is gone."""
        shutil.rmtree(self.path(sandbox), ignore_errors=True)

    def sweep(self, world: World) -> None:
        """Remove what sandboxes left that are gone."""
        kept = {id_[:12] for id_ in world.sandboxes}
        if self._folder.is_dir():
            for entry in list(self._folder.iterdir()):
                if entry.name not in kept:
                    self.drop(entry.name)

    def _hosts(self, world: World, box: Sandbox) -> str:
        names = files.own_names(box.hostname, box.domainname)
        addresses = (a.ip for e in world.joined(box.id) for a in e.addresses)
        return files.hosts((), [HostLine(str(address), names) for address in addresses])

    def _resolv(self, world: World, box: Sandbox, served: bool) -> str:
        asked = tuple(map(str, servers.own(world, box))) if served else box.dns
        overrides = Overrides(asked, box.dns_search, box.dns_options)
        host = self._host()
        if served:
            return files.internal(host, overrides, str(self._resolv_conf))
        six = any(a.version == 6 for e in world.joined(box.id) for a in e.addresses)
        return files.legacy(host, overrides, ipv6=six, source=str(self._resolv_conf))
