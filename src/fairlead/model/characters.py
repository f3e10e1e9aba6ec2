"""Which characters pass: the classes that expressions name, as Go's regexp has them. Pure."""

from __future__ import annotations

from collections.abc import Callable

Test = Callable[[str], bool]

CLASSES: dict[str, Test] = {
    "d": lambda c: c in "0123456789",
    "w": lambda c: c.isascii() and (c.isalnum() or c == "_"),
    "s": lambda c: c in " \t\n\f\r",
}
NAMED: dict[str, Test] = {
    "alnum": lambda c: c.isascii() and c.isalnum(),
    "alpha": lambda c: c.isascii() and c.isalpha(),
    "ascii": str.isascii,
    "blank": lambda c: c in " \t",
    "cntrl": lambda c: c < " " or c == "\x7f",
    "digit": CLASSES["d"],
    "graph": lambda c: "!" <= c <= "~",
    "lower": lambda c: "a" <= c <= "z",
    "print": lambda c: " " <= c <= "~",
    "punct": lambda c: "!" <= c <= "~" and not c.isalnum(),
    "space": lambda c: c in " \t\n\f\r\v",
    "upper": lambda c: "A" <= c <= "Z",
    "word": CLASSES["w"],
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}
ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


def other_than(test: Test) -> Test:
    """Every character that does not pass it."""
    return lambda c: not test(c)


def any_of(tests: tuple[Test, ...]) -> Test:
    """What passes one of them."""
    return lambda c: any(test(c) for test in tests)


def between(first: str, last: str, fold: bool) -> Test:
    """From one to the other; with `fold` also in the other case."""
    if not fold:
        return lambda c: first <= c <= last
    return lambda c: first <= c.lower() <= last or first <= c.upper() <= last
