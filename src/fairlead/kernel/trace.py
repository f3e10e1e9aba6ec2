"""Packets that are followed: our table that asks for it, and what the kernel tells then.

::

    c_begin, c_sent           before all else: the packets that are meant get `meta nftrace`
    c_delivered, c_leaving    after all else: a probe ends here, others only show that they came

The tables are owned by the socket that made them (`flags owner`): nobody else can change
them, and they go with it, however this process ends. They hold no verdict but the end of a
probe, which is told from every other packet by what it carries. A probe ends before its
connection is confirmed and before it is put on any link but the host's own loopback: no
container, no program and no neighbour ever sees it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from fairlead.kernel.iptables import SAVE, Tables
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket
from fairlead.kernel.nft import HANDLES, STATELESS, Context, Lacking
from fairlead.kernel.rules import Rules
from fairlead.kernel.sights import NFNLGRP_NFTRACE, NFT_MSG_TRACE, sights
from fairlead.kernel.strike import handle, listed
from fairlead.kernel.watch import drain, listen
from fairlead.model.errors import Conflict, Failed, Unsupported
from fairlead.model.iptables import Chain
from fairlead.model.packet import DELIVERED, LEAVING, PROBE_TABLE, Sight

EARLY, LATE = -500, 2147483646
"""Before defragmentation and tracking; after all translation, before a connection is kept."""
BEGIN = {"inet": (("c_begin", "prerouting"), ("c_sent", "output")),
         "bridge": (("c_begin", "prerouting"),)}  # fmt: skip
END = {"inet": ((DELIVERED, "input"), (LEAVING, "postrouting")),
       "bridge": ((LEAVING, "postrouting"),)}  # fmt: skip


Meant = Mapping[tuple[str, str], Sequence[str]]
"""Matches of the packets to be followed, by family and chain."""


def everywhere(match: str) -> Meant:
    """Packets that match, whether they come in or are this host's own."""
    return {(family, chain): (match,) for family, hooks in BEGIN.items() for chain, _ in hooks}


def script(family: str, meant: Meant, ending: str = "") -> str:
    """A table that follows packets that are `meant`; those that match `ending` end their way."""
    lines = [f"create table {family} {PROBE_TABLE} {{ flags owner; }}"]
    for hooks, priority in ((BEGIN, EARLY), (END, LATE)):
        for chain, hook in hooks[family]:
            where = f"{family} {PROBE_TABLE} {chain}"
            what = f"type filter hook {hook} priority {priority}; policy accept;"
            lines.append(f"add chain {where} {{ {what} }}")
            if hooks is BEGIN:
                found = meant.get((family, chain), ())
                lines += [f"add rule {where} {match} meta nftrace set 1" for match in found]
            elif ending:
                # What comes back by the loopback is judged there once more, and ends then.
                far = "" if hook == "input" else 'oifname != "lo" '
                lines.append(f"add rule {where} {far}{ending} drop")
    return "".join(f"{line}\n" for line in lines)


class Trace:
    """What is told of packets that are followed, from `begin` to `end`."""

    def __init__(self, rules: Rules, netfilter: Socket) -> None:
        self._rules = rules
        self._netfilter = netfilter
        self._contexts: list[Context] = []
        self._socket: socket.socket | None = None
        self._tables: Tables | None = None
        self._chains: dict[tuple[str, str, str], dict[int, str]] = {}

    @property
    def socket(self) -> socket.socket:
        """What to wait on for reading."""
        assert self._socket is not None, "nothing is followed"
        return self._socket

    def begin(self, meant: Meant, ending: str = "") -> None:
        """Follow packets from now on. Raises Unsupported, Conflict."""
        try:
            self._open(meant, ending)
        except (Lacking, OSError) as error:
            self.end()
            raise Unsupported(
                f"packets cannot be followed: {error}",
                hint="it takes a kernel with nf_tables (CONFIG_NF_TABLES_INET); `fairlead "
                "explain` and `fairlead doctor` do without",
            ) from error
        except BaseException:
            self.end()
            raise

    def _open(self, meant: Meant, ending: str) -> None:
        self._socket = listen(NETLINK_NETFILTER, (NFNLGRP_NFTRACE,), (NFT_MSG_TRACE,))
        self._make("inet", meant, ending)
        if not self._rules.are_told_of():
            raise Unsupported(
                "packets cannot be followed through the older iptables",
                hint="`update-alternatives --set iptables /usr/sbin/iptables-nft` changes to the "
                "newer one; `fairlead daemon --firewall-backend nftables` needs neither",
            )
        try:
            self._make("bridge", meant, ending)
        except Failed:
            # A kernel that cannot judge frames has no rules for them that one could meet.
            return

    def _make(self, family: str, meant: Meant, ending: str) -> None:
        context = Context()
        self._contexts.append(context)
        try:
            with self._rules.generation.writing(1):
                context.run(script(family, meant, ending))
        except Failed as error:
            if "File exists" in error.message:
                raise Conflict(
                    "another fairlead of this host follows packets", hint="wait for it to end"
                ) from error
            raise

    def end(self) -> None:
        """Follow nothing any more."""
        for context in self._contexts:
            # With the context goes its socket, and with that the table.
            context.__exit__()
        self._contexts.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def read(self) -> list[Sight]:
        """Everything that was told since the last time, with the words of the rules."""
        found = [sight for data in drain(self.socket) for sight in sights(data)]
        return [replace(sight, rule=self._words(sight)) for sight in found]

    def _words(self, sight: Sight) -> str:
        if not sight.handle or sight.table == PROBE_TABLE:
            return ""
        where = (sight.family, sight.table, sight.chain)
        if sight.handle not in self._chains.get(where, {}):
            self._chains[where] = self._by_iptables(*where) or dict(self._by_nft(*where))
        return self._chains[where].get(sight.handle, f"rule {sight.handle}, which is gone")

    def _by_iptables(self, family: str, table: str, chain: str) -> dict[int, str]:
        """The rules of a chain in iptables' words, if it is one of its own."""
        if family not in SAVE:
            return {}
        self._tables = self._tables or self._rules.iptables.save()
        there = self._tables.get((family, table))
        rules = there.chains.get(chain, []) if there else []
        handles = [handle(row) for row in listed(self._netfilter, Chain(family, table, chain, ()))]
        # Somebody may write meanwhile.
        return dict(zip(handles, rules, strict=True)) if len(handles) == len(rules) else {}

    def _by_nft(self, family: str, table: str, chain: str) -> Iterator[tuple[int, str]]:
        with Context(HANDLES | STATELESS) as context:
            said = context.run(f"list chain {family} {table} {chain}")
        for line in said.splitlines():
            words, found, number = line.strip().rpartition(" # handle ")
            if found and number.isdigit():
                yield int(number), words
