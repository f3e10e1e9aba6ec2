"""What the dataplane does for the daemon: its operations, one function each.

Rule: it holds what it was given and nothing else. Every operation may be
repeated: adding what is there replaces it, dropping what is not there succeeds.
A descriptor that came with a request belongs to the service, whatever happens.

==============  ====================================  ===========
operation       arguments                             descriptors
==============  ====================================  ===========
change          changes: a list of those below        all of them
  put-names     zone endpoint names addresses target
  drop-names    zone endpoint
  resolver-add  sandbox view                          udp tcp net
  view          sandbox view
  resolver-drop sandbox
  proxy-add     id proto to [ip, port]                socket
  proxy-point   id to [ip, port]
  proxy-drop    id
state           (the result is all that it holds)
stop
==============  ====================================  ===========
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from fairlead.dataplane.burst import Burst
from fairlead.dataplane.channel import PROTOCOL
from fairlead.dataplane.forward import Outstanding
from fairlead.dataplane.proxy import TcpProxy, UdpProxy
from fairlead.dataplane.resolver import Resolver
from fairlead.dns import answer
from fairlead.dns.zone import Zone

if TYPE_CHECKING:
    from collections.abc import Mapping


class UnknownSandboxError(Exception):
    """The request is about a sandbox that has no resolver here."""


class UnknownProxyError(Exception):
    """The request is about a proxy that is not here."""


@dataclass(frozen=True, slots=True)
class Held:
    """A proxy and what was asked of it."""

    proxy: TcpProxy | UdpProxy
    proto: str
    to: tuple[str, int]
    local: tuple[str, int]


class Unclaimed:
    """Descriptors that came with a request; what nobody claims is closed."""

    def __init__(self, descriptors: list[int]) -> None:
        self._left = set(descriptors)

    def __enter__(self) -> Unclaimed:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._left:
            os.close(descriptor)

    def claim(self, *descriptors: int) -> None:
        """These belong to somebody now."""
        self._left.difference_update(descriptors)


class Service:
    """Resolvers by sandbox and proxies by id."""

    def __init__(self) -> None:
        self._zones: dict[str, Zone] = {}
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
                    left = list(descriptors)
                    for change in request["changes"]:
                        await self._change(change, left, unclaimed)
                    return None
                case "state":
                    return self._state()
                case "stop":
                    return self.stopped.set()
                case other:
                    raise ValueError(f"no operation {other!r}")

    async def _change(
        self, change: Mapping[str, Any], left: list[int], unclaimed: Unclaimed
    ) -> None:
        """Do one change; it takes its descriptors from those that are left."""
        match change["op"]:
            case "put-names":
                addresses = tuple(map(ip_address, change["addresses"]))
                zone = self._zones.setdefault(change["zone"], Zone())
                names = tuple(change["names"])
                zone.put(change["endpoint"], names, addresses, change["target"])
            case "drop-names":
                if change["zone"] in self._zones:
                    self._zones[change["zone"]].drop(change["endpoint"])
            case "resolver-add":
                await self._resolver_add(change, [left.pop(0) for _ in range(3)], unclaimed)
            case "view":
                if not self._show(change["sandbox"], change["view"]):
                    raise UnknownSandboxError(change["sandbox"])
            case "resolver-drop":
                await self._resolver_drop(change["sandbox"])
            case "proxy-add":
                await self._proxy_add(change, left.pop(0), unclaimed)
            case "proxy-point":
                self._proxy_point(change)
            case "proxy-drop":
                await self._proxy_drop(change["id"])
            case other:
                raise ValueError(f"no operation {other!r}")

    async def _resolver_add(
        self, request: Mapping[str, Any], descriptors: list[int], unclaimed: Unclaimed
    ) -> None:
        udp, tcp, namespace = descriptors
        view = answer.decode(request["view"])
        await self._resolver_drop(request["sandbox"])
        unclaimed.claim(udp, tcp, namespace)
        resolver = Resolver(
            view,
            self._zones,
            socket.socket(fileno=udp),
            socket.socket(fileno=tcp),
            namespace,
            self._outstanding,
            self._burst,
        )
        try:
            await resolver.start()
        except BaseException:
            await resolver.close()
            raise
        self._resolvers[request["sandbox"]] = resolver

    def _show(self, sandbox: str, view: Mapping[str, Any]) -> bool:
        resolver = self._resolvers.get(sandbox)
        if resolver is None:
            return False
        resolver.show(answer.decode(view))
        return True

    async def _show_all(self, views: Mapping[str, Any]) -> list[str]:
        unknown = []
        for sandbox, view in views.items():
            if not self._show(sandbox, view):
                unknown.append(sandbox)
            # Thousands of names take a while, and questions do not wait.
            await asyncio.sleep(0)
        return unknown

    async def _resolver_drop(self, sandbox: str) -> None:
        resolver = self._resolvers.pop(sandbox, None)
        if resolver is not None:
            await resolver.close()

    async def _proxy_add(
        self, request: Mapping[str, Any], descriptor: int, unclaimed: Unclaimed
    ) -> None:
        kind = {"tcp": TcpProxy, "udp": UdpProxy}.get(request["proto"])
        if kind is None:
            raise ValueError(f"no proxy for {request['proto']!r}")
        make = partial(kind, ip=ip_address(request["to"][0]))
        await self._proxy_drop(request["id"])
        unclaimed.claim(descriptor)
        sock = socket.socket(fileno=descriptor)
        proxy = make(sock, port=request["to"][1])
        try:
            await proxy.start()
        except BaseException:
            await proxy.close()
            raise
        local, to = sock.getsockname()[:2], tuple(request["to"])
        self._proxies[request["id"]] = Held(proxy, request["proto"], to, local)

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
            "names": {id_: sorted(zone.endpoints) for id_, zone in self._zones.items() if zone},
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
