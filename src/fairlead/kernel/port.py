"""The port through which the controller meets a kernel, real or fake."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from fairlead.kernel.tracing import Tracing
from fairlead.model.facts import Exam, HostLink, Vitals
from fairlead.model.ground import Ground
from fairlead.model.state import IPAddress, IPNetwork, Key, Scope, State
from fairlead.model.step import Announce, Step


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace as it is found.

    `identity` is its own for ever, `links` are the names of its interfaces, `routed` the
    IP versions for which it has a default route, `pin` the name under which we have
    pinned it already, if we have; `served`: a fairlead answers for names in it.
    """

    identity: str
    links: frozenset[str] = frozenset({"lo"})
    routed: tuple[int, ...] = ()
    pin: str = ""
    served: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the host already reaches by routes that are not ours, and the MTU of its way out.

    The MTU is in bytes; 0 when there is no default route.
    """

    routes: tuple[IPNetwork, ...] = ()
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class Footing:
    """Which of some links the host has, which of those are ours, which kinds it cannot make."""

    present: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()


class Kernel(Protocol):
    """What can be seen and changed. Every call blocks; one thread makes them all."""

    def observe(self, scope: Scope) -> State:
        """What carries our mark, read afresh. Remembers nothing."""

    def apply(self, steps: Sequence[Step]) -> None:
        """Take steps in order. Removing what is gone already is no error.

        Raises Refused at the first step that the kernel will not take; it names
        the steps that were taken.
        """

    def strangers(self, keys: Collection[Key]) -> tuple[Key, ...]:
        """Those of the keys under which something exists that is not ours."""

    def zoned(self) -> bool:
        """Whether firewalld judges what passes this host, by zones."""

    def surroundings(self) -> Surroundings:
        """The network that the host is in."""

    def vitals(self, rules: bool) -> Vitals:
        """What tells damage from a hand edit; with `rules` also of the firewall."""

    def exam(self) -> Exam:
        """What a doctor asks."""

    def tracing(self) -> Tracing:
        """What follows a packet. Raises Unsupported."""

    def touched(self) -> bool:
        """Whether somebody else may have changed the rules since they were settled."""

    def settle(self, intact: bool) -> None:
        """The rules observed last have been judged; `intact`: and they are as planned.

        Until somebody else changes them, steps are taken as planned, without a look.
        """

    def reap(self) -> None:
        """Finish off what `apply` left to die because the kernel is slow to delete it."""

    def reaper(self) -> Callable[[], None]:
        """The same in two parts: this one, and what it returns, which waits on any thread.

        What it returns has to come to its end before the next is called.
        """

    def is_bridge(self, name: str) -> bool | None:
        """Whether an interface of the host is a bridge; None when there is no such interface."""

    def host_link(self, name: str) -> HostLink | None:
        """An interface of the host that somebody wants moved; None when there is none."""

    def footing(self, names: Collection[str], kinds: Collection[str] = ()) -> Footing:
        """What the host has of links by these names, and which of these kinds it cannot make."""

    def ground(self, own: IPAddress, hosts: Collection[IPAddress]) -> Ground:
        """Which hosts share a segment with this one, whose address there is `own`."""

    def announce(self, items: Collection[Announce]) -> tuple[Announce, ...]:
        """Let links say once who has their addresses; those come back whom nobody hears yet.

        What is gone by now is not spoken of. Raises OSError.
        """

    def look(self, where: str) -> Place:
        """The namespace at an absolute path, or the one that is pinned under a name.

        Raises NotFound when nothing is there, Invalid when it is no network namespace.
        """

    def check_encryption(self, version: int) -> None:
        """Whether networks can be encrypted over hosts' IPv4 or IPv6. Raises CannotEncrypt."""

    def associations(self) -> State:
        """Ours of IPsec alone, quickly told."""

    def resolver_sockets(self, namespace: str) -> tuple[socket.socket, socket.socket, int]:
        """UDP, listening TCP and the namespace itself, for names asked for in there."""

    def reserve(
        self, protocol: str, address: IPAddress, port: int, deaf: bool = False
    ) -> socket.socket:
        """A socket that holds a port of the host. Raises PortTaken.

        A deaf one hears nobody until it is told to (`sockets.hear`): it may be there before the
        rules that say who may come.
        """

    def close(self) -> None:
        """Let go of descriptors; change nothing."""
