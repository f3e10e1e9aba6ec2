"""observe: what in the kernel carries our mark, read afresh each time.

A cable has two ends in two namespaces, and tells of the other end only its index there
and a number for the namespace. So the near ends are gathered first, of the host and of
the namespaces of networks that span hosts; then each namespace is looked through for the
ends that belong to them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from fairlead.kernel import adoption, rtrows, tunnel, underlay
from fairlead.kernel.firewalld import Firewalld
from fairlead.kernel.iptables import ours
from fairlead.kernel.netlink import Socket
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.nft import redirected
from fairlead.kernel.rtrows import Link
from fairlead.kernel.rules import Rules
from fairlead.kernel.sysctl import read_sysctl
from fairlead.kernel.xfrm import Xfrm
from fairlead.model.iptables import Policy
from fairlead.model.marks import Marks
from fairlead.model.network import is_span
from fairlead.model.parent import KINDS
from fairlead.model.state import (
    HOST,
    Bridge,
    DnsRedirect,
    Key,
    Lent,
    Namespace,
    Resource,
    Scope,
    State,
    Sysctl,
    Veth,
    state,
)
from fairlead.model.zone import Member

BRIDGE_NAME = re.compile(r"br-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Near:
    """The near end of a cable of ours, and the bridge that it is plugged into."""

    namespace: str
    row: Link
    master: str


class Observer:
    """Looks through the host and the namespaces that we pinned."""

    def __init__(
        self,
        namespaces: Namespaces,
        host: Socket,
        marks: Marks,
        rules: Rules,
        xfrm: Xfrm,
        firewalld: Firewalld,
    ) -> None:
        self._namespaces = namespaces
        self._host = host
        self._marks = marks
        self._rules = rules
        self._xfrm = xfrm
        self._firewalld = firewalld

    def observe(self, scope: Scope) -> State:
        """All that is ours in a scope."""
        rows = rtrows.links(self._host)
        hosts = {row.index: row for row in rows}
        every = self._namespaces.names()
        spans = {name: self._links(name) for name in every if is_span(name)}
        cables = Cables(self._namespaces, self._marks.alias, {HOST: rows, **spans})
        found: list[Resource] = []
        with cables:
            if scope.namespaces is None or HOST in scope.namespaces:
                found += self._of_host(rows, cables, scope.rules)
            for name in every:
                if scope.namespaces is not None and name not in scope.namespaces:
                    continue
                if name in spans:
                    found += self._of_span(name, spans[name])
                else:
                    found += self._of_sandbox(name, cables, hosts)
            if scope.namespaces is None:
                found += cables.loose()
        found += [s for key in sorted(scope.settings) if (s := self._setting(key)) is not None]
        return state(found)

    def _links(self, namespace: str) -> list[Link]:
        with self._namespaces.entered(namespace), Socket() as netlink:
            return rtrows.links(netlink)

    def _of_host(self, rows: list[Link], cables: Cables, rules: bool) -> Iterator[Resource]:
        mine = [row for row in rows if row.alias == self._marks.alias]
        names = {row.index: row.name for row in mine}
        for row in mine:
            if row.kind == "bridge":
                yield Bridge(HOST, row.name, row.mac, row.mtu, row.up)
        yield from (cable for _, cable in cables.ending(HOST, rows, self._host))
        hosts = {row.index: row for row in rows}
        laid = underlay.resources(HOST, rows, hosts, None, self._marks)
        yield from (item for _, item in laid)
        # Another fairlead on this host marks its addresses as we do, but not its links.
        everywhere = {row.index: row.name for row in rows if not self._marks.of_another(row.alias)}
        yield from self._upon(self._host, HOST, everywhere)
        present = {row.name for row in rows}

        def owns(bridge: str) -> bool:
            return bridge in names.values() or (
                bridge not in present and bool(BRIDGE_NAME.fullmatch(bridge))
            )

        if self._firewalld.judges():
            zones = self._firewalld.zones()
            yield from (Member(link, zone) for link, zone in zones.items() if owns(link))
        if rules:
            self._rules.generation.looking()
            yield from ours(self._rules.iptables.save(), self._marks, owns)
            yield from self._rules.nftables.observe().values()
            yield from self._xfrm.observe()

    def _of_span(self, name: str, rows: list[Link]) -> Iterator[Resource]:
        """The namespace of a network that spans hosts is ours alone, with all that is in it."""
        yield Namespace(name)
        names = {row.index: row.name for row in rows}
        devices = {row.index: row.name for row in rows if row.kind == tunnel.KIND}
        for row in rows:
            if row.kind == "bridge":
                yield Bridge(name, row.name, row.mac, row.mtu, row.up)
            elif row.kind == tunnel.KIND:
                yield tunnel.vxlan(name, row, names.get(row.master, ""))
        with self._namespaces.entered(name), Socket() as netlink:
            yield from self._upon(netlink, name, names)
            if devices:
                yield from tunnel.fdbs(netlink, name, devices)

    def _of_sandbox(self, name: str, cables: Cables, hosts: dict[int, Link]) -> Iterator[Resource]:
        """What is in a sandbox.

        An interface that waits to be reaped is gone, and so is what stands on it.
        """
        yield Namespace(name, adoption.identity_of(self._namespaces, name))
        with self._namespaces.entered(name), Socket() as netlink:
            # Other links here may carry our mark and yet be another fairlead's.
            names: dict[int, str] = {}
            rows = rtrows.links(netlink)
            for row, cable in cables.ending(name, rows, netlink):
                names[row.index] = row.name
                yield cable
            for row in rows:
                if origin := self._marks.lent_name(row.alias):
                    names[row.index] = row.name
                    yield Lent(origin, name, row.name, row.mac, row.up)
            if any(row.kind in KINDS for row in rows):
                space = self._number_of_host(netlink)
                for row, link in underlay.resources(name, rows, hosts, space, self._marks):
                    names[row.index] = row.name
                    yield link
            yield from self._upon(netlink, name, names)
            if redirected():
                yield DnsRedirect(name)

    def _number_of_host(self, netlink: Socket) -> int | None:
        fd = self._namespaces.open(HOST)
        try:
            return rtrows.space_number(netlink, fd)
        finally:
            os.close(fd)

    def _upon(self, netlink: Socket, namespace: str, names: dict[int, str]) -> Iterator[Resource]:
        """What of ours stands on links."""
        yield from rtrows.addresses(netlink, namespace, names)
        yield from (r.route for r in rtrows.routes(netlink, namespace, names) if r.ours)
        yield from rtrows.neighbours(netlink, namespace, names)
        if namespace == HOST:
            yield from rtrows.proxies(netlink, namespace, names)
        else:
            yield from rtrows.lookups(netlink, namespace)

    def _setting(self, key: Key) -> Resource | None:
        if key[0] == "sysctl":
            _, namespace, path, link = key
            try:
                with self._namespaces.entered(namespace):
                    value = read_sysctl(path)
            except FileNotFoundError:
                return None
            return Sysctl(namespace, path, value, link)
        _, family, table, chain = key
        found = self._rules.iptables.save().get((family, table))
        verdict = found.policies.get(chain, "ACCEPT") if found else "ACCEPT"
        return Policy(family, table, chain, verdict)


class Cables:
    """The near ends of our cables by namespace and index; those that are matched are taken out."""

    def __init__(self, namespaces: Namespaces, alias: str, rows: dict[str, list[Link]]) -> None:
        self._namespaces = namespaces
        self._near: dict[str, dict[int, Near]] = {}
        for place, links in rows.items():
            masters = {row.index: row.name for row in links}
            self._near[place] = {
                row.index: Near(place, row, masters.get(row.master, ""))
                for row in links
                if row.alias == alias and row.kind == "veth"
            }
        self._stack = ExitStack()
        self._files: dict[str, int] = {}

    def __enter__(self) -> Cables:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ending(
        self, namespace: str, rows: Iterable[Link], netlink: Socket
    ) -> Iterator[tuple[Link, Veth]]:
        """The cables that end in a namespace, whose links these are."""
        for row in rows:
            if row.kind == "veth" and row.space is not None:
                near = self._near_of(namespace, row, netlink)
                if near is not None:
                    del self._near[near.namespace][near.row.index]
                    yield row, _cable(near, namespace, row)

    def loose(self) -> Iterator[Veth]:
        """Cables of ours that end in no namespace that we know."""
        for place, ends in self._near.items():
            for near in ends.values():
                row = near.row
                yield Veth(
                    row.name, near.master, "?", "?", "", row.mtu, row.up, namespace=place
                )  # fmt: skip

    def _near_of(self, namespace: str, row: Link, netlink: Socket) -> Near | None:
        found = [
            ends[row.far]
            for place, ends in self._near.items()
            if place != namespace and row.far in ends and ends[row.far].row.far == row.index
        ]
        if len(self._near) > 1:
            # Indices are per namespace: others may have the same two by chance.
            spaces = {n.namespace: self._number(netlink, n.namespace) for n in found}
            found = [near for near in found if spaces[near.namespace] == row.space]
        return next(iter(found), None)

    def _number(self, netlink: Socket, place: str) -> int | None:
        if place not in self._files:
            self._files[place] = self._namespaces.open(place)
            self._stack.callback(os.close, self._files[place])
        return rtrows.space_number(netlink, self._files[place])


def _cable(near: Near, namespace: str, far: Link) -> Veth:
    row = near.row
    return Veth(
        row.name,
        near.master,
        namespace,
        far.name,
        far.mac,
        row.mtu if row.mtu == far.mtu else 0,
        row.up and far.up,
        row.hairpin,
        near.namespace,
    )
