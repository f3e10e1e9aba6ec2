"""undertaker: what the kernel is slow to delete waits, and goes with others in one go.

Bridges and cables of sandboxes that go are only marked when they are cut off: they are a
group, which is deleted as one. Flows that are to be forgotten wait with them, because the
kernel's table of flows is long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from fairlead.kernel import conntrack, rtnetlink, rtrows
from fairlead.kernel.netlink import Socket
from fairlead.kernel.netns import Namespaces
from fairlead.model.marks import Marks
from fairlead.model.network import is_span
from fairlead.model.state import HOST, IPAddress
from fairlead.model.step import ForgetFlows


class Undertaker:
    """What waits on one host. All calls on the kernel thread, but for what `reaper` returns."""

    def __init__(
        self, namespaces: Namespaces, host: Socket, netfilter: Socket, marks: Marks
    ) -> None:
        self._namespaces = namespaces
        self._host = host
        self._netfilter = netfilter
        self._marks = marks
        self._own = Socket()
        self._dying = False
        self._graves: set[str] = set()
        self._swept = False
        self._forgotten: set[ForgetFlows] = set()

    def close(self) -> None:
        self._own.close()

    def expect(self) -> None:
        """Links of the host are about to be marked."""
        self._dying = True

    def dig(self, places: Iterable[str]) -> None:
        """In these namespaces links are about to be marked."""
        self._graves.update(places)
        self._graves.discard(HOST)

    def forget(self, flows: Iterable[ForgetFlows], arrived: Collection[IPAddress]) -> None:
        """Flows are to be forgotten, at the latest when somebody comes to their address."""
        if any(waiting.address in arrived for waiting in self._forgotten):
            self._forget_now()
        self._forgotten.update(flows)

    def reap(self) -> None:
        """Finish off all that waits.

        The first time also what an earlier daemon was making when it was killed.
        """
        self._sweep()
        self._bury(self._host)
        self._dying = False
        self._reap_rest()

    def reaper(self) -> Callable[[], None]:
        """The host's links on a socket of their own: others are made while these go."""
        self._sweep()
        self._reap_rest()
        if not self._dying:
            return lambda: None
        self._dying = False
        return self._delete_dying

    def _delete_dying(self) -> None:
        try:
            self._own.batch([rtnetlink.delete_group(self._marks.group)])
        except BaseException:
            # The next time again.
            self._dying = True
            raise

    def _sweep(self) -> None:
        if not self._swept:
            self._namespaces.sweep()
            self._graves = {name for name in self._namespaces.names() if is_span(name)}
            self._dying = rtrows.marked(self._host, self._marks.dying)
            self._swept = True

    def _reap_rest(self) -> None:
        while self._graves:
            try:
                with self._namespaces.entered(self._graves.pop()), Socket() as netlink:
                    self._bury(netlink)
            except FileNotFoundError:
                # The namespace went, and its links with it.
                continue
        self._forget_now()

    def _bury(self, netlink: Socket) -> None:
        if rtrows.marked(netlink, self._marks.dying):
            netlink.batch([rtnetlink.delete_group(self._marks.group)])

    def _forget_now(self) -> None:
        if self._forgotten:
            conntrack.forget(self._netfilter, self._forgotten)
            self._forgotten.clear()
