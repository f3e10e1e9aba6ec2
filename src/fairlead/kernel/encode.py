"""Steps as netlink messages, and what the kernel's answers to them mean.

An encoder lives for one batch: it asks for the index of each link once, never for
all links, of which a host has thousands, and holds the descriptors of namespaces
that messages refer to until the batch is sent.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Collection, Sequence

from fairlead.kernel import rtnetlink, tunnel, underlay
from fairlead.kernel.errors import Refused
from fairlead.kernel.netlink import Answer, Message, Socket
from fairlead.kernel.netns import Namespaces
from fairlead.model.lookup import Lookup
from fairlead.model.marks import Marks
from fairlead.model.sandbox import ADOPTED
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Key,
    Neighbour,
    Proxy,
    Resource,
    Route,
    Veth,
    changed_fields,
)
from fairlead.model.step import Step
from fairlead.model.tunnel import Fdb, Vxlan
from fairlead.model.underlay import Dummy, Sublink, Underlay

GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EINVAL})
"""What the kernel answers to the removal of something that is not there."""


class Encoder:
    """Steps as messages. Holds the descriptors that a batch refers to until it is sent."""

    def __init__(self, namespaces: Namespaces, marks: Marks, condemned: Collection[Key]) -> None:
        self._namespaces = namespaces
        self._marks = marks
        self._condemned = condemned
        self._indices: dict[str, int] = {}
        self._files: dict[str, int] = {}

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._files.values():
            os.close(fd)

    def messages(self, step: Step) -> list[Message]:
        before, after = step.before, step.after
        if after is None:
            return self._removal(step)
        if before is not None:
            return self._change(step, changed_fields(before, after))
        if isinstance(after, Bridge):
            return rtnetlink.new_bridge(after, self._marks.alias)
        if isinstance(after, Underlay):
            # All of it is done in `far_end`: in the namespace it is finished or gone.
            return []
        if isinstance(after, Vxlan):
            return tunnel.new_vxlan(after, self._namespace(step, after.namespace))
        if isinstance(after, Veth):
            master = self._index(step, after.master) if after.master else 0
            fd = self._namespace(step, after.peer_namespace)
            made = rtnetlink.new_veth(after, master, fd, self._marks.alias)
            if after.hairpin:
                made.append(rtnetlink.set_hairpin(after.name, on=True))
            return made
        return self._row(step, after)

    def _removal(self, step: Step) -> list[Message]:
        gone = step.resource
        if isinstance(gone, Bridge | Veth) and gone.key in self._condemned:
            return [rtnetlink.condemn(gone.name, self._marks.dying, self._marks.group)]
        if isinstance(gone, Bridge | Veth | Vxlan | Underlay):
            return [rtnetlink.delete_link(gone.name)]
        try:
            return self._row(step, gone, delete=True)
        except Refused as refused:
            if refused.code == errno.ENODEV:
                return []
            raise

    def _change(self, step: Step, names: frozenset[str]) -> list[Message]:
        after = step.after
        if isinstance(after, Neighbour | Fdb):
            return self._row(step, after)
        if isinstance(after, Underlay):
            return [underlay.ready(after, self._marks, self._mtu(step, after))]
        assert isinstance(after, Bridge | Veth | Vxlan)
        if isinstance(after, Vxlan):
            return self._plug(step, after)
        values: dict[str, int | str] = {}
        if "mtu" in names:
            values["mtu"] = after.mtu
        if isinstance(after, Bridge):
            if "mac" in names:
                values["mac"] = after.mac
        elif "master" in names:
            values["master"] = self._index(step, after.master) if after.master else 0
        up = after.up if "up" in names else None
        messages = [rtnetlink.set_link(after.name, up=up, **values)]
        if isinstance(after, Veth) and (after.hairpin or "hairpin" in names):
            # Also when only the bridge is another: a port is born without it.
            messages.append(rtnetlink.set_hairpin(after.name, after.hairpin))
        return messages

    def far_end(self, step: Step) -> None:
        """What is left to do at the other end of a cable, when the near end is done."""
        gone, veth = step.before, step.after
        if isinstance(veth, Vxlan) and gone is None:
            self._settle(step, veth)
        if isinstance(veth, Underlay) and gone is None:
            self._lay(step, veth)
        if isinstance(gone, Veth) and veth is None:
            lives = ("netns", gone.peer_namespace) not in self._condemned
            if lives and gone.key in self._condemned:
                self._retire(gone)
        if not isinstance(veth, Veth):
            return
        names = changed_fields(step.before, veth) if step.before else frozenset({"up"})
        if not names & {"mac", "mtu", "up"}:
            return
        values: dict[str, int | str] = {}
        if "mtu" in names:
            values["mtu"] = veth.mtu
        if "mac" in names:
            values["mac"] = veth.mac
        up = veth.up if "up" in names else None
        ready = rtnetlink.set_link(veth.peer, up=up, **values)
        if step.before is None and veth.peer_namespace == HOST:
            # Whoever looks through the host's links is to know it for one of ours.
            ready = rtnetlink.mark(veth.peer, self._marks.far, veth.up)
        with self._namespaces.entered(veth.peer_namespace), Socket() as netlink:
            answer = netlink.batch([ready])[0]
        if answer.code:
            raise Refused(step, answer.code, (), answer.detail)

    def _lay(self, step: Step, item: Underlay) -> None:
        """Make a link on a parent of the host, or such a parent, finish it where it is."""
        parent, fd, where = 0, 0, HOST
        if not isinstance(item, Dummy):
            parent = self._parent(step, item.parent)
        if isinstance(item, Sublink):
            where, fd = item.namespace, self._namespace(step, item.namespace)
            if where.startswith(f"{ADOPTED}/"):
                self._clear(item)
        draft = underlay.draft(item)
        with Socket() as netlink:
            answer = netlink.batch([underlay.new(draft, parent, fd, self._marks.group)])[0]
        if not answer.code:
            with self._namespaces.entered(where), Socket() as netlink:
                answer = underlay.finish(netlink, item, draft.name, self._marks)
        if answer.code:
            raise Refused(step, answer.code, (), answer.detail)

    def _parent(self, step: Step, name: str) -> int:
        try:
            return self._index(step, name)
        except Refused as refused:
            words = f"the requested parent interface {name} was not found on this host"
            raise Refused(step, refused.code, (), words) from refused

    def _clear(self, item: Sublink) -> None:
        """In a namespace of others, that we lost sight of, what we made may have lived on."""
        with self._namespaces.entered(item.namespace), Socket() as netlink:
            ours = underlay.footing(netlink, self._marks, (item.name,), ()).ours
            if ours:
                netlink.batch([rtnetlink.delete_link(item.name)])

    def _mtu(self, step: Step, item: Underlay) -> int:
        """The MTU, in bytes, that a link is to have; 0 for a parent of ours, which has its own."""
        if not isinstance(item, Sublink) or item.mtu:
            return getattr(item, "mtu", 0)
        try:
            with self._namespaces.entered(HOST):
                return underlay.mtu_of(item.parent)
        except OSError as error:
            raise Refused(step, error.errno or errno.ENODEV) from error

    def _plug(self, step: Step, item: Vxlan) -> list[Message]:
        master = self._index(step, item.master)
        return tunnel.plug(item, master, self._marks.alias)

    def _settle(self, step: Step, item: Vxlan) -> None:
        """Plug a device in, which was made from the host, where its bridge is."""
        self._indices.clear()
        with self._namespaces.entered(item.namespace), Socket() as netlink:
            made, master = self._index(step, tunnel.draft(item)), self._index(step, item.master)
            answers = netlink.batch(tunnel.finish(item, made, master, self._marks.alias))
        self._indices.clear()
        for answer in answers:
            if answer.code:
                raise Refused(step, answer.code, (), answer.detail)

    def _retire(self, veth: Veth) -> None:
        """Nobody in the sandbox is to see the interface any more, nor wait for its name."""
        try:
            with self._namespaces.entered(veth.peer_namespace), Socket() as netlink:
                index = socket.if_nametoindex(veth.peer)
                netlink.batch([rtnetlink.retire(index)])
        except OSError as error:
            # The sandbox or its end of the cable is gone already; of the latter
            # if_nametoindex tells without an errno.
            if error.errno is not None and error.errno not in GONE:
                raise

    def _row(self, step: Step, item: Resource, delete: bool = False) -> list[Message]:
        if isinstance(item, Lookup):
            return [rtnetlink.lookup(item, delete)]
        assert isinstance(item, Address | Route | Neighbour | Proxy | Fdb)
        index = self._index(step, item.link)
        if isinstance(item, Fdb):
            return tunnel.fdb(item, index, delete)
        if isinstance(item, Address):
            return [rtnetlink.address(item, index, delete)]
        if isinstance(item, Route):
            return [rtnetlink.route(item, index, delete)]
        if isinstance(item, Proxy):
            return [rtnetlink.proxy(item, index, delete)]
        return [rtnetlink.neighbour(item, index, delete)]

    def _index(self, step: Step, name: str) -> int:
        if name not in self._indices:
            try:
                # The thread is where the socket is. This way nobody waits for RTNL.
                self._indices[name] = socket.if_nametoindex(name)
            except OSError as error:
                raise Refused(step, errno.ENODEV) from error
        return self._indices[name]

    def _namespace(self, step: Step, name: str) -> int:
        if name not in self._files:
            try:
                self._files[name] = self._namespaces.open(name)
            except FileNotFoundError as error:
                raise Refused(step, errno.ENODEV) from error
        return self._files[name]


def judge(
    batch: Sequence[Step],
    messages: Sequence[tuple[Step, Message]],
    answers: Sequence[Answer],
    done: Sequence[Step],
) -> None:
    """Raise Refused for the first step that was not taken, with all that were."""
    bad: dict[int, tuple[Step, Answer]] = {}
    for (step, _), answer in zip(messages, answers, strict=True):
        harmless = step.after is None and answer.code in GONE
        if answer.code and not harmless:
            bad.setdefault(id(step), (step, answer))
    if bad:
        taken = tuple(step for step in batch if id(step) not in bad)
        step, answer = next(iter(bad.values()))
        raise Refused(step, answer.code, (*done, *taken), answer.detail)
