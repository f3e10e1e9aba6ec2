"""Whose a rule is that a packet met, why it is there, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from fairlead.model.iptables import TABLES, Chain, Rule
from fairlead.model.nftables import NftChain, NftTable
from fairlead.model.packet import Sight
from fairlead.model.state import Key, State
from fairlead.model.world import World
from fairlead.plan import reasons
from fairlead.plan.explain import reason

JOIN = "put both on one network, `fairlead network connect NETWORK CONTAINER`"
PUBLISH = "publish the port, `-p 8080:80`, and ask at the host's address"
TODO = {
    "networks are closed to each other": f"{JOIN}; or {PUBLISH}",
    "the network is internal: nothing enters or leaves it": (
        f"{JOIN}; or make the network without --internal"
    ),
    "the network is internal: nothing enters it": f"{JOIN}; or make it without --internal",
    "the network is internal: nothing leaves it": f"{JOIN}; or make it without --internal",
    "what is not published is closed from outside": PUBLISH,
    "nobody but members on other hosts gets into the network": f"{JOIN}; or {PUBLISH}",
    "the host has a way into the network there, which is nobody else's": JOIN,
    "the host is no member of the network": (
        "make the network with -o fairlead.host_access=true; or publish the port, `-p 8080:80`"
    ),
    "a container's own address is closed from outside, published port or not": (
        "ask at the host's address, where the port is published"
    ),
    "a container's own address is closed from outside, published or not": (
        "ask at the host's address, where the port is published"
    ),
    "icc is off: containers of the network do not reach each other": (
        "make the network without com.docker.network.bridge.enable_icc=false"
    ),
    "containers of one network reach each other, unless icc is off": (
        "make the network without com.docker.network.bridge.enable_icc=false"
    ),
    "the port is published on the loopback, for this host alone": (
        "publish it at another address, `-p 8080:80`"
    ),
    "published on the loopback: for this host alone": "publish it at another address, `-p 8080:80`",
    "the port is published for the sources on the list": (
        "put the source on the list: `fairlead.publish_from`, or `--from` of the port"
    ),
    "the network leads to the destinations on the list": (
        "put the destination on the list: `-o fairlead.egress` when the network is made"
    ),
    reasons.STRANGERS: (
        "start the daemon with --ip-forward-no-drop, or accept them in a rule of yours"
    ),
    "what belongs to no connection would leave untranslated": (
        "begin the connection anew: the kernel has forgotten it, or never saw its beginning"
    ),
}
"""What helps against a rule that closes, by why it is there."""
ASK_EXPLAIN = "`fairlead explain` has each rule of a network, and why it is there"
PROGRAM = {"ip": "iptables", "ip6": "ip6tables"}


class Author(StrEnum):
    """Who wrote a rule."""

    OURS = "ours"
    YOURS = "yours"
    FOREIGN = "foreign"


class Rulebook:
    """The rules that we want, for look-ups by where a packet was seen."""

    def __init__(self, world: World, wanted: State, owners: Mapping[Key, str]) -> None:
        self._world = world
        self._wanted = wanted
        self._owners = owners
        self._tables = {(r.family, r.name) for r in wanted.values() if isinstance(r, NftTable)}
        self._chains = {
            (r.family, r.table, r.name): r.theirs for r in wanted.values() if isinstance(r, Chain)
        }
        self._rules = {
            (r.family, r.table, r.chain, r.spec) for r in wanted.values() if isinstance(r, Rule)
        }

    def author(self, sight: Sight) -> Author:
        """Whose the rule is."""
        where = (sight.family, sight.table, sight.chain)
        theirs = self._chains.get(where)
        if theirs is not None:
            return Author.YOURS if theirs else Author.OURS
        mine = (
            (sight.family, sight.table) in self._tables
            or (*where, sight.rule) in self._rules
            or (not sight.rule and ("policy", *where) in self._wanted)
        )
        return Author.OURS if mine else Author.FOREIGN

    def reason(self, sight: Sight) -> str:
        """Why a rule is there, as `explain` says it."""
        match self.author(sight):
            case Author.YOURS:
                return "fairlead only made the chain"
            case Author.FOREIGN:
                return "not fairlead's"
        return self._why(sight, own=True)

    def _why(self, sight: Sight, own: bool = False) -> str:
        """Why a rule of ours is there; `own`: with what only that network or port is for."""
        if not sight.rule:
            return reasons.STRANGERS
        if (sight.family, sight.table) not in self._tables:
            return reasons.of_iptables(f"{sight.table} {sight.chain}", sight.rule)
        key = ("nft-chain", sight.family, sight.table, sight.chain)
        chain = self._wanted.get(key)
        listed = own and sight.chain.startswith(("c_callers_", "c_egress_"))
        if listed and sight.rule == "drop" and isinstance(chain, NftChain):
            return reason(self._world, chain, self._owners.get(key, ""))
        return reasons.of_nftables(sight.chain, sight.rule)

    def todo(self, sight: Sight) -> str:
        """What to do about a rule, or a chain's policy, that closes."""
        if self.author(sight) is not Author.OURS:
            return _move(sight)
        return TODO.get(self._why(sight), ASK_EXPLAIN)


def _move(sight: Sight) -> str:
    """What to do about somebody else's rule."""
    if sight.family in PROGRAM and sight.table in TABLES:
        program = f"{PROGRAM[sight.family]} -t {sight.table}"
        if sight.rule:
            return f"accept such packets above it, or `{program} -D {sight.chain} {sight.rule}`"
        return f"accept such packets in a rule: `{program} -S {sight.chain}` shows those there are"
    shown = f"`nft -a list chain {sight.where}` shows it"
    if sight.rule:
        return f"accept such packets above it, in its own chain: {shown}"
    return f"accept such packets in the chain, which drops what it has no rule for: {shown}"
