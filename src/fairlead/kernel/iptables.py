"""iptables: what is there, by iptables-save; changes, by an iptables-restore that is kept.

A restore is atomic per table and leaves alone what it does not name. A chain
whose rules come and go gets them inserted and deleted, which is quick and
leaves a person's edit of the others standing; it is written anew only when
those that stay change their order.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from fairlead.kernel import older
from fairlead.kernel.restorer import Interrupted, Restorer
from fairlead.model.errors import Failed
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.marks import Marks
from fairlead.model.state import Resource
from fairlead.model.step import Step

WAIT_SECONDS = "10"
SAVE = {"ip": "iptables-save", "ip6": "ip6tables-save"}
RESTORE = {"ip": "iptables-restore", "ip6": "ip6tables-restore"}
NAT_OF_BRIDGE = re.compile(
    r"(?:-s \S+ ! -o (\S+) -j (?:MASQUERADE|SNAT --to-source \S+)"
    r"|-o (\S+) -m addrtype --src-type LOCAL -j MASQUERADE"
    r"|-s \S+ -o (\S+) -m conntrack --ctstate DNAT -j MASQUERADE)"
)
INTERFACE = re.compile(r"-[io] (\S+)")
MARKER = re.compile(r"FAIRLEAD-[0-9a-f]{8}")
OTHERS = re.compile(r"-j (\S+-(?:USER|ISOLATION-STAGE-1|FORWARD))")
JUMP = re.compile(r"-j (\S+)$")


@dataclass(slots=True)
class Table:
    """One table as it stands: rules by chain; policies of the built-in chains."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)


Tables = Mapping[tuple[str, str], Table]
"""By family and name of the table."""


def parse(family: str, text: str) -> dict[tuple[str, str], Table]:
    """The output of iptables-save as tables."""
    tables: dict[tuple[str, str], Table] = {}
    table = Table()
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault((family, line[1:].strip()), Table())
        elif line.startswith(":"):
            name, policy, *_ = line[1:].split()
            table.chains.setdefault(name, [])
            if policy != "-":
                table.policies[name] = policy
        elif line.startswith("-A "):
            _, name, *rest = line.split(" ", 2)
            table.chains.setdefault(name, []).append(rest[0].strip() if rest else "")
    return tables


def ours(tables: Tables, marks: Marks, owns: Callable[[str], bool]) -> list[Resource]:
    """Our chains and rules in tables that carry our marker. `owns` judges names of bridges.

    A bridge that our chains speak of is ours also when somebody has deleted it.
    """
    found: list[Resource] = []
    spoken_of = set(_interfaces(tables, marks))

    def known(bridge: str) -> bool:
        return bridge in spoken_of or owns(bridge)

    for (family, name), table in tables.items():
        if marks.chain in table.chains:
            for chain, rules in _without_others(table, marks):
                found.extend(_owned(marks, known, (family, name, chain), tuple(rules)))
        else:
            user = f"{marks.prefix}-USER"
            if user in table.chains:
                found.append(Chain(family, name, user, ("-j RETURN",), theirs=True))
    return found


def _without_others(table: Table, marks: Marks) -> Iterator[tuple[str, list[str]]]:
    """The chains, as if no other fairlead had rules in them: neither has to be above the other.

    Two that both insisted on the first place would move each other away for ever.
    """
    marked = any(MARKER.fullmatch(name) and name != marks.chain for name in table.chains)
    for chain, rules in table.chains.items():
        theirs = [spec for spec in rules if (jump := OTHERS.fullmatch(spec)) and
                  not is_ours(marks, jump[1])] if marked else []  # fmt: skip
        yield chain, [spec for spec in rules if spec not in theirs]


def _owned(
    marks: Marks, owns: Callable[[str], bool], where: tuple[str, str, str], rules: tuple[str, ...]
) -> list[Resource]:
    family, table, chain = where
    if chain == f"{marks.prefix}-USER":
        return [Chain(family, table, chain, ("-j RETURN",), theirs=True)]
    if is_ours(marks, chain):
        return [Chain(family, table, chain, rules)]
    found: list[Resource] = []
    for spec in dict.fromkeys(rules):
        jump, nat = JUMP.search(spec), NAT_OF_BRIDGE.fullmatch(spec)
        if (jump and is_ours(marks, jump[1])) or (nat and owns(nat[1] or nat[2] or nat[3])):
            place = rules.index(spec) + 1 if chain == "FORWARD" and table == "filter" else 0
            found.append(Rule(family, table, chain, spec, place, rules.count(spec)))
    return found


def _interfaces(tables: Tables, marks: Marks) -> Iterator[str]:
    for table in tables.values():
        if marks.chain in table.chains:
            for chain, rules in table.chains.items():
                if is_ours(marks, chain) and chain != f"{marks.prefix}-USER":
                    yield from (name for rule in rules for name in INTERFACE.findall(rule))


def is_ours(marks: Marks, chain: str) -> bool:
    """Whether a chain has one of our names."""
    return chain in (marks.prefix, marks.chain) or chain.startswith(f"{marks.prefix}-")


def render(steps: Sequence[Step]) -> dict[tuple[str, str], str]:
    """The input of iptables-restore for firewall steps, by family and table, in order."""
    tables: dict[tuple[str, str], _Lines] = {}
    for step in steps:
        resource = step.resource
        assert isinstance(resource, Chain | Rule | Policy)
        lines = tables.setdefault((resource.family, resource.table), _Lines())
        lines.add(step)
    return {
        where: f"*{where[1]}\n{lines.text()}COMMIT\n"
        for where, lines in sorted(tables.items(), key=_closed_first)
    }


def _closed_first(item: tuple[tuple[str, str], object]) -> tuple[str, int]:
    """Tables are committed one after the other: what closes doors comes before what opens them."""
    family, table = item[0]
    return family, ("raw", "mangle", "filter", "nat").index(table)


@dataclass(slots=True)
class _Lines:
    """The lines of one table, in the order that iptables-restore needs."""

    declare: list[str] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)
    fill: list[str] = field(default_factory=list)
    insert: list[tuple[int, str]] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)

    def text(self) -> str:
        inserts = [line for _, line in sorted(self.insert)]
        lines = self.declare + self.delete + self.fill + inserts + self.drop
        return "".join(line + "\n" for line in lines)

    def add(self, step: Step) -> None:
        before, after = step.before, step.after
        if isinstance(after, Policy):
            self.declare.append(f":{after.chain} {after.verdict} [0:0]")
        elif isinstance(after, Chain):
            self._chain(before, after)
        elif isinstance(after, Rule):
            if isinstance(before, Rule):
                self.delete += [f"-D {before.chain} {before.spec}"] * before.copies
            where = f"-I {after.chain} {after.place}" if after.place else f"-A {after.chain}"
            self.insert.append((after.place, f"{where} {after.spec}"))
        elif isinstance(before, Chain):
            self.declare.append(f":{before.name} - [0:0]")
            self.drop.append(f"-X {before.name}")
        elif isinstance(before, Rule):
            self.delete += [f"-D {before.chain} {before.spec}"] * before.copies

    def _chain(self, before: Resource | None, after: Chain) -> None:
        rules = before.rules if isinstance(before, Chain) else ()
        gone: Sequence[str] = ()
        added = insertions(rules, after.rules) if isinstance(before, Chain) else None
        if added is None and isinstance(before, Chain):
            wanted = frozenset(after.rules)
            gone = [rule for rule in rules if rule not in wanted]
            added = insertions([rule for rule in rules if rule in wanted], after.rules)
        if added is None:
            self.declare.append(f":{after.name} - [0:0]")
            self.fill.extend(f"-A {after.name} {rule}" for rule in after.rules)
        else:
            self.delete.extend(f"-D {after.name} {rule}" for rule in gone)
            self.fill.extend(_inserted(after.name, added, len(after.rules)))


def insertions(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, str]] | None:
    """Rules with their places that turn `before` into `after`; None if more than that changed."""
    before, after = tuple(before), tuple(after)
    added: list[tuple[int, str]] = []
    kept = place = 0
    # With more of them than there is room for, some of `before` is missing.
    while place < len(after) and len(added) <= len(after) - len(before):
        alike = _alike(before, kept, after, place)
        kept, place = kept + alike, place + alike
        if place < len(after):
            added.append((place + 1, after[place]))
            place += 1
    return added if kept == len(before) else None


def _alike(one: Sequence[str], start: int, other: Sequence[str], begin: int) -> int:
    """How many rules are the same from there on: thousands, mostly, so not looked at singly."""
    found, size = 0, 1
    most = min(len(one) - start, len(other) - begin)
    while found < most and size:
        size = min(size, most - found)
        at, there = start + found, begin + found
        if one[at : at + size] == other[there : there + size]:
            found, size = found + size, size * 2
        else:
            size //= 2
    return found


def _inserted(chain: str, added: Sequence[tuple[int, str]], length: int) -> Iterator[str]:
    """The lines that insert rules, given with their places in a chain that is to be that long.

    At the top and at the end without a number: to count, iptables reads the whole chain.
    """
    top, end = 0, len(added)
    while top < end and added[top][0] == top + 1:
        top += 1
    while end > top and added[end - 1][0] == length - (len(added) - end):
        end -= 1
    yield from (f"-I {chain} {rule}" for _, rule in reversed(added[:top]))
    yield from (f"-I {chain} {place} {rule}" for place, rule in added[top:end])
    yield from (f"-A {chain} {rule}" for _, rule in added[end:])


class Iptables:
    """The programs. They change the namespace that the calling thread is in at the first change."""

    def __init__(self, families: Sequence[str] = ("ip",)) -> None:
        self.families = families
        self._restorers = {
            family: Restorer((program, "-w", WAIT_SECONDS)) for family, program in RESTORE.items()
        }

    def close(self) -> None:
        for restorer in self._restorers.values():
            restorer.close()

    def save(self) -> Tables:
        """All tables as they stand."""
        tables: dict[tuple[str, str], Table] = {}
        for family in self.families:
            # Where it is not installed nothing of ours stands in it; changes say so.
            if shutil.which(SAVE[family]) is not None:
                tables.update(parse(family, _run([SAVE[family]], "")))
        return tables

    def restore(self, texts: Mapping[tuple[str, str], str]) -> None:
        """Apply what `render` gave. Raises Half with the program's words."""
        done: list[tuple[str, str]] = []
        for family, group in groupby(texts, key=lambda where: where[0]):
            tables = list(group)
            try:
                self._restorers[family].apply(*(texts[table] for table in tables))
            except Failed as error:
                committed = error.committed if isinstance(error, Interrupted) else 0
                raise Half(error, (*done, *tables[:committed])) from error
            done += tables


class Half(Failed):
    """A restore ended at an error; `tables` were committed before, by family and name."""

    def __init__(self, error: Failed, tables: Sequence[tuple[str, str]]) -> None:
        super().__init__(error.message, hint=error.hint or older.hint(error.message))
        self.tables = frozenset(tables)


def _run(argv: list[str], text: str) -> str:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Failed(f"{argv[0]} is not installed", hint="install the package iptables") from error
    if done.returncode != 0:
        raise Failed(f"{argv[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout
