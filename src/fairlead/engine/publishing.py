"""Ports of a container that come and go while it runs.

A change is made whole or not at all: the ports are bound first, then the record
says so, and both what runs and the next start follow from the record. What
another port of the container is doing is never disturbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import msgspec
from msgspec import Struct, field

from fairlead.controller.ports import pairs
from fairlead.engine import ports
from fairlead.engine.documents import PortBinding, read
from fairlead.engine.events import Events, tell
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container, Record
from fairlead.engine.shelf import Shelf
from fairlead.model.endpoint import Port
from fairlead.model.errors import Conflict, Invalid, NotFound

PROTOCOLS = ("tcp", "udp", "sctp")

Entry = tuple[str, PortBinding, tuple[Port, ...]]
"""A port of the container, a binding of it, and what that led to."""
Bindings = dict[str, list[PortBinding]]


class PortsDocument(Struct, frozen=True, rename="pascal"):
    """Ports as a create request has them: ``{"80/tcp": [{"HostPort": "8080"}]}``."""

    port_bindings: dict[str, list[PortBinding] | None] = field(default_factory=dict)


class Publishing:
    """Adds and removes published ports."""

    def __init__(self, shelf: Shelf, networking: Networking, events: Events) -> None:
        self._shelf = shelf
        self._networking = networking
        self._events = events

    async def add(self, container: Container, body: Mapping[str, Any]) -> None:
        """Publish a container on more ports. Raises Failed, naming who holds a port."""
        asked = {key: list(hosts) or [PortBinding()] for key, hosts in _asked(body)}
        _check_hosts(asked)
        async with container.lock:
            record = container.record
            _may_publish(record)
            bindings: Bindings = {k: list(v or ()) for k, v in record.host.port_bindings.items()}
            for key, hosts in asked.items():
                bindings[key] = [*bindings.get(key, ()), *hosts]
            exposed = {**(record.config.exposed_ports or {}), **{key: {} for key in asked}}
            config = msgspec.structs.replace(record.config, exposed_ports=exposed)
            host = msgspec.structs.replace(record.host, port_bindings=bindings)
            await self._change(container, msgspec.structs.replace(record, config=config, host=host))

    async def remove(self, container: Container, body: Mapping[str, Any]) -> None:
        """Take ports back; no binding stands for all of a port. Raises NotFound."""
        asked = list(_asked(body))
        async with container.lock:
            _may_publish(container.record)
            left = self._published(container)
            for key, hosts in asked:
                for host in hosts or [PortBinding()]:
                    gone = [entry for entry in left if _fits(entry, key, host)]
                    if not gone:
                        raise NotFound(f"No public port '{key}' published for {container.name}")
                    left = [_told_apart(entry, gone) for entry in left if entry not in gone]
            bindings: Bindings = {}
            for key, kept, _ in left:
                bindings.setdefault(key, []).append(kept)
            # What was published because all was to be is from now on published by name.
            record = container.record
            config = msgspec.structs.replace(
                record.host, port_bindings=bindings, publish_all_ports=False
            )
            await self._change(container, msgspec.structs.replace(record, host=config))

    def _published(self, container: Container) -> list[Entry]:
        """Every binding with the ports that it has led to."""
        record, sandbox = container.record, self._networking.sandbox(container)
        wanted = ports.requested(
            record.host.port_bindings,
            record.config.ports,
            publish_all=record.host.publish_all_ports,
        )
        live = dict(enumerate(pairs(sandbox) if sandbox else ()))
        return [
            (key, binding, live[n][1] if n in live and live[n][0] == request else ())
            for n, (key, binding, request) in enumerate(wanted)
        ]

    async def _change(self, container: Container, record: Record) -> None:
        if container.running and container.sandbox:
            wanted = self._networking.port_requests(record)
            await self._networking.controller.publish(container.sandbox, wanted)
        container.change(config=record.config, host=record.host)
        self._shelf.save(container)
        tell(self._events, container, "update")


def _told_apart(entry: Entry, gone: Sequence[Entry]) -> Entry:
    """An entry that keeps its port by number, if one that asked for the same goes."""
    key, binding, live = entry
    if live and any((key, binding) == (other, same) for other, same, _ in gone):
        binding = msgspec.structs.replace(binding, host_port=str(live[0].host_port))
    return key, binding, live


def _asked(body: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[PortBinding]]]:
    """Every port that a request names, one by one, with its bindings. Raises Invalid."""
    said = body.get("PortBindings")
    if isinstance(said, Mapping):
        # Null is a word here: every binding of that port.
        body = {"PortBindings": {key: hosts or [] for key, hosts in said.items()}}
    given = read(body, PortsDocument).port_bindings
    if not given:
        raise Invalid("no ports given", hint='send {"PortBindings": {"80/tcp": [...]}}')
    ports.check(given)
    for key, hosts in given.items():
        if ports.container_port(key)[2] not in PROTOCOLS:
            raise Invalid(f"invalid proto: {key.partition('/')[2]}")
        for port in ports.expand([key]):
            if port.startswith("0/"):
                raise Invalid(f'invalid port specification: "{key}"')
            yield port, hosts or ()


def _check_hosts(asked: Bindings) -> None:
    for hosts in asked.values():
        for host in hosts:
            if host.host_ip:
                try:
                    ip_address(host.host_ip)
                except ValueError:
                    raise Invalid(f"invalid host IP address: {host.host_ip}") from None


def _may_publish(record: Record) -> None:
    if record.removing:
        raise Conflict(f"container {record.id} is marked for removal")
    if record.container_mode:
        raise Invalid("conflicting options: port publishing and the container type network mode")
    if record.host_mode or "none" in record.networks or not record.networks:
        raise Invalid(
            "conflicting options: port publishing and the network mode",
            hint="a container without a network of its own has no ports to publish",
        )


def _fits(entry: Entry, key: str, wanted: PortBinding) -> bool:
    """Whether a binding is meant: by what it asked for, or by what it got."""
    port, binding, live = entry
    hosts = {binding.host_ip, *(str(p.host_ip) for p in live)}
    numbers = {binding.host_port, *(str(p.host_port) for p in live)}
    return (
        port == key
        and (not wanted.host_ip or wanted.host_ip in hosts)
        and (not wanted.host_port or wanted.host_port in numbers)
    )
