"""The part of Go's text/template people use in --format, over JSON values. Pure.

::

    template = { text | action }
    action   = "{{" [ "-" ] body [ "-" ] "}}"
    body     = pipeline | "if" p | "with" p | "range" [ $k, ] [ $v := ] p
             | "else" [ "if" p | "with" p ] | "end" | $x := p | comment
    pipeline = call { "|" call }       call = operand { operand }
    operand  = .A.B | $x.A | "text" | `text` | 12 | true | nil | ( pipeline ).A | function

A template is parsed once into nested tuples of nodes and then rendered for each
row. Objects are dicts, methods are callables in them. What Go cannot do with a
value is an error here too, in Go's words, because scripts look for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fairlead.cli.template_functions import FUNCTIONS, shown, truth

ACTION = re.compile(
    r"""\{\{(?P<left>-\s)?(?P<body>(?:"(?:\\.|[^"\\])*"|`[^`]*`|(?!\}\}).)*?)(?P<right>\s-)?\}\}""",
    re.S,
)
TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:\\.|[^"\\])*") | (?P<raw>`[^`]*`)
    | (?P<number>[-+]?\d+(?:\.\d+)?)
    | (?P<chain>\$\w*(?:\.\w+)*|(?:\.\w+)+|\.)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<mark>:=|=|\||\(|\)|,)
    )""",
    re.X,
)
CONSTANTS: dict[str, Any] = {"true": True, "false": False, "nil": None}


class TemplateError(ValueError):
    """The template cannot be read, or cannot be applied to this value."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"template parsing error: template: {reason}")


@dataclass(slots=True)
class Scope:
    """What a piece of template sees: the dot, and the variables so far."""

    dot: Any
    names: dict[str, Any] = field(default_factory=dict)

    def inner(self, dot: Any) -> Scope:
        """A scope inside this one, with its own dot."""
        return Scope(dot, dict(self.names))


Expression = Callable[[Scope], Any]


class Print(NamedTuple):
    """Text as it stands, or the value of a pipeline, perhaps kept under a name."""

    text: str
    value: Expression | None = None
    name: str = ""


class Branch(NamedTuple):
    """if, with or range: what it looks at and what it holds."""

    kind: str
    value: Expression
    names: tuple[str, ...]
    body: tuple[Print | Branch, ...]
    otherwise: tuple[Print | Branch, ...]


Nodes = tuple[Print | Branch, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template."""

    nodes: Nodes

    def render(self, value: Any) -> str:
        """The template's text for one value."""
        return "".join(_rendered(self.nodes, Scope(value, {"$": value})))


def parsed(text: str) -> Template:
    """Parse a template; the error names what is wrong."""
    pieces = _Pieces(list(_split(text)))
    nodes, ended = pieces.until(())
    if ended:
        raise TemplateError(f":1: unexpected {{{{{ended}}}}}")
    return Template(nodes)


def _rendered(nodes: Nodes, scope: Scope) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Branch):
            yield from _branch(node, scope)
        elif node.value is None:
            yield node.text
        elif node.name:
            scope.names[node.name] = node.value(scope)
        else:
            yield shown(node.value(scope))


def _branch(node: Branch, scope: Scope) -> Iterator[str]:
    value = node.value(scope)
    if not truth(value):
        yield from _rendered(node.otherwise, scope.inner(scope.dot))
    elif node.kind == "range":
        for key, item in _items(value):
            inner = scope.inner(item)
            inner.names.update(zip(reversed(node.names), (item, key), strict=False))
            yield from _rendered(node.body, inner)
    else:
        inner = scope.inner(value if node.kind == "with" else scope.dot)
        inner.names.update((name, value) for name in node.names)
        yield from _rendered(node.body, inner)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return iter(sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return iter(list(enumerate(value)))
    if isinstance(value, int):
        return iter([(number, number) for number in range(value)])
    raise TemplateError(f":1: range can't iterate over {shown(value)}")


class Piece(NamedTuple):
    """A stretch of text, or the body of an action and where it begins."""

    text: str
    at: int = -1


def _split(text: str) -> Iterator[Piece]:
    """Text and actions in turn, with the spaces trimmed that actions ask to trim."""
    position, trim = 0, False
    while found := ACTION.search(text, position):
        before = text[position : found.start()]
        before = before.lstrip() if trim else before
        yield Piece(before.rstrip() if found["left"] else before)
        body = found["body"]
        if not body.strip().startswith("/*"):
            yield Piece(body.strip(), found.start("body") + len(body) - len(body.lstrip()))
        position, trim = found.end(), bool(found["right"])
    rest = text[position:]
    if "{{" in rest:
        raise TemplateError(":1: unclosed action")
    yield Piece(rest.lstrip() if trim else rest)


class _Pieces:
    """Reads pieces into nodes, one level of nesting a call."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = iter(pieces)

    def until(self, ends: tuple[str, ...]) -> tuple[Nodes, str]:
        """Nodes up to an `end` or `else`, and that word with what follows it."""
        nodes: list[Print | Branch] = []
        for piece in self._pieces:
            if piece.at < 0:
                nodes.append(Print(piece.text))
                continue
            word, _, rest = piece.text.partition(" ")
            if word in ("end", "else"):
                if word not in ends:
                    raise TemplateError(f":1: unexpected {{{{{word}}}}}")
                return tuple(nodes), piece.text
            if word in ("if", "with", "range"):
                nodes.append(self._branch(word, Piece(rest, piece.at + len(word) + 1)))
            else:
                names, value = _assigned(piece)
                nodes.append(Print("", value, names[0] if names else ""))
        if ends:
            raise TemplateError(":1: unexpected EOF")
        return tuple(nodes), ""

    def _branch(self, kind: str, head: Piece) -> Branch:
        names, value = _assigned(head)
        body, end = self.until(("end", "else"))
        otherwise: Nodes = ()
        if end.startswith("else"):
            more = end.removeprefix("else").strip()
            if more:
                word, _, rest = more.partition(" ")
                otherwise = (self._branch(word, Piece(rest, head.at)),)
            else:
                otherwise, _ = self.until(("end",))
        return Branch(kind, value, names, body, otherwise)


def _assigned(piece: Piece) -> tuple[tuple[str, ...], Expression]:
    """A pipeline, and the variables it is kept in."""
    found = re.match(r"(\$\w+)\s*(?:,\s*(\$\w+)\s*)?:?=\s*", piece.text)
    if found is None:
        return (), _pipeline(piece)
    names = tuple(name for name in found.groups() if name)
    return names, _pipeline(Piece(piece.text[found.end() :], piece.at + found.end()))


class Token(NamedTuple):
    """One word of an action: its kind, its text, where it is, and whether it touches the last."""

    kind: str
    text: str
    at: int
    touching: bool


def _tokens(piece: Piece) -> list[Token]:
    made, position = [], 0
    while position < len(piece.text.rstrip()):
        found = TOKEN.match(piece.text, position)
        if found is None or found.lastgroup is None:
            wrong = piece.text[position:].strip()[0]
            raise TemplateError(f':1: unexpected "{wrong}" in operand')
        start = found.start(found.lastgroup)
        made.append(
            Token(found.lastgroup, found[found.lastgroup], piece.at + start, start == position)
        )
        position = found.end()
    return made


def _pipeline(piece: Piece) -> Expression:
    tokens = _tokens(piece)
    if not tokens:
        raise TemplateError(":1: missing value for command")
    value, rest = _piped(tokens)
    if rest:
        raise TemplateError(f':1: unexpected "{rest[0].text}" in operand')
    return value


def _piped(tokens: list[Token]) -> tuple[Expression, list[Token]]:
    """Calls joined by |, up to a closing parenthesis or the end."""
    value: Expression | None = None
    while True:
        operands: list[tuple[Token, Expression]] = []
        while tokens and tokens[0].text not in ("|", ")"):
            operand, tokens = _operand(tokens)
            operands.append(operand)
        if not operands:
            raise TemplateError(":1: missing value for command")
        value = _call(operands, value)
        if not tokens or tokens[0].text == ")":
            return value, tokens
        tokens = tokens[1:]


def _operand(tokens: list[Token]) -> tuple[tuple[Token, Expression], list[Token]]:
    token, rest = tokens[0], tokens[1:]
    if token.text == "(":
        inner, rest = _piped(rest)
        if not rest:
            raise TemplateError(":1: unclosed left paren")
        rest = rest[1:]
        if rest and rest[0].kind == "chain" and rest[0].touching and rest[0].text != ".":
            chain, rest = rest[0], rest[1:]
            return (token, _fields(inner, chain)), rest
        return (token, inner), rest
    return (token, _literal(token)), rest


def _literal(token: Token) -> Expression:
    if token.kind == "string":
        import json

        text = json.loads(token.text, strict=False)
        return lambda _: text
    if token.kind == "raw":
        return lambda _: token.text[1:-1]
    if token.kind == "number":
        number = float(token.text) if "." in token.text else int(token.text)
        return lambda _: number
    if token.kind == "chain":
        return _chain(token)
    if token.text in CONSTANTS:
        return lambda _: CONSTANTS[token.text]
    if token.text in FUNCTIONS:
        return lambda _: FUNCTIONS[token.text]
    if token.kind == "word":
        raise TemplateError(f':1: function "{token.text}" not defined')
    raise TemplateError(f':1: unexpected "{token.text}" in operand')


def _chain(token: Token) -> Expression:
    if not token.text.startswith("$"):
        return _fields(lambda scope: scope.dot, token)
    name = token.text.partition(".")[0]

    def variable(scope: Scope) -> Any:
        if name not in scope.names:
            raise TemplateError(f':1: undefined variable "{name}"')
        return scope.names[name]

    return _fields(variable, token)


def _fields(start: Expression, token: Token) -> Expression:
    steps = [step for step in token.text.split(".")[1:] if step]

    def walked(scope: Scope) -> Any:
        value = start(scope)
        for step in steps:
            value = _field(value, step, token)
        return value

    return walked


def _field(value: Any, step: str, token: Token) -> Any:
    where = f':1:{token.at}: executing "" at <{token.text}>'
    if not isinstance(value, Mapping):
        kind = "nil data" if value is None else "type interface {}"
        raise TemplateError(f"{where}: can't evaluate field {step} in {kind}")
    if step == "ID" and step not in value:
        # What the documents call Id is ID in Docker's own types, and so in people's templates.
        step = "Id"
    if step not in value:
        # A dictionary of words, such as labels, answers nothing; an object has no such field.
        if all(isinstance(each, str) for each in value.values()):
            return None
        raise TemplateError(f'{where}: map has no entry for key "{step}"')
    return value[step]


def _call(operands: list[tuple[Token, Expression]], piped: Expression | None) -> Expression:
    (token, first), *others = operands

    def called(scope: Scope) -> Any:
        target = first(scope)
        values = [each(scope) for _, each in others]
        if piped is not None:
            values.append(piped(scope))
        if callable(target):
            return _applied(target, values, token)
        if values:
            raise TemplateError(f":1: can't give argument to non-function {token.text}")
        return target

    return called


def _applied(target: Callable[..., Any], values: list[Any], token: Token) -> Any:
    try:
        return target(*values)
    except TemplateError:
        raise
    except (TypeError, ValueError, LookupError) as error:
        where = f':1:{token.at}: executing "" at <{token.text}>'
        raise TemplateError(f"{where}: error calling {token.text}: {error}") from error
