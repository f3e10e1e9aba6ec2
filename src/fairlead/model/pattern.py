"""Regular expressions of users, matched in time that grows with text and expression only. Pure.

Clients filter names by expressions in the syntax of Go's regexp, and Python's own engine can be
made to think for years about thirty characters. So this one keeps all places of the expression
at which it may be, and takes them through the text once (Thompson 1968). What Go refuses
(back references, look-around) is refused here, too.

====================  ===========================================================
syntax                what there is
====================  ===========================================================
one character         ``x  .  \\.  [a-z]  [^a-z]  [[:alpha:]]  \\d \\w \\s  \\D \\W \\S``
                      ``\\t \\n \\r \\f \\v \\a  \\x7F \\x{10FFFF}  \\Q…\\E``
places                ``^  $  \\A  \\z  \\b  \\B``
more of it            ``xy  x|y  x*  x+  x?  x{2,5}  x{2,}  x{2}``, each also with ``?``
groups                ``(x)  (?:x)  (?P<name>x)  (?<name>x)  (?i)  (?is:x)``
====================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from fairlead.model.characters import CLASSES, ESCAPES, NAMED, Test, any_of, between, other_than

MOST_INSTRUCTIONS = 2000
MOST_NESTED = 50
MOST_REPEATED = 1000


class BadPattern(ValueError):
    """The text is no expression."""


@dataclass(frozen=True, slots=True)
class One:
    """A character that passes a test."""

    test: Test


@dataclass(frozen=True, slots=True)
class Place:
    """A place between characters: one of ``^ $ A z b B``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """From `least` to `most` times; None is without an end."""

    part: Node
    least: int
    most: int | None


Node = One | Place | Sequence | Choice | Repeat


class _Parser:
    """Reads an expression once, from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        found = self._choice(frozenset())
        if self._at < len(self._text):
            raise BadPattern("unexpected )")
        return found

    def _peek(self, what: str = "") -> str:
        """The next character, or the text if it is next."""
        if what:
            return what if self._text.startswith(what, self._at) else ""
        return self._text[self._at : self._at + 1]

    def _take(self, what: str = "") -> str:
        found = self._peek(what)
        self._at += len(found)
        return found

    def _need(self) -> str:
        found = self._take()
        if not found:
            raise BadPattern("the expression breaks off")
        return found

    def _choice(self, flags: frozenset[str]) -> Node:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise BadPattern("nested too deep")
        ways: list[Node] = []
        parts: list[Node] = []
        while self._peek() not in ("", ")"):
            if self._take("|"):
                ways.append(Sequence(tuple(parts)))
                parts = []
            elif self._take("(?"):
                flags, group = self._group(flags)
                if group is not None:
                    parts.append(self._repeated(group))
            elif self._take("\\Q"):
                quoted = [One(between(c, c, "i" in flags)) for c in self._quoted()]
                parts += quoted[:-1]
                parts += [self._repeated(last) for last in quoted[-1:]]
            else:
                parts.append(self._repeated(self._atom(flags)))
        self._depth -= 1
        return Choice((*ways, Sequence(tuple(parts))))

    def _quoted(self) -> str:
        found, _, _ = self._text[self._at :].partition("\\E")
        self._at = min(len(self._text), self._at + len(found) + 2)
        return found

    def _group(self, flags: frozenset[str]) -> tuple[frozenset[str], Node | None]:
        """What follows ``(?``: a group, or flags for what comes."""
        if self._take("P<") or self._take("<"):
            while (c := self._need()) != ">":
                if not (c.isascii() and (c.isalnum() or c == "_")):
                    raise BadPattern("a group's name is of letters")
            return flags, self._close(flags)
        mine, on = set(flags), True
        while (c := self._need()) not in "):":
            if c == "-" and on:
                on = False
            elif c in "imsU":
                (mine.add if on else mine.discard)(c)
            else:
                raise BadPattern(f"unknown group (?{c}")
        new = frozenset(mine)
        return (new, None) if c == ")" else (flags, self._close(new))

    def _close(self, flags: frozenset[str]) -> Node:
        found = self._choice(flags)
        if not self._take(")"):
            raise BadPattern("missing )")
        return found

    def _atom(self, flags: frozenset[str]) -> Node:
        c = self._need()
        if c == "(":
            return self._close(flags)
        if c == "[":
            return One(self._class("i" in flags))
        if c == ".":
            return One(lambda c: True) if "s" in flags else One(lambda c: c != "\n")
        if c in "^$":
            return Place(c if "m" in flags else {"^": "A", "$": "z"}[c])
        if c in "*+?":
            raise BadPattern("nothing to repeat")
        if c == "\\":
            if self._peek() in tuple("AzbB"):
                return Place(self._take())
            return One(self._escape("i" in flags)[0])
        return One(between(c, c, "i" in flags))

    def _escape(self, fold: bool) -> tuple[Test, str]:
        """A test, and the character if it is for one only."""
        c = self._need()
        if c.lower() in CLASSES:
            test = CLASSES[c.lower()]
            return (other_than(test) if c.isupper() else test), ""
        if c == "x":
            c = self._hexadecimal()
        elif c in ESCAPES:
            c = ESCAPES[c]
        elif c.isascii() and c.isalnum():
            raise BadPattern(f"unknown escape \\{c}")
        return between(c, c, fold), c

    def _hexadecimal(self) -> str:
        digits = ""
        if self._take("{"):
            while (c := self._need()) != "}":
                digits += c
        else:
            digits = self._need() + self._need()
        if not digits or not all(NAMED["xdigit"](c) for c in digits) or int(digits, 16) > 0x10FFFF:
            raise BadPattern("bad hexadecimal escape")
        return chr(int(digits, 16))

    def _class(self, fold: bool) -> Test:
        """What follows ``[``."""
        negated = bool(self._take("^"))
        tests: list[Test] = []
        first = True
        while first or not self._take("]"):
            if self._take("[:"):
                tests.append(self._named())
            else:
                tests.append(self._span(fold))
            first = False
        found = any_of(tuple(tests))
        return other_than(found) if negated else found

    def _named(self) -> Test:
        negated = bool(self._take("^"))
        name, end, _ = self._text[self._at :].partition(":]")
        if not end or name not in NAMED:
            raise BadPattern("unknown class")
        self._at += len(name) + 2
        return other_than(NAMED[name]) if negated else NAMED[name]

    def _span(self, fold: bool) -> Test:
        low = self._need()
        test: Test = between(low, low, fold)
        if low == "\\":
            test, low = self._escape(fold)
        if not low or not self._peek("-") or self._peek("-]"):
            return test
        self._take("-")
        high = self._need()
        if high == "\\":
            high = self._escape(fold)[1]
        if not high or high < low:
            raise BadPattern("a range that runs backwards")
        return between(low, high, fold)

    def _repeated(self, part: Node) -> Node:
        """The part, as often as what follows it says."""
        bounds = self._bounds()
        if bounds is None:
            return part
        self._take("?")  # as few as possible, which does not matter for whether it fits
        if self._peek() in tuple("*+?") or self._bounds() is not None:
            raise BadPattern("nothing to repeat")
        return Repeat(part, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        inside, end, _ = self._text[self._at + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        numbers = [n for n in (least, most) if n]
        if not self._peek("{") or not end or not least:
            return None
        if not all(n.isascii() and n.isdigit() for n in numbers):
            return None  # a brace that means itself
        self._at += len(inside) + 2
        low = int(least[:5])
        high = low if not comma else int(most[:5]) if most else None
        if max(low, high or 0) > MOST_REPEATED or (high is not None and high < low):
            raise BadPattern("bad repeat count")
        return low, high


# An instruction: a test and where to go on; or a place; or two ways (-1 is none).
Instruction = tuple[Test | None, str, int, int]


class _Program:
    """An expression as instructions; each knows what comes after it."""

    def __init__(self, node: Node) -> None:
        self.code: list[Instruction] = [(None, "", -1, -1)]
        """The first one means that all fits."""
        self.start = self._add(node, 0)

    def _put(self, test: Test | None, kind: str, one: int, other: int = -1) -> int:
        if len(self.code) >= MOST_INSTRUCTIONS:
            raise BadPattern("the expression is too large")
        self.code.append((test, kind, one, other))
        return len(self.code) - 1

    def _add(self, node: Node, then: int) -> int:
        """Add what a node stands for, before `then`; returns where it begins."""
        match node:
            case One():
                return self._put(node.test, "", then)
            case Place():
                return self._put(None, node.kind, then)
            case Sequence():
                for part in reversed(node.parts):
                    then = self._add(part, then)
                return then
            case Choice():
                begin = self._add(node.parts[-1], then)
                for part in reversed(node.parts[:-1]):
                    begin = self._put(None, "", self._add(part, then), begin)
                return begin
            case Repeat():
                return self._repeat(node, then)

    def _repeat(self, node: Repeat, then: int) -> int:
        begin = then
        if node.most is None:
            begin = self._put(None, "", then, then)
            self.code[begin] = (None, "", self._add(node.part, begin), then)
        else:
            for _ in range(node.most - node.least):
                begin = self._put(None, "", self._add(node.part, begin), then)
        for _ in range(node.least):
            begin = self._add(node.part, begin)
        return begin

    def spread(self, places: Iterator[int], before: str, after: str) -> set[int]:
        """All instructions that are reached without taking a character."""
        left = list(places)
        seen: set[int] = set()
        while left:
            at = left.pop()
            if at < 0 or at in seen:
                continue
            seen.add(at)
            test, kind, one, other = self.code[at]
            if at and test is None and (not kind or _holds(kind, before, after)):
                left += (one, other)
        return seen


def _holds(kind: str, before: str, after: str) -> bool:
    match kind:
        case "A":
            return not before
        case "z":
            return not after
        case "^":
            return before in ("", "\n")
        case "$":
            return after in ("", "\n")
        case _:
            word = CLASSES["w"]
            edge = (bool(before) and word(before)) is not (bool(after) and word(after))
            return edge if kind == "b" else not edge


@lru_cache(maxsize=64)
def _program(expression: str) -> _Program:
    return _Program(_Parser(expression).whole())


def found(expression: str, text: str) -> bool:
    """Whether the expression fits anywhere in the text. Raises BadPattern."""
    program = _program(expression)
    places: set[int] = set()
    before = ""
    for i in range(len(text) + 1):
        after = text[i : i + 1]
        here = program.spread(iter((*places, program.start)), before, after)
        if 0 in here:
            return True
        places = {
            one
            for test, _, one, _ in (program.code[at] for at in here)
            if test is not None and after and test(after)
        }
        before = after
    return False
