"""doctor: facts in, findings out. Pure.

A finding says what is, why it matters and what to do. Errors and warnings are
wrong; notes are worth knowing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fairlead.model.callers import callers
from fairlead.model.facts import BaseChain, Exam
from fairlead.model.iptables import TABLES, Rule
from fairlead.model.prefixes import PUBLISH_FROM
from fairlead.model.state import IPNetwork, Key, State
from fairlead.model.step import Step
from fairlead.model.world import World
from fairlead.model.zone import ZONE, Member
from fairlead.plan import reasons
from fairlead.plan.diff import diff
from fairlead.plan.explain import describe, plan_lines, reason
from fairlead.plan.worry import overlaps

NEAR = 0.9
"""Of a limit: from here on it is worth a word."""
BRIDGE_PORTS = 1024
OVERLAP = "the host's route to"
FIREWALLD = "firewalld"
"""The name of the program, and of its table of nftables."""
FIX = "run `fairlead doctor --fix`, or leave it if it is meant"
FINAL = re.compile(
    r"(?:-j |\b)(ACCEPT|DROP|REJECT|DNAT|REDIRECT)\b|\b(drop|reject|dnat|redirect)\b"
)
PORTS = re.compile(r"--dports? ([\d,:]+)")


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    kind: str
    what: str
    why: str
    todo: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """All that is known: what is wanted and by whom, what is there, and the host around it."""

    world: World
    want: State
    have: State
    owners: Mapping[Key, str] = field(default_factory=dict)
    exam: Exam = field(default_factory=Exam)
    occupied: tuple[IPNetwork, ...] = ()
    warnings: tuple[str, ...] = ()
    dataplane: bool = True
    store: str = ""
    """What is wrong with it; empty: nothing."""


def diagnose(patient: Patient) -> list[Finding]:
    """Everything that is to be said, worst first."""
    found = [
        *_drift(patient),
        *_services(patient),
        *_shadows(patient),
        *_subnets(patient),
        *_settings(patient),
        *_programs(patient.exam),
        *_limits(patient),
        *_names(patient.world),
        *_ports(patient.world),
    ]
    order = list(Severity)
    return sorted(found, key=lambda finding: order.index(finding.severity))


def is_sick(findings: Iterable[Finding]) -> bool:
    """Whether something is wrong."""
    return any(finding.severity != Severity.NOTE for finding in findings)


def _drift(patient: Patient) -> Iterator[Finding]:
    for step in _whole(diff(patient.want, patient.have)):
        owner = patient.owners.get(step.resource.key, "")
        what = {"add": "is missing", "remove": "should not be there", "change": "differs"}
        if owner:
            why = f"fairlead wants it because {_reason(patient, step, owner)}"
        else:
            why = "it carries fairlead's mark, and nothing that exists wants it"
        yield Finding(
            Severity.WARNING,
            "drift",
            f"{' '.join(describe(step.resource).split())} {what[step.verb]}",
            why,
            FIX,
            (*plan_lines([step]), *_places(step)),
        )


def _whole(steps: Sequence[Step]) -> Iterator[Step]:
    """What goes and comes again as one change."""
    gone = {step.resource.key: step.resource for step in steps if step.after is None}
    comes = {step.resource.key for step in steps if step.after is not None}
    for step in steps:
        if step.after is not None or step.resource.key not in comes:
            yield Step(gone.get(step.resource.key, step.before), step.after)


def _places(step: Step) -> Iterator[str]:
    before, after = step.before, step.after
    if isinstance(before, Rule) and isinstance(after, Rule):
        if before.copies != after.copies:
            yield f"    it is there {before.copies} times"
        if before.place != after.place:
            yield f"    it is rule {before.place} of the chain, and should be {after.place}"


def _reason(patient: Patient, step: Step, owner: str) -> str:
    if isinstance(step.resource, Rule):
        return reasons.of_iptables(
            f"{step.resource.table} {step.resource.chain}", step.resource.spec
        )
    return reason(patient.world, step.resource, owner)


def _services(patient: Patient) -> Iterator[Finding]:
    if not patient.dataplane:
        why = "names in containers and published ports on the loopback are not answered"
        todo = "the daemon starts it again by itself; its log in the exec root says why it ended"
        yield Finding(Severity.ERROR, "dataplane", "the dataplane does not answer", why, todo)
    if patient.store:
        why = "what fairlead knows of networks is at risk: the next start may not find them"
        todo = "check the disk, and restore the data root from a copy"
        what = f"the store is damaged: {patient.store}"
        yield Finding(Severity.ERROR, "store", what, why, todo)
    for text in (t for t in patient.warnings if not t.startswith(OVERLAP)):
        why = "the daemon came upon it since its start"
        yield Finding(Severity.WARNING, "daemon", text, why, "see the daemon's log")


def _shadows(patient: Patient) -> Iterator[Finding]:
    yield from _before_ours(patient)
    yield from _users(patient.exam)
    tables = {
        (str(getattr(r, "family", "")), str(getattr(r, "table", ""))) for r in patient.want.values()
    }
    for chain in patient.exam.base_chains:
        legacy = chain.family in ("ip", "ip6") and chain.table in TABLES
        if chain.table == FIREWALLD and _zoned(patient):
            # It lets them through; what it drops besides is not ours to judge.
            continue
        if (chain.family, chain.table) not in tables and not legacy:
            yield from _foreign(chain)
    for family, count in patient.exam.legacy_rules.items():
        if count:
            what = f"{count} rules in the older {family}tables-legacy"
            why = (
                "the kernel asks them as well: what they drop is dropped, and no program shows both"
            )
            yield Finding(
                Severity.WARNING, "shadow", what, why, f"{family}tables-legacy-save shows them"
            )
    for name in patient.exam.running:
        why = "when it loads its rules again, fairlead's are gone until fairlead has noticed"
        todo = "nothing, unless it drops what containers need: rules of your own go to DOCKER-USER"
        if name == FIREWALLD and _zoned(patient):
            why = f"it lets containers through: their bridges are in its zone {ZONE}"
            todo = "nothing; `firewall-cmd --info-zone=docker` shows them"
        yield Finding(Severity.NOTE, "shadow", f"{name} runs on this host", why, todo)


def _zoned(patient: Patient) -> bool:
    """Whether firewalld lets through what is ours, by its zones."""
    return any(isinstance(resource, Member) for resource in patient.want.values())


def _before_ours(patient: Patient) -> Iterator[Finding]:
    """Rules of strangers above ours in the built-in chains, if they decide."""
    ours: dict[tuple[str, str, str], set[str]] = {}
    for resource in patient.want.values():
        if isinstance(resource, Rule):
            where = (resource.family, resource.table, resource.chain)
            ours.setdefault(where, set()).add(resource.spec)
    published = {str(p.host_port) for b in patient.world.sandboxes.values() for p in b.ports}
    for where, specs in ours.items():
        rules = patient.exam.rules.get(where, ())
        last = max((i for i, rule in enumerate(rules) if rule in specs), default=-1)
        for rule in rules[: last + 1]:
            verdict = FINAL.search(rule)
            if rule in specs or verdict is None or where[2] == "POSTROUTING":
                continue
            if where[1] == "nat" and not _concerns(rule, published):
                continue
            word = verdict[1] or verdict[2]
            why = _shadow_reason(word)
            todo = "move it below fairlead's, or into DOCKER-USER, or delete it"
            name = f"{where[0]} {where[1]} {where[2]}"
            yield Finding(
                Severity.WARNING, "shadow", f"a rule above fairlead's in {name}: {rule}", why, todo
            )


def _shadow_reason(word: str) -> str:
    if word == "ACCEPT":
        return "what it accepts is not asked of fairlead: isolation and closed ports do not hold"
    if word in ("DROP", "REJECT"):
        return "what it drops never gets to containers, published port or not"
    return "connections that it takes never get to the container that publishes the port"


def _concerns(rule: str, published: Collection[str]) -> bool:
    ports = PORTS.search(rule)
    if ports is None:
        return True
    spans = (part.partition(":")[::2] for part in ports[1].split(","))
    return any(
        int(low) <= int(port) <= int(high or low) for low, high in spans for port in published
    )


def _users(exam: Exam) -> Iterator[Finding]:
    for (family, table, chain), rules in exam.rules.items():
        deciding = [rule for rule in rules if FINAL.search(rule)]
        if table == "filter" and chain.endswith("-USER") and deciding:
            what = f"{len(deciding)} rules of yours in {family} {chain} decide before fairlead"
            why = "what they accept is open whatever the networks are, what they drop is closed"
            yield Finding(Severity.NOTE, "shadow", what, why, "", tuple(deciding))


def _foreign(chain: BaseChain) -> Iterator[Finding]:
    """A chain in another table: an accept there lets us decide, a drop is final."""
    name = f"nft {chain.family} {chain.table} {chain.name} (hook {chain.hook})"
    if chain.hook not in ("forward", "prerouting", "postrouting"):
        return
    why = "a packet must pass every table: what one of them drops, fairlead cannot let through"
    todo = "accept there what containers need"
    drops = tuple(rule for rule in chain.rules if re.search(r"\b(drop|reject)\b", rule))
    if chain.policy == "drop":
        what = f"{name} drops what it has no rule for"
        yield Finding(Severity.WARNING, "shadow", what, why, todo, chain.rules)
    elif drops:
        yield Finding(Severity.WARNING, "shadow", f"{name} drops some packets", why, todo, drops)
    led = tuple(rule for rule in chain.rules if re.search(r"\b(dnat|redirect)\b", rule))
    if chain.hook == "prerouting" and led and chain.priority <= -100:
        what = f"{name} leads connections elsewhere before fairlead does"
        yield Finding(Severity.WARNING, "shadow", what, _shadow_reason("DNAT"), todo, led)


def _subnets(patient: Patient) -> Iterator[Finding]:
    for route, net, subnet in overlaps(patient.world, patient.occupied):
        what = f"{OVERLAP} {route} overlaps {subnet} of network {net.name}"
        why = "packets for one of them go to the other (a VPN that came up later, often)"
        todo = "make the network anew with another --subnet, or keep the route out of that range"
        yield Finding(Severity.ERROR, "subnet", what, why, todo)


def _settings(patient: Patient) -> Iterator[Finding]:
    settings = patient.exam.settings
    local = "net.ipv4.conf.all.route_localnet"
    if settings.get(local, "0") != "0":
        why = "a neighbour may reach what listens on 127.0.0.1 of this host"
        yield Finding(Severity.WARNING, "sysctl", f"{local} is on", why, f"sysctl -w {local}=0")
    for name, why in (
        (
            "net.bridge.bridge-nf-call-iptables",
            "packets inside one network pass the rules of FORWARD, too: strangers' drops hit them",
        ),
        (
            "net.bridge.bridge-nf-call-ip6tables",
            "IPv6 packets inside one network pass the rules of FORWARD, too",
        ),
    ):
        if settings.get(name, "0") != "0":
            todo = f"nothing, or `sysctl -w {name}=0`"
            yield Finding(Severity.NOTE, "sysctl", f"{name} is on", why, todo)
    if settings.get("net.ipv4.conf.all.rp_filter") == "1":
        what = "net.ipv4.conf.all.rp_filter is strict"
        why = "answers that come back by another interface than the way there are dropped"
        todo = "nothing, unless the host has several ways out; then `sysctl -w` it to 2"
        yield Finding(Severity.NOTE, "sysctl", what, why, todo)
    wanted = {key[2].replace("/", ".") for key in patient.want if key[0] == "sysctl" and not key[1]}
    name = "net.ipv4.ip_forward"
    if settings.get(name) == "0" and name not in wanted:
        why = "containers reach only this host; fairlead was told to leave it alone"
        yield Finding(Severity.WARNING, "sysctl", f"{name} is off", why, f"sysctl -w {name}=1")


def _programs(exam: Exam) -> Iterator[Finding]:
    for name in exam.missing_programs:
        why = "what needs it fails when it is asked for"
        yield Finding(
            Severity.WARNING, "program", f"{name} is not installed", why, "install its package"
        )


def _limits(patient: Patient) -> Iterator[Finding]:
    for name, (used, most) in patient.exam.limits.items():
        if most and used >= NEAR * most:
            why = "beyond it the kernel drops packets of new connections"
            what = f"{used} of at most {most} {name}"
            yield Finding(Severity.WARNING, "limit", what, why, "raise the kernel's limit")
    for net in patient.world.networks.values():
        ports = patient.exam.bridge_ports.get(net.ifname, 0) if net.ifname else 0
        if ports >= NEAR * BRIDGE_PORTS:
            what = f"network {net.name} has {ports} of at most {BRIDGE_PORTS} ports on its bridge"
            why = "the kernel plugs no more into one bridge"
            yield Finding(Severity.WARNING, "limit", what, why, "use several networks")
        used = len(patient.world.on_network(net.id))
        for pool in net.pools:
            there = (pool.ip_range or pool.subnet).num_addresses
            if pool.subnet.version == 4 and used + 3 >= NEAR * there and there > 8:
                what = f"network {net.name} has {used} containers in {there} addresses"
                why = "the next ones will get none"
                yield Finding(Severity.WARNING, "limit", what, why, "use a larger subnet")


def _names(world: World) -> Iterator[Finding]:
    for net in world.networks.values():
        called: dict[str, set[str]] = {}
        for endpoint in world.on_network(net.id):
            box = world.sandboxes[endpoint.sandbox]
            for name in (box.name, *endpoint.aliases):
                called.setdefault(name, set()).add(box.name)
        for name, boxes in sorted(called.items()):
            if len(boxes) > 1:
                what = f"{len(boxes)} containers are called {name} on network {net.name}"
                why = f"the name leads to each of them in turn: {', '.join(sorted(boxes))}"
                todo = "nothing if they are replicas; otherwise give them other aliases"
                yield Finding(Severity.NOTE, "name", what, why, todo)


def _ports(world: World) -> Iterator[Finding]:
    for box in world.sandboxes.values():
        wild: dict[tuple[IPNetwork, ...] | None, set[str]] = {}
        for p in (p for p in box.ports if p.host_ip.is_unspecified):
            wild.setdefault(callers(world, box.id, p), set()).add(f"{p.host_port}/{p.protocol}")
        for sources, ports in wild.items():
            said = ", ".join(sorted(ports))
            if sources is None:
                what = f"ports of {box.name} are open to the world: {said}"
                why = (
                    "they are published on every address of this host, whatever its other "
                    "firewall says"
                )
                todo = (
                    "if that is not meant, name an address: -p 127.0.0.1:8080:80, or who may "
                    f"come: {PUBLISH_FROM}"
                )
            else:
                those = ", ".join(map(str, sources)) or "nobody"
                what = f"ports of {box.name} are open to {those}: {said}"
                why = (
                    "they are published for those sources, whatever the host's other firewall says"
                )
                todo = ""
            yield Finding(Severity.NOTE, "port", what, why, todo)
