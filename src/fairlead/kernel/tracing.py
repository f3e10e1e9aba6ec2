"""What a trace asks of the kernel: routes, sockets, and the way of a packet."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.kernel import probe, rtrows, ways
from fairlead.kernel.netlink import Socket
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.rtnetlink import mac_bytes
from fairlead.kernel.rules import Rules
from fairlead.kernel.trace import Trace
from fairlead.model.errors import Conflict
from fairlead.model.packet import Flow, Listener, Way
from fairlead.model.state import HOST, IPAddress


class Tracing:
    """All of it on the kernel thread, but for waiting on a trace's socket."""

    def __init__(
        self, namespaces: Namespaces, host: Socket, netfilter: Socket, rules: Rules
    ) -> None:
        self._namespaces = namespaces
        self._host = host
        self._netfilter = netfilter
        self._rules = rules

    def way(
        self,
        namespace: str,
        destination: IPAddress,
        source: IPAddress | None = None,
        came_by: str = "",
    ) -> Way:
        """Where a namespace's routes lead a packet, of its own or that came by a link."""
        with self._inside(namespace):
            return ways.way(destination, source, came_by)

    def listeners(self, namespace: str, protocol: str) -> list[Listener]:
        """Who waits for packets in a namespace."""
        with self._inside(namespace):
            return ways.listeners(protocol)

    def macs(self) -> dict[str, str]:
        """The Ethernet addresses of the host's links."""
        return {row.name: row.mac for row in rtrows.links(self._host)}

    def trace(self) -> Trace:
        """What is told of packets, once it has begun."""
        return Trace(self._rules, self._netfilter)

    def send(self, flow: Flow, secret: int) -> None:
        """A probe of the host's own."""
        with self._inside(HOST):
            probe.send(probe.packet(flow, secret), flow.destination)

    def receive(self, flow: Flow, secret: int, link: str, macs: tuple[str, str]) -> None:
        """A probe that comes by a link of the host's, for the first address from the second."""
        to, by = (mac_bytes(mac) if mac else b"" for mac in macs)
        with self._inside(HOST):
            raw = probe.packet(flow, secret)
            probe.receive(raw, link, to or bytes(6), by or probe.STRANGER)

    @contextmanager
    def _inside(self, namespace: str) -> Iterator[None]:
        """Be in a namespace. Raises Conflict when it, or a link of the host, is gone by now."""
        try:
            with self._namespaces.entered(namespace):
                yield
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
                raise
            raise Conflict("a container or link is gone by now", hint="ask again") from error
