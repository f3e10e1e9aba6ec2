"""The functions a --format template may call, and how Go shows a value. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairlead.cli.output import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

VERB = re.compile(r"%(?P<flags>[-+0 ]*)(?P<width>\d*)(?:\.(?P<digits>\d+))?(?P<verb>[svdqtxf%])")


def shown(value: Any) -> str:
    """A value as Go prints it by itself."""
    return "<no value>" if value is None else _inside(value)


def _inside(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        pairs = " ".join(f"{key}:{_inside(item)}" for key, item in sorted(value.items()))
        return f"map[{pairs}]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(_inside(item) for item in value) + "]"
    return str(value)


def truth(value: Any) -> bool:
    """Whether `if` takes a value for true: not when it is nothing, zero or empty."""
    return bool(value)


class Plain(str):
    """Text that `json` leaves as it is, as the header of a column."""

    __slots__ = ()


def as_json(value: Any) -> str:
    """A value as compact JSON; what cannot be shown, a method, is left out."""
    import json

    if isinstance(value, Plain):
        return value
    if isinstance(value, Mapping):
        value = {key: item for key, item in value.items() if not callable(item)}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def length(value: Any) -> int:
    """How many items, or how many bytes of text."""
    return len(value.encode()) if isinstance(value, str) else len(value)


def index(value: Any, *keys: Any) -> Any:
    """value[k1][k2]…; a key a map does not have is no error."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif value is None:
            raise ValueError("index of untyped nil")
        elif 0 <= key < len(value):
            value = value[key]
        else:
            raise ValueError(f"reflect: slice index out of range: {key}")
    return value


def equal(first: Any, *others: Any) -> bool:
    """Whether the first equals any of the others."""
    return any(first == other for other in others)


def both(*values: Any) -> Any:
    """The first that is not true, or the last."""
    return next((value for value in values if not truth(value)), values[-1])


def either(*values: Any) -> Any:
    """The first that is true, or the last."""
    return next((value for value in values if truth(value)), values[-1])


def spaced(*values: Any) -> str:
    """Values in a row; a space only between two that are not text."""
    made = ""
    for before, value in zip((None, *values), values, strict=False):
        gap = before is not None and not isinstance(before, str) and not isinstance(value, str)
        made += (" " if gap else "") + _inside(value)
    return made


def printf(form: str, *values: Any) -> str:
    """Go's Sprintf, for the verbs people use."""
    rest = list(values)

    def verb(found: re.Match[str]) -> str:
        if found["verb"] == "%":
            return "%"
        if not rest:
            return f"%!{found['verb']}(MISSING)"
        return _formatted(found, rest.pop(0))

    return VERB.sub(verb, form)


def _formatted(found: re.Match[str], value: Any) -> str:
    if found["verb"] == "q":
        text = quoted(str(value))
    elif found["verb"] == "x" and isinstance(value, str):
        text = value.encode().hex()
    elif found["verb"] in "dxf" and isinstance(value, (int, float)):
        digits = f".{found['digits'] or 6}" if found["verb"] == "f" else ""
        return str(f"%{found['flags']}{found['width']}{digits}{found['verb']}" % value)
    else:
        text = _inside(value)
        text = text[: int(found["digits"])] if found["digits"] else text
    width = int(found["width"] or 0)
    return text.ljust(width) if "-" in found["flags"] else text.rjust(width)


def part(value: Any, first: int = 0, last: int | None = None) -> Any:
    """The items from one place up to another."""
    return value[first:last]


def padded(text: str, before: int, after: int) -> str:
    """A text between so many spaces, unless it is empty."""
    return " " * before + text + " " * after if text else text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": both,
    "eq": equal,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "index": index,
    "join": lambda items, separator: separator.join(items or ()),
    "json": as_json,
    "le": lambda a, b: a <= b,
    "len": length,
    "lower": lambda text: text.lower(),
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: a != b,
    "not": lambda value: not truth(value),
    "or": either,
    "pad": padded,
    "print": spaced,
    "printf": printf,
    "println": lambda *values: " ".join(_inside(value) for value in values) + "\n",
    "slice": part,
    "split": lambda text, separator: text.split(separator),
    "title": lambda text: " ".join(word[:1].upper() + word[1:] for word in text.split(" ")),
    "truncate": lambda text, width: text[:width],
    "upper": lambda text: text.upper(),
}
