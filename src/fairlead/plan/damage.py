"""damage: what of the host is broken and comes back, and what is somebody's will and stays.

Pure. The rule of the house:

- What is gone or emptied is damage: a chain, a jump, a table, a link, an
  address or a route of the host, a setting.
- A rule that a person put into, took out of or changed in a chain that stands
  is their will. It stays until a repair that is asked for, or a restart.
- The inside of a sandbox is its container's own: who may change addresses and
  routes in there (a VPN does) is not put right behind its back. The cable and
  the way to the resolver come back.
- The namespace of a network that spans hosts is nobody's but ours: all of it
  comes back.

`target` says what the host should be after mending, so that ``diff(target,
have)`` has the steps. It never removes what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fairlead.model.facts import LinkFact, Vitals
from fairlead.model.iptables import Chain, Rule
from fairlead.model.lookup import Lookup
from fairlead.model.network import is_span
from fairlead.model.nftables import NftElement
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Key,
    Lent,
    Namespace,
    Neighbour,
    Rank,
    Resource,
    Route,
    State,
    Sysctl,
    Veth,
    changed_fields,
)
from fairlead.model.step import Step
from fairlead.model.underlay import Sublink
from fairlead.model.xfrm import XfrmBlock, XfrmDemand, XfrmPolicy, XfrmState
from fairlead.model.zone import Member

Standing = Address | Route | Lookup | Neighbour | Sysctl
"""What stands on a link in a sandbox."""
RULES = frozenset({Rank.TABLE, Rank.SET, Rank.ELEMENT, Rank.CHAIN, Rank.RULE, Rank.POLICY})


def is_rule(resource: Resource) -> bool:
    """Whether it is of the host's firewall."""
    return resource.RANK in RULES and getattr(resource, "namespace", HOST) == HOST


def target(want: State, have: State, vitals: Vitals) -> State:
    """What is there, with what is damaged as it is wanted."""
    found = dict(have)
    lost = (r.name for r in want.values() if isinstance(r, Namespace) and r.key not in have)
    gone = {name for name in lost if not is_span(name)}
    wounded = {_table(r) for r in want.values() if _is_wound(r, have.get(r.key), want)}
    for key, wanted in want.items():
        present = have.get(key)
        if present == wanted or _inside(wanted) in gone:
            continue
        if present is None:
            if _is_missed(wanted, want, have, vitals, wounded):
                found[key] = wanted
        elif _is_broken(wanted, present, vitals.links):
            found[key] = wanted
    found.update({rule.key: rule for rule in _placed(want, have, found)})
    return found


def unrooted(want: State, have: State, vitals: Vitals) -> tuple[Step, ...]:
    """Steps for addresses of the host that stand, but whose way to their subnet is gone.

    The kernel makes that route with the address and with nothing else.
    """
    steps: list[Step] = []
    for key, wanted in want.items():
        if not isinstance(wanted, Address) or wanted.namespace or have.get(key) != wanted:
            continue
        link = vitals.links.get(wanted.link)
        net = wanted.address.network
        # A full-length prefix has no such route, and a link that is down loses its own.
        ours = link is not None and link.up and net.num_addresses > 1
        if ours and (net, wanted.link) not in vitals.connected:
            steps += [Step(wanted, None), Step(None, wanted)]
    return tuple(steps)


def suspects(want: Iterable[Veth], links: Mapping[str, LinkFact]) -> frozenset[str]:
    """The sandboxes whose cables are not as they should be, seen from the host."""
    near = (v for v in want if not v.namespace)
    return frozenset(v.peer_namespace for v in near if is_cut(v, links.get(v.name)))


def is_cut(wanted: Veth, near: LinkFact | None) -> bool:
    """Whether the near end of a cable is gone, down, unplugged or of another size."""
    if near is None:
        return True
    return (near.up, near.master, near.mtu) != (wanted.up, wanted.master, wanted.mtu)


def _table(resource: Resource) -> tuple[str, str]:
    return (str(getattr(resource, "family", "")), str(getattr(resource, "table", "")))


def _is_wound(wanted: Resource, present: Resource | None, want: State) -> bool:
    """Whether it tells that somebody emptied the table, rather than edited it."""
    if not is_rule(wanted):
        return False
    if isinstance(wanted, Rule):
        return present is None and _is_jump(wanted, want)
    return present is None or _is_emptied(wanted, present)


def _is_jump(rule: Rule, want: State) -> bool:
    name = rule.spec.rpartition("-j ")[2]
    return ("chain", rule.family, rule.table, name) in want


def _is_emptied(wanted: Resource, present: Resource) -> bool:
    return any(
        getattr(wanted, name, ()) and not getattr(present, name, ())
        for name in changed_fields(present, wanted)
        if isinstance(getattr(wanted, name, None), tuple | frozenset | Mapping)
    )


def _is_missed(
    wanted: Resource,
    want: State,
    have: State,
    vitals: Vitals,
    wounded: set[tuple[str, str]],
) -> bool:
    """Whether something that is not there was lost, and not taken away."""
    if isinstance(wanted, Namespace):
        # Another one of that name would not be the one that the container is in.
        return is_span(wanted.name)
    if isinstance(wanted, Lent):
        # Whoever made it took it away: only they can bring it back.
        return False
    if isinstance(wanted, NftElement):
        # One that a person took out is their will; a set without any was emptied.
        place = _set(wanted)
        return not any(isinstance(r, NftElement) and _set(r) == place for r in have.values())
    if isinstance(wanted, Rule):
        emptied = not vitals.sizes.get((wanted.family, wanted.table, wanted.chain))
        return emptied or _table(wanted) in wounded
    if isinstance(wanted, Standing) and not _ours(wanted):
        return not _stands(wanted, want, have)
    return True


def _set(element: NftElement) -> tuple[str, str, str]:
    return element.family, element.table, element.set


def _stands(wanted: Standing, want: State, have: State) -> bool:
    """Whether the interface in the sandbox on which it belongs is there as it was made."""
    place = ("link", wanted.namespace, wanted.link)
    for cable in want.values():
        if isinstance(cable, Lent) and place in cable.provides:
            # With it gone there is nothing to put this on; otherwise it is the container's own.
            return True
        if isinstance(cable, Veth | Sublink) and place in cable.provides:
            present = have.get(cable.key)
            return present is not None and changed_fields(present, cable) <= cable.IN_PLACE
    return True


def _is_broken(wanted: Resource, present: Resource, links: Mapping[str, LinkFact]) -> bool:
    """Whether something that is there, but not as it should be, is damage."""
    if isinstance(wanted, Veth) and not wanted.namespace:
        return is_cut(wanted, links.get(wanted.name))
    if isinstance(wanted, Veth) and isinstance(present, Veth):
        return bool(changed_fields(present, wanted) & {"up", "master", "mtu"})
    if isinstance(wanted, XfrmState | XfrmPolicy | XfrmBlock | XfrmDemand):
        return True
    if isinstance(wanted, Rule | Member):
        # Who puts a bridge into another zone wants it there.
        return False
    if isinstance(wanted, Chain) or (is_rule(wanted) and wanted.RANK != Rank.POLICY):
        return _is_emptied(wanted, present)
    if isinstance(wanted, Bridge):
        return True
    return _ours(wanted)


def _ours(resource: Resource) -> bool:
    """Whether it is where nobody but us has business: on the host, or in a network's namespace."""
    where = _inside(resource)
    return where == HOST or is_span(where)


def _inside(resource: Resource) -> str:
    where = getattr(resource, "peer_namespace", getattr(resource, "namespace", HOST))
    return str(where)


def _placed(want: State, have: State, found: Mapping[Key, Resource]) -> Iterable[Rule]:
    """The rules that come back, each next to those of ours that stand.

    What strangers put above ours stays above: a place counts from there.
    """
    chains: dict[tuple[str, str, str], list[Rule]] = {}
    for rule in want.values():
        if isinstance(rule, Rule) and rule.place and rule.key in found:
            chains.setdefault((rule.family, rule.table, rule.chain), []).append(rule)
    for rules in chains.values():
        yield from _beside(sorted(rules, key=lambda r: r.place), have)


def _beside(rules: list[Rule], have: State) -> Iterable[Rule]:
    places: dict[Key, int] = {}
    for rule in rules:
        present = have.get(rule.key)
        if isinstance(present, Rule):
            places[rule.key] = present.place
    for index, rule in enumerate(rules):
        if rule.key in places:
            continue
        before = [places[r.key] for r in rules[:index] if r.key in places]
        after = [places[r.key] for r in rules[index:] if r.key in places]
        place = before[-1] + 1 if before else after[0] if after else rule.place
        places = {key: p + (p >= place) for key, p in places.items()}
        places[rule.key] = place
        yield replace(rule, place=place)
