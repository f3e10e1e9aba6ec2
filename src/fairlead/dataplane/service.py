"""What the dataplane does for the daemon: its operations, one function each.

Rule: it holds what it was given and nothing else. Every operation may be
repeated: adding what is there replaces it, dropping what is not there succeeds.
A descriptor that came with a request belongs to the service, whatever happens.

==============  ====================================  ===========
operation       arguments                             descriptors
==============  ====================================  ===========
change          changes: a list of those below        all of them
  put-names     zone endpoint names addresses target
                own project
  drop-names    zone endpoint
  resolver-add  sandbox view                          udp tcp net
  view          sandbox view
  resolver-drop sandbox
  proxy-add     id proto to [ip, port]                socket
  proxy-point   id to [ip, port]
  proxy-drop    id
state           (the result is all that it holds)
stats           (the result is what it has done)
stop
==============  ====================================  ===========
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from fairlead.dataplane import stats
from fairlead.dataplane.burst import Burst
from fairlead.dataplane.channel import PROTOCOL
from fairlead.dataplane.forward import Outstanding
from fairlead.dataplane.keeper import Keeper
from fairlead.dataplane.proxy import TcpProxy, UdpProxy
from fairlead.dataplane.resolver import Resolver
from fairlead.dns import answer
from fairlead.dns.zone import Zones

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AT_ONCE = 64


class UnknownSandboxError(Exception):
    """The request is about a sandbox that has no resolver here."""


class UnknownProxyError(Exception):
    """The request is about a proxy that is not here."""


@dataclass(frozen=True, slots=True)
class Held:
    """A proxy and what was asked of it."""

    proxy: TcpProxy | UdpProxy | Keeper
    proto: str
    to: tuple[str, int]
    local: tuple[str, int]


class Unclaimed:
    """Descriptors that came with a request, in order; what nobody takes is closed."""

    def __init__(self, descriptors: list[int]) -> None:
        self._left = deque(descriptors)

    def __enter__(self) -> Unclaimed:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._left:
            os.close(descriptor)

    def take(self) -> int:
        """The next one, which is the taker's own from now on."""
        if not self._left:
            # The kernel passes as many as the process may still open, and says nothing.
            raise OSError(errno.EMFILE, "a descriptor did not arrive")
        return self._left.popleft()

    def take_socket(self) -> socket.socket:
        """The next one as the socket that it is."""
        descriptor = self.take()
        try:
            return socket.socket(fileno=descriptor)
        except BaseException:
            os.close(descriptor)
            raise


class Service:
    """Resolvers by sandbox and proxies by id."""

    def __init__(self) -> None:
        self._zones = Zones()
        self._resolvers: dict[str, Resolver] = {}
        self._proxies: dict[str, Held] = {}
        self._outstanding = Outstanding()
        self._burst = Burst()
        self.stopped = asyncio.Event()

    async def serve(self, request: Mapping[str, Any], descriptors: list[int]) -> Any:
        """Do what one request says and return its result."""
        with Unclaimed(descriptors) as unclaimed:
            match request["op"]:
                case "change":
                    return await self._changes(request["changes"], unclaimed)
                case "state":
                    return self._state()
                case "stats":
                    return stats.report(len(self._resolvers), len(self._proxies))
                case "stop":
                    return self.stopped.set()
                case other:
                    raise ValueError(f"no operation {other!r}")

    async def _changes(self, changes: Iterable[Mapping[str, Any]], unclaimed: Unclaimed) -> None:
        """Make changes in order; the first that cannot be made is the last."""
        for number, change in enumerate(changes, 1):
            await self._change(change, unclaimed)
            if not number % AT_ONCE:
                # Thousands of names take a while, and questions do not wait.
                await asyncio.sleep(0)

    async def _change(self, change: Mapping[str, Any], unclaimed: Unclaimed) -> None:
        """Make one change; it takes its descriptors from those that are left."""
        match change["op"]:
            case "put-names":
                self._zones.put(
                    change["zone"],
                    change["endpoint"],
                    tuple(change["names"]),
                    tuple(map(ip_address, change["addresses"])),
                    change["target"],
                    tuple(change["own"]),
                    change["project"],
                )
            case "drop-names":
                self._zones.drop(change["zone"], change["endpoint"])
            case "resolver-add":
                await self._resolver_add(change, unclaimed)
            case "view":
                self._show(change["sandbox"], change["view"])
            case "resolver-drop":
                await self._resolver_drop(change["sandbox"])
            case "proxy-add":
                await self._proxy_add(change, unclaimed)
            case "proxy-point":
                self._proxy_point(change)
            case "proxy-drop":
                await self._proxy_drop(change["id"])
            case other:
                raise ValueError(f"no operation {other!r}")

    async def _resolver_add(self, request: Mapping[str, Any], unclaimed: Unclaimed) -> None:
        view = answer.decode(request["view"])
        with ExitStack() as undo:
            udp = undo.enter_context(unclaimed.take_socket())
            tcp = undo.enter_context(unclaimed.take_socket())
            namespace = unclaimed.take()
            undo.callback(os.close, namespace)
            await self._resolver_drop(request["sandbox"])
            resolver = Resolver(
                view, self._zones, udp, tcp, namespace, self._outstanding, self._burst
            )
            # They are its own to close from here on.
            undo.pop_all()
        await _started(resolver)
        self._resolvers[request["sandbox"]] = resolver

    def _show(self, sandbox: str, view: Mapping[str, Any]) -> None:
        resolver = self._resolvers.get(sandbox)
        if resolver is None:
            raise UnknownSandboxError(sandbox)
        resolver.show(answer.decode(view))

    async def _resolver_drop(self, sandbox: str) -> None:
        resolver = self._resolvers.pop(sandbox, None)
        if resolver is not None:
            await resolver.close()

    async def _proxy_add(self, request: Mapping[str, Any], unclaimed: Unclaimed) -> None:
        kind = {"tcp": TcpProxy, "udp": UdpProxy, "held": Keeper}.get(request["proto"])
        if kind is None:
            raise ValueError(f"no proxy for {request['proto']!r}")
        ip, port = request["to"]
        address = ip_address(ip)
        sock = unclaimed.take_socket()
        proxy = kind(sock, address, port)
        await self._proxy_drop(request["id"])
        await _started(proxy)
        local = sock.getsockname()[:2]
        self._proxies[request["id"]] = Held(proxy, request["proto"], (ip, port), local)

    def _proxy_point(self, request: Mapping[str, Any]) -> None:
        held = self._proxies.get(request["id"])
        if held is None:
            raise UnknownProxyError(request["id"])
        ip, port = request["to"]
        held.proxy.point(ip_address(ip), port)
        self._proxies[request["id"]] = replace(held, to=(ip, port))

    async def _proxy_drop(self, id_: str) -> None:
        held = self._proxies.pop(id_, None)
        if held is not None:
            await held.proxy.close()

    def _state(self) -> dict[str, Any]:
        return {
            "resolvers": list(self._resolvers),
            "names": {zone: sorted(found) for zone, found in self._zones.endpoints().items()},
            "proxies": [
                {"id": id_, "proto": held.proto, "to": held.to, "local": held.local}
                for id_, held in self._proxies.items()
            ],
            "pid": os.getpid(),
            "version": PROTOCOL,
        }

    async def close(self) -> None:
        """Let go of everything."""
        for sandbox in list(self._resolvers):
            await self._resolver_drop(sandbox)
        for id_ in list(self._proxies):
            await self._proxy_drop(id_)
        self._outstanding.close()


async def _started(server: Resolver | TcpProxy | UdpProxy | Keeper) -> None:
    """Start something, or let go of all it has."""
    try:
        await server.start()
    except BaseException:
        await server.close()
        raise
