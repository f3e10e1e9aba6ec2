"""A kernel made of one dictionary: what Linux would do, without Linux.

It refuses what Linux refuses (a name taken, a link that is not there) and
lets fall what Linux lets fall (addresses with their link, a veth with the
namespace of either end). The contract suite runs on it and on Linux, which is
what keeps it honest. `foreign` holds keys that somebody else made.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from fairlead.kernel.encryption import CannotEncrypt
from fairlead.kernel.errors import Refused
from fairlead.kernel.port import Footing, Place, Surroundings
from fairlead.kernel.sockets import PortTaken
from fairlead.kernel.tracing import Tracing
from fairlead.model.errors import NotFound, Unsupported
from fairlead.model.facts import Exam, HostLink, LinkFact, Vitals
from fairlead.model.ground import Ground
from fairlead.model.iptables import Chain, Rule
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    IPAddress,
    Key,
    Lent,
    Namespace,
    Resource,
    Scope,
    State,
    Veth,
)
from fairlead.model.step import Announce, Step
from fairlead.model.tunnel import Vxlan
from fairlead.model.underlay import Dummy, Sublink, Vlan
from fairlead.model.xfrm import XfrmBlock, XfrmDemand, XfrmPolicy, XfrmState
from fairlead.plan.damage import is_rule


class FakeSocket(socket.socket):
    """A socket that says it is bound somewhere."""

    place: tuple[str, int] = ("", 0)

    def getsockname(self) -> tuple[str, int]:
        return self.place


class FakeKernel:
    """State by key. `fault` is asked before each step and may raise: a crash, a refusal.

    `lacking` are the kinds of links that it was built without.
    """

    def __init__(self, settings: State | None = None) -> None:
        self.state: dict[Key, Resource] = dict(settings or {})
        self.foreign: set[Key] = set()
        self.lacking: set[str] = set()
        self.outside = {"eth0"}
        """Links of the host's own."""
        self.remote: set[IPAddress] = set()
        """Hosts that are reached by a gateway only."""
        self.around = Surroundings()
        self.zones = False
        """firewalld runs."""
        self.fault: Callable[[Step], None] | None = None
        self.taken: list[Step] = []
        self.taken_ports: set[int] = set()
        self.encrypts = {4, 6}
        self.places: dict[str, Place] = {}
        """Somebody else's namespaces, by the path where they are found."""
        self.links: dict[str, HostLink] = {}
        """Somebody else's interfaces on the host, by name."""

    def observe(self, scope: Scope) -> State:
        """What is there; settings only where asked for."""
        return {
            key: resource
            for key, resource in self.state.items()
            if (not resource.LASTING or key in scope.settings)
            and (scope.namespaces is None or _namespace(resource) in scope.namespaces)
            and (scope.rules or not is_rule(resource))
        }

    def apply(self, steps: Sequence[Step]) -> None:
        done: list[Step] = []
        for step in steps:
            try:
                if self.fault is not None:
                    self.fault(step)
            except Refused as refused:
                raise refused.after(tuple(done)) from refused
            code = self._take(step)
            if code:
                raise Refused(step, code, tuple(done))
            done.append(step)
            self.taken.append(step)

    def strangers(self, keys: Collection[Key]) -> tuple[Key, ...]:
        return tuple(key for key in keys if key in self.foreign)

    def zoned(self) -> bool:
        return self.zones

    def surroundings(self) -> Surroundings:
        return self.around

    def vitals(self, rules: bool) -> Vitals:
        links: dict[str, LinkFact] = {}
        sizes: dict[tuple[str, str, str], int] = {}
        for item in self.state.values():
            if isinstance(item, Bridge):
                links[item.name] = LinkFact(item.name, item.up, "", item.mtu)
            elif isinstance(item, Veth):
                links[item.name] = LinkFact(item.name, item.up, item.master, item.mtu)
            elif isinstance(item, Vlan | Dummy | Sublink) and item.key[1] == HOST:
                links[item.name] = LinkFact(item.name, item.up, "", getattr(item, "mtu", 0))
            elif isinstance(item, Chain):
                sizes[item.family, item.table, item.name] = len(item.rules)
            elif isinstance(item, Rule):
                where = (item.family, item.table, item.chain)
                sizes[where] = sizes.get(where, 0) + 1
        nets = {
            (item.address.network, item.link)
            for item in self.state.values()
            if isinstance(item, Address) and item.namespace == HOST
        }
        return Vitals(links, frozenset(nets), sizes if rules else {})

    def exam(self) -> Exam:
        return Exam()

    def tracing(self) -> Tracing:
        raise Unsupported("no packets pass here")

    def touched(self) -> bool:
        return True

    def settle(self, intact: bool) -> None:
        """Nobody writes here unseen."""

    def reap(self) -> None:
        """Nothing is slow here."""

    def reaper(self) -> Callable[[], None]:
        return self.reap

    def is_bridge(self, name: str) -> bool | None:
        found = self.state.get(("link", HOST, name))
        return None if found is None else isinstance(found, Bridge)

    def host_link(self, name: str) -> HostLink | None:
        return self.links.get(name)

    def footing(self, names: Collection[str], kinds: Collection[str] = ()) -> Footing:
        ours = {name for name in names if ("link", HOST, name) in self.state}
        theirs = {name for name in names if ("link", HOST, name) in self.foreign}
        return Footing(
            frozenset(ours | theirs), frozenset(ours), frozenset(self.lacking.intersection(kinds))
        )

    def ground(self, own: IPAddress, hosts: Collection[IPAddress]) -> Ground:
        link = next(iter(sorted(self.outside)), "")
        near = {host: link for host in hosts if link and host not in self.remote}
        return Ground(link, near, frozenset(self.outside))

    def announce(self, items: Collection[Announce]) -> tuple[Announce, ...]:
        """Whatever is said is heard."""
        return ()

    def look(self, where: str) -> Place:
        if where.startswith("/"):
            if where not in self.places:
                raise NotFound(f"no network namespace at {where}")
            place = self.places[where]
            pins = [r.name for r in self._pins() if r.identity == place.identity]
            return replace(place, pin=next(iter(pins), ""))
        pin = self.state.get(("netns", where))
        if not isinstance(pin, Namespace):
            raise NotFound(f"no network namespace at {where}")
        return Place(pin.identity or where, self._links(pin), pin=where)

    def check_encryption(self, version: int) -> None:
        if version not in self.encrypts:
            raise CannotEncrypt("CONFIG_INET_ESP")

    def associations(self) -> State:
        ours = XfrmState | XfrmPolicy | XfrmBlock | XfrmDemand
        return {key: item for key, item in self.state.items() if isinstance(item, ours)}

    def resolver_sockets(self, namespace: str) -> tuple[socket.socket, socket.socket, int]:
        if ("netns", namespace) not in self.state:
            raise FileNotFoundError(errno.ENOENT, "no such namespace", namespace)
        here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), here

    def reserve(
        self, protocol: str, address: IPAddress, port: int, deaf: bool = False
    ) -> socket.socket:
        port = port or next(n for n in range(32768, 61000) if n not in self.taken_ports)
        if port in self.taken_ports:
            raise PortTaken(protocol, address, port, errno.EADDRINUSE)
        held = FakeSocket(socket.AF_UNIX)
        held.place = (str(address), port)
        return held

    def close(self) -> None:
        """There is nothing to let go of."""

    def lose(self, key: Key) -> None:
        """Somebody deletes a thing of ours, and what stands on it falls."""
        self._fall(key)

    def _take(self, step: Step) -> int:
        after = step.after
        if after is None:
            gone = self.state.get(step.resource.key)
            if not step.resource.LASTING:
                self._fall(step.resource.key)
            if isinstance(gone, Lent):
                self.links[gone.name] = HostLink(gone.name, gone.mac)
            return 0
        if any(not self._stands(need) for need in after.needs):
            return errno.ENODEV
        if isinstance(after, Namespace) and after.identity:
            place = self.places.get(after.source)
            if place is None or place.identity != after.identity:
                return errno.ENOENT
        present = self.state.get(after.key)
        if isinstance(after, Lent) and present is None:
            if after.name not in self.links:
                return errno.ENODEV
            if self._name_taken(after):
                return errno.EEXIST
            del self.links[after.name]
        if step.before is None and not after.LASTING:
            if present is not None or after.key in self.foreign or self._name_taken(after):
                return errno.EEXIST
        elif present is None and not after.LASTING:
            return errno.ENODEV
        self.state[after.key] = after
        return 0

    def _stands(self, key: Key) -> bool:
        return (
            key in self.state
            or key in self.foreign
            or (key[:2] == ("link", HOST) and key[2] in self.outside)
            or any(key in resource.provides for resource in self.state.values())
        )

    def _name_taken(self, resource: Resource) -> bool:
        if isinstance(resource, Sublink) and resource.namespace != HOST:
            here = self.state.get(("netns", resource.namespace))
            return isinstance(here, Namespace) and resource.name in self._links(here)
        if not isinstance(resource, Veth | Lent):
            return False
        (_, place, name), *_ = resource.provides
        home = self.state.get(("netns", place))
        return isinstance(home, Namespace) and name in self._links(home)

    def _pins(self) -> list[Namespace]:
        return [r for r in self.state.values() if isinstance(r, Namespace)]

    def _links(self, home: Namespace) -> frozenset[str]:
        """The interfaces in a namespace: ours, and those that were there."""
        ours = {
            r.provides[0][2]
            for r in self.state.values()
            if isinstance(r, Veth | Lent) and r.provides[0][1] == home.name
        }
        ours |= {
            r.name
            for r in self.state.values()
            if isinstance(r, Sublink) and r.namespace == home.name
        }
        theirs = (p.links for p in self.places.values() if p.identity == home.identity)
        return frozenset({"lo"}).union(ours, *theirs)

    def _fall(self, key: Key) -> None:
        resource = self.state.pop(key, None)
        if resource is None:
            return
        lost = {key, *resource.provides}
        for other in list(self.state.values()):
            if isinstance(resource, Namespace) and resource.identity and isinstance(other, Veth):
                if other.peer_namespace == resource.name:
                    # The namespace lives on with its end of the cable; we only lost sight of it.
                    self._fall(other.key)
                    loose = replace(other, peer_namespace="?", peer="?", mac="")
                    self.state[loose.key] = loose
                continue
            if isinstance(other, Veth | Vxlan) and _port(other) in lost:
                continue  # Linux unplugs the ports of a dying bridge and keeps them
            if not lost.isdisjoint(other.needs):
                self._fall(other.key)


def _port(link: Veth | Vxlan) -> Key:
    """The bridge that a link is plugged into."""
    return ("link", link.namespace, link.master)


def _namespace(resource: Resource) -> str:
    if isinstance(resource, Namespace):
        return resource.name
    return str(getattr(resource, "peer_namespace", getattr(resource, "namespace", HOST)))
