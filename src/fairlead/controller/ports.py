"""Published ports: bind first, promise afterwards."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from fairlead.kernel.sockets import PortTaken
from fairlead.model.endpoint import Port, PortRequest
from fairlead.model.errors import Failed, Invalid
from fairlead.model.options import Mode
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress
from fairlead.model.world import World

TRIES = 16
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
ANY4, ANY6 = IPv4Address("0.0.0.0"), IPv6Address("::")


Ways = Mapping[int, Mode]
"""The families in which a sandbox has a way out, and how that way's gateway works."""
Hold = Callable[[str, IPAddress, int], socket.socket]
"""Holds a port of the host: protocol, address, number (0: any). Raises PortTaken."""
Pair = tuple[PortRequest, tuple[Port, ...]]
"""A request and the ports that it led to."""


def ways(world: World, box: str) -> Ways:
    """How a sandbox is reached from the world, by version."""
    found = {}
    for version in (4, 6):
        way = world.gateway(box, version)
        net = world.networks[way.network] if way is not None else None
        # Of a driver that is not ours ports are its own business; on a parent's segment the
        # container is reached at its own address.
        if net is not None and not net.remote and not net.on_parent:
            found[version] = net.bridge.mode(version)
    return found


def bind(
    hold: Hold,
    world: World,
    requests: Sequence[PortRequest],
    default: IPAddress | None,
    leads: Ways,
    had: Sequence[Pair] = (),
    proxied: bool = True,
) -> tuple[tuple[Port, ...], dict[str, socket.socket]]:
    """Hold every port that was asked for; all or none. Blocks: kernel thread.

    What `had` been asked for before and is again is kept and needs no socket.
    Only a proxy leads from one family to the other. Raises Failed in Docker's
    words, naming who holds a port that is taken.
    """
    ports: list[Port] = []
    held: dict[str, socket.socket] = {}
    left = list(had)
    try:
        for request in requests:
            again = next((pair for pair in left if _answers(pair, request)), (request, ()))
            if again in left:
                left.remove(again)
            spare = list(again[1])
            hosts = _hosts(request, default, leads, proxied)
            for port, sock in _one(hold, world, request, hosts, leads, spare):
                ports.append(port)
                if sock is not None:
                    held[port.id] = sock
    except BaseException:
        for sock in held.values():
            sock.close()
        raise
    return tuple(ports), held


def pairs(box: Sandbox) -> list[Pair]:
    """Which ports each request led to: they are in its order, one for each family at most."""
    found = []
    left = list(box.ports)
    for request in box.publish:
        mine: list[Port] = []
        while left and _of(request, left[0]) and all(_twins(left[0], p) for p in mine):
            mine.append(left.pop(0))
        found.append((request, tuple(mine)))
    return found


def _of(request: PortRequest, port: Port) -> bool:
    same = (port.protocol, port.container_port) == (request.protocol, request.container_port)
    return same and request.host_ip in ("", str(port.host_ip))


def _twins(port: Port, other: Port) -> bool:
    return port.host_ip.version != other.host_ip.version


def _answers(pair: Pair, request: PortRequest) -> bool:
    """Whether ports that there are grant a request: they were made for it, or are what it names."""
    known, ports = pair
    named = replace(known, host_port=request.host_port, host_port_end=0) == request
    return known == request or (
        bool(ports) and named and all(p.host_port == request.host_port for p in ports)
    )


def addresses(text: str, default: IPAddress | None) -> tuple[IPAddress, ...]:
    """The host addresses that a binding means: an empty one is both families' any."""
    if text:
        try:
            return (ip_address(text),)
        except ValueError:
            raise Invalid(f"invalid host IP address: {text}") from None
    if default is not None and default != ANY4:
        return (default,)
    return (ANY4, ANY6)


def _hosts(
    request: PortRequest, default: IPAddress | None, leads: Ways, proxied: bool
) -> tuple[IPAddress, ...]:
    found = addresses(request.host_ip, default)
    return found if proxied else tuple(host for host in found if host.version in leads)


def _one(
    hold: Hold,
    world: World,
    request: PortRequest,
    hosts: tuple[IPAddress, ...],
    leads: Ways,
    spare: list[Port],
) -> Iterator[tuple[Port, socket.socket | None]]:
    modes = set(leads.values())
    found: dict[IPAddress, tuple[Port, socket.socket | None]] = {}
    for host in hosts:
        if leads.get(host.version) is Mode.ROUTED:
            found[host] = _port(request, host, 0), None
        elif (port := _kept(request, host, spare)) is not None:
            spare.remove(port)
            found[host] = replace(port, sources=request.sources), None
    # The proxy leads one family's port to the other family, but never into a routed network.
    missing = tuple(h for h in hosts if h not in found and modes != {Mode.ROUTED})
    if missing:
        number = max((port.host_port for port, _ in found.values()), default=0)
        for port, sock in _fresh(hold, world, request, missing, number):
            found[port.host_ip] = port, sock
    yield from (found[host] for host in hosts if host in found)


def _port(request: PortRequest, host: IPAddress, number: int) -> Port:
    return Port(request.protocol, request.container_port, host, number, request.sources)


def _kept(request: PortRequest, host: IPAddress, spare: Sequence[Port]) -> Port | None:
    """The port that was bound for this already."""
    last = max(request.host_port_end, request.host_port)
    for port in spare:
        same = (port.protocol, port.container_port, port.host_ip)
        if same == (request.protocol, request.container_port, host) and (
            request.host_port == 0 or request.host_port <= port.host_port <= last
        ):
            return port
    return None


def _fresh(
    hold: Hold,
    world: World,
    request: PortRequest,
    hosts: tuple[IPAddress, ...],
    only: int,
) -> Iterator[tuple[Port, socket.socket]]:
    refusal: PortTaken | None = None
    for number in (only,) if only else _numbers(request):
        try:
            yield from _everywhere(hold, hosts, request, number)
        except PortTaken as error:
            refusal = error
        else:
            return
    assert refusal is not None
    raise _explained(world, request, refusal)


def _numbers(request: PortRequest) -> Iterator[int]:
    if request.host_port == 0:
        yield from (0 for _ in range(TRIES))
    else:
        yield from range(request.host_port, max(request.host_port_end, request.host_port) + 1)


def _everywhere(
    hold: Hold, hosts: tuple[IPAddress, ...], request: PortRequest, number: int
) -> list[tuple[Port, socket.socket]]:
    """One port number on every address, or on none."""
    found: list[tuple[Port, socket.socket]] = []
    try:
        for host in hosts:
            try:
                sock = hold(request.protocol, host, number)
            except PortTaken as error:
                if host == ANY6 and not request.host_ip and error.code in NO_IPV6:
                    continue
                raise
            number = sock.getsockname()[1]
            found.append((_port(request, host, number), sock))
    except BaseException:
        for _, sock in found:
            sock.close()
        raise
    return found


def _explained(world: World, request: PortRequest, refusal: PortTaken) -> Failed:
    """Docker has other words when a container holds the port."""
    for box in world.sandboxes.values():
        for port in box.ports:
            same = (port.protocol, port.host_port) == (request.protocol, request.host_port)
            if same and refusal.code == errno.EADDRINUSE:
                host = request.host_ip or "0.0.0.0"
                return Failed(
                    f"Bind for {host}:{request.host_port} failed: port is already allocated",
                    hint=f"container {box.name} publishes it",
                )
    return refusal
