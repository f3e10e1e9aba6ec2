"""Sandboxes that no container is in: made, adopted, joined, published, removed.

The library's objects and the daemon's routes both stand on this; it asks the controller
for everything that touches the network and keeps the files that programs in them see.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from fairlead.controller import upkeep
from fairlead.controller.controller import Controller
from fairlead.library.etc import Etc
from fairlead.library.published import open_to_all, port_requests
from fairlead.library.values import Event
from fairlead.model.endpoint import Endpoint, EndpointRequest, Port
from fairlead.model.errors import Conflict, Failed, Invalid, NotFound
from fairlead.model.sandbox import Sandbox, SandboxRequest

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
HOSTNAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-.]{0,61}[a-zA-Z0-9])?", re.ASCII)
NETNS = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class BoxRequest:
    """A sandbox as a user asks for it. `namespace`: one to adopt, a name, path or pid."""

    name: str
    namespace: str | os.PathLike[str] | int = ""
    hostname: str = ""
    domainname: str = ""
    dns: Sequence[str] = ()
    dns_search: Sequence[str] = ()
    dns_options: Sequence[str] = ()


class Boxes:
    """All sandboxes of a controller that no container is in."""

    def __init__(
        self, controller: Controller, folder: Path, resolv_conf: Path = Path("/etc/resolv.conf")
    ) -> None:
        self.controller = controller
        self.etc = Etc(folder, resolv_conf)
        self.listeners: list[Callable[[Event], None]] = []

    def begin(self) -> None:
        """Settle the files after a start: of what is there, and of nothing else."""
        self.etc.sweep(self.controller.world)
        for box in self.all():
            self._write(box.id)

    def all(self) -> list[Sandbox]:
        """Every one, oldest first."""
        boxes = self.controller.world.sandboxes.values()
        return sorted((box for box in boxes if box.free), key=lambda box: box.created)

    def find(self, ref: str) -> Sandbox:
        """One by name, id or start of an id. Raises NotFound."""
        world = self.controller.world
        return world.sandboxes[upkeep.of_free_sandbox(world, ref)]

    async def open(
        self,
        request: BoxRequest,
        joins: Sequence[tuple[str, EndpointRequest]] = (),
        publish: Sequence[str] = (),
    ) -> Sandbox:
        """Make a sandbox, or adopt one, with endpoints and ports: all of it or nothing."""
        _check(request)
        wanted = port_requests(publish)
        id_ = secrets.token_hex(32)
        asked = SandboxRequest(
            id=id_,
            container=id_,
            name=request.name,
            hostname=request.hostname or request.name,
            domainname=request.domainname,
            dns=tuple(request.dns),
            dns_search=tuple(request.dns_search),
            dns_options=tuple(request.dns_options) or self.etc.options(),
            free=True,
            source=source(request.namespace),
        )
        box = await self.controller.open_sandbox(asked, joins, wanted)
        self._write(id_)
        self._tell("sandbox adopt" if box.adopted else "sandbox create", sandbox=box.name)
        for endpoint in self.controller.world.joined(id_):
            self._tell("join", self._network(endpoint), box.name)
        return box

    async def remove(self, ref: str) -> Sandbox:
        """Take it off every network and let its namespace go."""
        box = self.find(ref)
        left = [self._network(e) for e in self.controller.world.joined(box.id)]
        await self.controller.close_sandbox(box.id)
        self.etc.drop(box.id)
        for network in left:
            self._tell("leave", network, box.name)
        self._tell("sandbox remove", sandbox=box.name)
        return box

    async def join(self, ref: str, network: str, request: EndpointRequest) -> Endpoint:
        """Put it on one more network."""
        box = self.find(ref)
        endpoint = await self.controller.join(box.id, network, request)
        self._write(box.id)
        self._tell("join", self._network(endpoint), box.name)
        return endpoint

    async def leave(self, ref: str, network: str) -> None:
        """Take it off a network."""
        box, net = self.find(ref), self.controller.network(network)
        mine = self.controller.world.joined(box.id)
        if all(endpoint.network != net.id for endpoint in mine):
            raise NotFound(f"sandbox {box.name} is not on network {net.name}")
        await self.controller.leave(box.id, net.id)
        self._write(box.id)
        self._tell("leave", net.name, box.name)

    async def publish(
        self, ref: str, texts: Sequence[str], sources: Sequence[str] = ()
    ) -> tuple[Port, ...]:
        """Publish it on more ports, for callers from `sources` if there are any; all ports now."""
        box, more = self.find(ref), port_requests(texts, sources)
        self._check_way(box)
        known = {open_to_all(port): port for port in box.publish}
        if any(known.get(open_to_all(port), port) != port for port in more):
            raise Conflict(
                f"sandbox {box.name} is published so already, for other callers",
                hint="unpublish it, and publish it again",
            )
        wanted = (*box.publish, *(port for port in more if port not in box.publish))
        found = await self.controller.publish(box.id, wanted)
        self._tell("publish", sandbox=box.name)
        return found

    async def unpublish(self, ref: str, texts: Sequence[str]) -> tuple[Port, ...]:
        """Close ports that were published in the same words; what it is published on still."""
        box, gone = self.find(ref), port_requests(texts)
        there = {open_to_all(port) for port in box.publish}
        for text in texts:
            if not set(port_requests([text])) <= there:
                raise NotFound(f"sandbox {box.name} is not published on {text}")
        found = await self.controller.publish(
            box.id, [port for port in box.publish if open_to_all(port) not in gone]
        )
        self._tell("publish", sandbox=box.name)
        return found

    def _check_way(self, box: Sandbox) -> None:
        """Ports lead to the network through which it reaches the world; there has to be one."""
        world = self.controller.world
        if any(world.gateway(box.id, version) for version in (4, 6)):
            return
        why = "join it to a network that is not internal first"
        if box.routed and world.joined(box.id):
            why = "its namespace has a default route of its own, and answers would go that way"
        raise Failed(f"sandbox {box.name} has no way out, so no port can lead to it", hint=why)

    def _write(self, id_: str) -> None:
        world = self.controller.world
        if id_ in world.sandboxes:
            served = self.controller.uses_resolver(id_)
            self.etc.write(world, world.sandboxes[id_], served=served)

    def _network(self, endpoint: Endpoint) -> str:
        net = self.controller.world.networks.get(endpoint.network)
        return net.name if net is not None else endpoint.network

    def _tell(self, action: str, network: str = "", sandbox: str = "") -> None:
        for listener in self.listeners:
            listener(Event(action, network, sandbox))


def source(namespace: str | os.PathLike[str] | int) -> str:
    """Where a namespace is: of a process, of `ip netns`, or at a path. Empty: nowhere."""
    if isinstance(namespace, int):
        if namespace <= 0:
            raise Invalid(f"invalid pid {namespace}")
        return f"/proc/{namespace}/ns/net"
    text = os.fspath(namespace)
    if not text or text.startswith("/"):
        return text
    if "/" in text or text in (".", ".."):
        raise Invalid(f"{text!r} is no path from the root, and no name that `ip netns` gives")
    return str(NETNS / text)


def _check(request: BoxRequest) -> None:
    if not NAME.fullmatch(request.name) or len(request.name) > 128:
        raise Invalid(
            f"invalid sandbox name {request.name!r}",
            hint="a letter or digit, then letters, digits, _, . and -",
        )
    for word in (request.hostname, request.domainname):
        if word and not HOSTNAME.fullmatch(word):
            raise Invalid(f"invalid host name {word!r}")
    for text in (*request.dns_search, *request.dns_options):
        if not text or any(c.isspace() or not c.isprintable() for c in text):
            raise Invalid(f"invalid word {text!r} for resolv.conf")
    for text in request.dns:
        try:
            ip_address(text)
        except ValueError:
            raise Invalid(f"invalid name server {text!r}") from None
