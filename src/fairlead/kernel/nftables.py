"""nftables: our table as it stands, and steps as one transaction.

The text in which libnftables lists a table is what resources are written in,
so reading is cutting it into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fairlead.kernel.netlink import Socket
from fairlead.kernel.nft import Context
from fairlead.kernel.nftelements import messages
from fairlead.kernel.nftnetlink import Refusal, failed, transact
from fairlead.model.errors import Failed
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import Key, Resource
from fairlead.model.step import Step

FAMILIES = ("ip", "ip6", "inet", "bridge")
BLOCK = re.compile(r"\t(set|map|chain) (\S+) \{\n(.*?)\n\t\}\n", re.DOTALL)
EMPTY = re.compile(r"\tchain (\S+) \{\n\t\}\n")
COMMENT = re.compile(r'\tcomment "([^"]*)"\n')
ELEMENTS = re.compile(r"\t\telements = \{ (.*) \}", re.DOTALL)
COMMA = re.compile(r",\s+")


def parse(family: str, table: str, text: str) -> list[Resource]:
    """The output of ``nft list table`` as resources."""
    comment = COMMENT.search(text)
    found: list[Resource] = [NftTable(family, table, comment[1] if comment else "")]
    found += [NftChain(family, table, name, ()) for name in EMPTY.findall(text)]
    for kind, name, body in BLOCK.findall(EMPTY.sub("", text)):
        if kind == "chain":
            found.append(_chain(family, table, name, body))
        else:
            found += _set(family, table, kind, name, body)
    return found


def _chain(family: str, table: str, name: str, body: str) -> NftChain:
    lines = [line.strip() for line in body.splitlines()]
    hook = lines.pop(0) if lines and lines[0].startswith("type ") else ""
    return NftChain(family, table, name, tuple(lines), hook)


def _set(family: str, table: str, kind: str, name: str, body: str) -> Iterator[Resource]:
    elements = ELEMENTS.search(body)
    spec = body[: elements.start()] if elements else body
    yield NftSet(
        family, table, name, kind, "; ".join(spec.split("\n")).replace("\t", "").rstrip("; ")
    )
    for element in COMMA.split(elements[1]) if elements else ():
        item, _, value = element.strip().partition(" : ")
        yield NftElement(family, table, name, item, value)


def render(steps: Sequence[Step]) -> str:
    """Steps as commands, in the order that one transaction needs."""
    gone = (s.resource for s in steps if s.after is None)
    script = _Script(frozenset((t.family, t.name) for t in gone if isinstance(t, NftTable)))
    for step in steps:
        script.add(step)
    return script.text()


@dataclass(slots=True)
class _Script:
    """The commands of one transaction: what is pointed at stands while something points at it.

    `gone` are tables that go: what is in them needs no word of its own.
    """

    gone: frozenset[tuple[str, str]]
    tables: list[str] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)
    flush: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    drop_sets: list[str] = field(default_factory=list)
    declare: list[str] = field(default_factory=list)
    fill: list[str] = field(default_factory=list)
    enter: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = (
            *self.tables,
            *self.forget,
            *self.flush,
            *self.drop,
            *self.drop_sets,
            *sorted(self.declare, key=lambda line: not line.startswith("add table")),
            *self.fill,
            *self.enter,
        )
        return "".join(line + "\n" for line in lines)

    def add(self, step: Step) -> None:
        before, after = step.before, step.after
        match step.resource:
            case NftTable() as table:
                self._table(table, gone=after is None)
            case NftSet() as item:
                where = f"{item.kind} {item.family} {item.table} {item.name}"
                if after is not None:
                    self.declare.append(f"add {where} {{ {item.spec}; }}")
                elif self._stays(item):
                    self.drop_sets.append(f"delete {where}")
            case NftChain() as chain:
                self._chain(chain, before, gone=after is None)
            case NftElement() as element:
                self._element(element, before, gone=after is None)

    def _table(self, table: NftTable, gone: bool) -> None:
        where = f"table {table.family} {table.name}"
        if gone:
            self.tables.append(f"delete {where}")
        else:
            self.declare.append(f'add {where} {{ comment "{table.comment}"; }}')

    def _chain(self, chain: NftChain, before: Resource | None, gone: bool) -> None:
        where = f"chain {chain.family} {chain.table} {chain.name}"
        if gone:
            if self._stays(chain):
                self.flush.append(f"flush {where}")
                self.drop.append(f"delete {where}")
            return
        if before is None:
            hook = f" {{ {chain.hook} }}" if chain.hook else ""
            self.declare.append(f"add {where}{hook}")
        else:
            self.flush.append(f"flush {where}")
        where = where.removeprefix("chain ")
        self.fill += [f"add rule {where} {rule}" for rule in chain.rules]

    def _element(self, element: NftElement, before: Resource | None, gone: bool) -> None:
        where = f"element {element.family} {element.table} {element.set}"
        if (gone or before is not None) and self._stays(element):
            self.forget.append(f"delete {where} {{ {element.item} }}")
        if not gone:
            value = f" : {element.value}" if element.value else ""
            self.enter.append(f"add {where} {{ {element.item}{value} }}")

    def _stays(self, item: NftSet | NftChain | NftElement) -> bool:
        """Whether the table in which it stands does not go as a whole."""
        return (item.family, item.table) not in self.gone


def parts(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps as the transactions in which they are taken, one after the other.

    If chains only come or go, elements have one of their own, in which nobody reads sets:
    chains stand before anything points at them, and go when nothing does. All else is one.
    """
    elements = [step for step in steps if isinstance(step.resource, NftElement)]
    others = [step for step in steps if not isinstance(step.resource, NftElement)]
    chains = all(isinstance(s.resource, NftChain) and None in (s.before, s.after) for s in others)
    if not elements or not chains:
        return [list(steps)]
    try:
        messages(elements)
    except ValueError:
        return [list(steps)]
    come = [step for step in others if step.after is not None]
    gone = [step for step in others if step.after is None]
    return [part for part in (come, elements, gone) if part]


class Nftables:
    """libnftables in the namespace that the calling thread is in at the first call.

    `netlink` speaks to the same namespace's nf_tables.
    """

    def __init__(self, table: str, comment: str, netlink: Socket) -> None:
        self._netlink = netlink
        self._table = table
        self._comment = comment
        self._context: Context | None = None

    def close(self) -> None:
        if self._context is not None:
            self._context.__exit__()
            self._context = None

    def run(self, commands: str) -> str:
        """Run commands as one transaction. Raises Failed with nft's own words."""
        if self._context is None:
            self._context = Context()
        return self._context.run(commands)

    def observe(self) -> dict[Key, Resource]:
        """Our tables as they stand; one of our name with another's comment is none of ours."""
        found: list[Resource] = []
        for table, *inside in self._named():
            if isinstance(table, NftTable) and table.comment == self._comment:
                found += [table, *inside]
        return {resource.key: resource for resource in found}

    def strange(self) -> set[Key]:
        """The tables that have our name and are somebody else's."""
        tables = (table for table, *_ in self._named() if isinstance(table, NftTable))
        return {table.key for table in tables if table.comment != self._comment}

    def _named(self) -> Iterator[list[Resource]]:
        """What is in each table of our name, the table first."""
        there = self.run("list tables").splitlines()
        for family in FAMILIES:
            if f"table {family} {self._table}" in there:
                yield parse(family, self._table, self.run(f"list table {family} {self._table}"))

    def apply(self, steps: Sequence[Step]) -> None:
        """Take steps, all or none; if things were not as planned, from how they are.

        Raises Failed.
        """
        done: list[Step] = []
        try:
            for part in parts(steps):
                self._write(part)
                done += part
        except Failed:
            present: Mapping[Key, Resource] = self.observe()
            again = [Step(present.get(step.resource.key), step.after) for step in steps]
            try:
                self.run(render([step for step in again if step.before != step.after]))
            except Failed:
                self.run(render([step.undo() for step in reversed(done)]))
                raise

    def _write(self, steps: Sequence[Step]) -> None:
        """One transaction."""
        if not all(isinstance(step.resource, NftElement) for step in steps):
            self.run(render(steps))
            return
        try:
            found = messages(steps)
        except ValueError:
            self.run(render(steps))
            return
        try:
            transact(self._netlink, found)
        except Refusal as refusal:
            raise failed(refusal) from refusal
