"""Who is meant at the two ends of a way, and at which addresses they meet. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.errors import Invalid, NotFound
from fairlead.model.packet import PROTOCOLS
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import HOST, IPAddress
from fairlead.model.world import World
from fairlead.plan.explain import SHORTEST_REF

THIS_HOST = ("host", "localhost")
ANYBODY = "any"
HIGHEST_PORT = 65535
WRITTEN = "write `:8080`, `web:80`, `192.0.2.7:80`, `[2001:db8::7]:80`, or `:53/udp`"


@dataclass(frozen=True, slots=True)
class End:
    """Somebody who sends or is sent to: a sandbox, this host, or whoever has an address."""

    box: Sandbox | None = None
    address: IPAddress | None = None
    host: bool = False

    @property
    def anybody(self) -> bool:
        """Whether nobody in particular is meant."""
        return self.box is None and self.address is None and not self.host

    @property
    def name(self) -> str:
        """What people call it."""
        if self.anybody:
            return ANYBODY
        if self.box is not None:
            return self.box.name
        return "this host" if self.host else str(self.address)

    @property
    def namespace(self) -> str:
        """Where its routes and sockets are, if that is known here."""
        return self.box.namespace if self.box is not None else HOST


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: who sends to whom, and what."""

    source: End
    target: End
    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol} from {self.source.name} to port {self.port} of {self.target.name}"


def asked(world: World, source: str, target: str, watched: bool = False) -> Asked:
    """What a user means; only who watches may ask about anybody. Raises Invalid, NotFound."""
    where, port, protocol = destination(target)
    if watched and source == ANYBODY:
        return Asked(End(), end(world, where or THIS_HOST[0]), protocol, port)
    if not source or source == ANYBODY:
        raise Invalid(
            "nobody is named who sends",
            hint="name a container, an address, or `host`; `any` goes with --watch",
        )
    return Asked(end(world, source), end(world, where or THIS_HOST[0]), protocol, port)


def destination(text: str) -> tuple[str, int, str]:
    """Who, which port and which protocol. Raises Invalid."""
    said, slash, protocol = text.partition("/")
    where, colon, number = said.rpartition(":")
    protocol = protocol.lower() if slash else PROTOCOLS[0]
    if protocol not in PROTOCOLS:
        raise Invalid(f"packets of {protocol!r} cannot be followed", hint="tcp and udp can")
    if not colon or not (number.isascii() and number.isdigit()):
        raise Invalid(f"{text!r} names no port", hint=WRITTEN)
    if not 0 < int(number) <= HIGHEST_PORT:
        raise Invalid(f"{number} is no port", hint=f"ports are from 1 to {HIGHEST_PORT}")
    if where.startswith("[") and where.endswith("]"):
        where = where[1:-1]
    return where, int(number), protocol


def end(world: World, text: str) -> End:
    """Whoever has a name, an id or an address. Raises NotFound."""
    if text in THIS_HOST:
        return End(host=True)
    try:
        address = ip_address(text)
    except ValueError:
        return _named(world, text)
    if getattr(address, "scope_id", None) is not None:
        raise Invalid(f"{text!r} is an address of one link", hint="leave out the zone")
    found = holder(world, address)
    return End(world.sandboxes[found.sandbox], address) if found is not None else End(None, address)


def _named(world: World, text: str) -> End:
    boxes = [box for box in world.sandboxes.values() if not box.access]
    for least in (len(text) + 1, SHORTEST_REF):
        for box in boxes:
            ids = (box.container, box.id)
            begun = len(text) >= least and any(id_.startswith(text) for id_ in ids)
            if text in (box.name, *ids) or begun:
                return End(host=True) if box.host else End(box)
    raise NotFound(
        f"no running container or sandbox is called {text}",
        hint="`ps` and `sandbox ls` show them; `host` is this host",
    )


def holder(world: World, address: IPAddress) -> Endpoint | None:
    """The endpoint that has an address here, if one has."""
    for endpoint in world.endpoints.values():
        if any(a.ip == address for a in endpoint.addresses):
            box = world.sandboxes[endpoint.sandbox]
            return endpoint if not box.access else None
    return None


def meeting(world: World, source: End, target: Sandbox) -> Endpoint | None:
    """Where a source finds a sandbox: on a network that both are on, else where it leads out.

    A network that nobody asked for, which only leads out, is none that two share.
    """
    theirs = [e for e in world.joined(target.id) if e.addresses]
    way_out = world.gateway(target.id) or world.gateway(target.id, 6)
    if source.box is not None:
        mine = {e.network for e in world.joined(source.box.id)}
        shared = [e for e in theirs if e.network in mine]
        return next(iter(shared or theirs), way_out)
    return way_out or next(iter(theirs), None)


def published(world: World, protocol: str, port: int) -> Iterator[tuple[Sandbox, Port]]:
    """The ports of sandboxes that stand for that port of the host, at whatever address."""
    for box in world.sandboxes.values():
        for found in box.ports:
            if (found.protocol, found.host_port) == (protocol, port) and port:
                yield box, found


def covers(port: Port, address: IPAddress) -> bool:
    """Whether a published port is one of that address of the host."""
    same = port.host_ip.version == address.version
    return same and (port.host_ip.is_unspecified or port.host_ip == address)
