"""The files under /etc that we write for a container: hosts, hostname, resolv.conf.

They are bind-mounted, so that they are rewritten in place and never replaced.
A file that the user has edited since is the user's: its digest tells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

from fairlead.dns import files
from fairlead.dns.files import HostLine, Overrides
from fairlead.engine import resolv
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container, Record
from fairlead.engine.settings import Settings
from fairlead.model.endpoint import Endpoint
from fairlead.model.errors import Failed
from fairlead.store.overwrite import overwrite

HOSTS = Path("/etc/hosts")
TO_THE_HOST = ("host.docker.internal", "gateway.docker.internal")

Find = Callable[[str], Container | None]


class Etc:
    """Writes the files, and writes them again when networks or names change."""

    def __init__(self, networking: Networking, settings: Settings, find: Find) -> None:
        self._networking = networking
        self._settings = settings
        self._find = find

    def write(self, container: Container) -> None:
        """Write all files for a start; a user's edits of the last run are gone."""
        record = container.record
        Path(record.directory).mkdir(parents=True, exist_ok=True)
        container.change(written={})
        texts = {**self._texts(container), record.hostname_path: self._hostname(record)}
        for path, text in texts.items():
            overwrite(Path(path), text)
        container.change(
            written={path: _digest(text) for path, text in texts.items()},
            hosts_lines=_lines(texts[record.hosts_path]),
        )

    def refresh(self, container: Container) -> bool:
        """Write what has changed; whether there was anything.

        A resolv.conf that the user has edited is left alone. In /etc/hosts the user's
        lines stay, and only ours are changed.
        """
        record = container.record
        written, had = dict(record.written), record.hosts_lines
        texts = self._texts(container)
        for path, text in texts.items():
            digest = _digest(text)
            if written.get(path) == digest:
                continue
            if _read_digest(Path(path)) == written.get(path):
                overwrite(Path(path), text)
            elif path == record.hosts_path:
                edited = resolv.text(Path(path))
                overwrite(Path(path), files.with_lines(edited, had, _lines(text)))
            else:
                continue
            written[path] = digest
        # Which lines of /etc/hosts are ours is remembered.
        container.change(written=written, hosts_lines=_lines(texts[record.hosts_path]))
        return container.record != record

    def sources(self, record: Record) -> Mapping[str, str]:
        """Where in the container each file belongs, and where it is here.

        Who shares the network of another has its files.
        """
        owner = record
        while owner.container_mode and (found := self._find(owner.container_mode)) is not None:
            owner = found.record
            if owner.id == record.id:
                break
        return {
            "/etc/hosts": owner.hosts_path,
            "/etc/hostname": owner.hostname_path,
            "/etc/resolv.conf": owner.resolv_conf_path,
        }

    def _texts(self, container: Container) -> dict[str, str]:
        record = container.record
        return {
            record.hosts_path: self._hosts(container),
            record.resolv_conf_path: self._resolv(container),
        }

    def _hostname(self, record: Record) -> str:
        host, domain = record.config.hostname, record.config.domainname
        return files.hostname(f"{host}.{domain}" if domain else host)

    def _hosts(self, container: Container) -> str:
        record = container.record
        gateways = self._gateways()
        extra: list[HostLine] = []
        for entry in record.host.extra_hosts or ():
            lines = files.host_line(entry, gateways)
            if not lines:
                raise Failed(
                    "unable to derive the IP value for host-gateway",
                    hint="the default bridge has no address: set host-gateway-ip",
                )
            extra += lines
        if record.host_mode:
            return files.host_mode_hosts(resolv.text(HOSTS), extra)
        names = files.own_names(record.config.hostname, record.config.domainname)
        extra += self._way_to_the_host(container, extra)
        own = [HostLine(str(a.ip), names) for e in self._live(container) for a in e.addresses]
        return files.hosts(extra, own, self._linked(container))

    def _way_to_the_host(
        self, container: Container, extra: Iterable[HostLine]
    ) -> Iterable[HostLine]:
        """The host's name where no resolver of ours tells it, unless the user did."""
        on_bridge = {a.version for a in map(ip_address, self.bridge_addresses(container))}
        if not on_bridge or self._networking.controller.uses_resolver(container.sandbox):
            return []
        taken = {name for line in extra for name in line.names.split()}
        names = " ".join(name for name in TO_THE_HOST if name not in taken)
        ways = [g for g in self._gateways() if ip_address(g).version in on_bridge]
        return [HostLine(way, names) for way in ways if names]

    def _live(self, container: Container) -> Iterable[Endpoint]:
        return self._networking.controller.world.joined(container.sandbox)

    def _gateways(self) -> tuple[str, ...]:
        if self._settings.host_gateway:
            return self._settings.host_gateway
        networks = self._networking.controller.world.networks.values()
        bridge = next((n for n in networks if n.default_bridge), None)
        pools = bridge.pools if bridge is not None else ()
        return tuple(str(p.gateway) for p in pools if p.gateway is not None)

    def _linked(self, container: Container) -> Iterable[HostLine]:
        """The targets of legacy links that run now."""
        for id, alias in container.record.links:  # noqa: A001
            target = self._find(id)
            if target is None or not target.running:
                continue
            names = [alias, target.record.config.hostname, target.name]
            words = " ".join(dict.fromkeys(names))
            yield from (HostLine(str(a), words) for a in self.bridge_addresses(target))

    def bridge_addresses(self, container: Container) -> list[str]:
        """The addresses of a container on the default bridge."""
        networks = self._networking.controller.world.networks
        on_bridge = (e for e in self._live(container) if networks[e.network].default_bridge)
        return [str(a.ip) for e in on_bridge for a in e.addresses]

    def _resolv(self, container: Container) -> str:
        record, settings = container.record, self._settings
        controller = self._networking.controller
        overrides = Overrides(
            tuple(record.host.dns)
            or controller.servers_of_networks(container.sandbox)
            or settings.dns,
            tuple(record.host.dns_search) or settings.dns_search,
            tuple(record.host.dns_options) or settings.dns_options,
        )
        source = resolv.source()
        text = resolv.text(source)
        if record.host_mode:
            return files.host_mode_resolv(text, overrides, str(source))
        if controller.uses_resolver(container.sandbox):
            return files.internal(text, overrides, str(source))
        ipv6 = any(a.version == 6 for e in self._live(container) for a in e.addresses)
        return files.legacy(text, overrides, ipv6=ipv6, source=str(source))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.splitlines(keepends=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _read_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
