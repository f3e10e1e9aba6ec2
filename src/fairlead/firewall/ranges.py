"""Runs of published ports that keep their numbers: one interval instead of many elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fairlead.firewall.policy import PortPolicy


@dataclass(frozen=True, slots=True)
class Range:
    """`count` ports, of which this is the first."""

    port: PortPolicy
    count: int = 1

    @property
    def outside(self) -> str:
        """The host's ports, as nft writes them."""
        return _span(self.port.host_port, self.count)

    @property
    def inside(self) -> str:
        """The container's ports."""
        return _span(self.port.port, self.count)


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def ranges(ports: Iterable[PortPolicy], doors: bool = False) -> Iterator[Range]:
    """The ports, neighbours together where each keeps its number.

    With `doors` only the container's side counts.
    """

    def rank(port: PortPolicy) -> tuple[str, str, str, int]:
        host = "" if doors else str(port.host_ip)
        return (str(port.address), port.protocol, host, port.port)

    run: Range | None = None
    for port in sorted(ports, key=rank):
        if run is not None and _next(run, port, doors):
            run = Range(run.port, run.count + 1)
            continue
        if run is not None:
            yield run
        run = Range(port)
    if run is not None:
        yield run


def _next(run: Range, port: PortPolicy, doors: bool) -> bool:
    first = run.port
    same = (port.address, port.protocol) == (first.address, first.protocol)
    if not same or port.port != first.port + run.count:
        return False
    keeps = port.port == port.host_port and first.port == first.host_port
    return doors or (keeps and port.host_ip == first.host_ip)
