"""Option values as Docker writes them: sizes, durations, pairs, lists in files. Pure, but that
files named in an option are read.

A function here takes what was typed and returns what the API wants, or raises
ValueError in Docker's words.
"""

from __future__ import annotations

import os
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

SIZE = re.compile(r"^(\d+(?:\.\d*)?|\.\d+) ?([kKmMgGtTpP])?(i?[bB])?$")
POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def pair(text: str) -> tuple[str, str]:
    """``key=value``; without a value, an empty one."""
    key, _, value = text.partition("=")
    return key, value


def size_bytes(text: str) -> int:
    """A size such as 512m or 1.5GiB, in 1024s."""
    found = SIZE.match(text)
    if found is None:
        raise ValueError(f"invalid size: '{text}'")
    number, unit, _ = found.groups()
    return int(Decimal(number) * 1024 ** POWERS[(unit or "").lower()])


def swap_bytes(text: str) -> int:
    """A size, or -1 for no limit."""
    return -1 if text == "-1" else size_bytes(text)


def nano_cpus(text: str) -> int:
    """A number of processors such as 1.5, in billionths."""
    try:
        nanos = Decimal(text) * 1_000_000_000
    except InvalidOperation:
        raise ValueError("failed to parse " + text + " as a rational number") from None
    if nanos != int(nanos):
        raise ValueError("value is too precise")
    return int(nanos)


def nanoseconds(text: str) -> int:
    """A duration such as 1m30s."""
    if text == "0":
        return 0
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest.isdigit():
        raise ValueError(f'time: missing unit in duration "{text}"')
    if not rest or DURATION.sub("", rest):
        raise ValueError(f'time: invalid duration "{text}"')
    parts = DURATION.findall(rest)
    return sign * int(sum(Decimal(number) * NANOSECONDS[unit] for number, unit in parts))


def whole(text: str) -> int:
    """An integer, in Go's words when it is none."""
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def unsigned(text: str) -> int:
    """An integer that is not negative, in Go's words when it is none."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def variable(text: str) -> str:
    """An -e option: NAME=value, or NAME alone for the value it has here."""
    if not text or text.startswith("="):
        raise ValueError(f"invalid environment variable: {text}")
    if "=" in text or text not in os.environ:
        return text
    return f"{text}={os.environ[text]}"


def label(text: str) -> tuple[str, str]:
    """A label: key=value or a key alone."""
    key, value = pair(text)
    if not key.strip():
        raise ValueError(f"invalid label '{text}': empty name")
    if any(char.isspace() for char in key):
        raise ValueError(f"label '{key}' contains whitespaces")
    return key, value


def link(text: str) -> str:
    """A link: ``container[:alias]``."""
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def lines_of(path: str, *, inherit: bool = False) -> list[str]:
    """The settings in an --env-file or --label-file: one a line, # begins a comment."""
    made = []
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"open {path}: {(error.strerror or str(error)).lower()}") from error
    for line in text.splitlines():
        setting = line.lstrip()
        if not setting or setting.startswith("#"):
            continue
        key, equals, _ = setting.partition("=")
        if not key:
            raise ValueError(f"invalid env file ({path}): no variable name on line '{setting}'")
        if any(char.isspace() for char in key):
            why = f"variable '{key}' contains whitespaces"
            raise ValueError(f"invalid env file ({path}): {why}")
        if equals:
            made.append(setting)
        elif not inherit:
            made.append(key)
        elif key in os.environ:
            made.append(f"{key}={os.environ[key]}")
    return made
