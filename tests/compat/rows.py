"""Requests and what real daemons answered to them, from the files in `observed/`.

A block is a label and then, indented, requests with their answers::

    label
      POST /networks/create {"Name": ""}
      28 400 invalid name: name is empty
      20 500 invalid name:
      ours 400 something else
      because it is better

The body follows the path as it is sent. `28` is Docker 28.5.2, whose answer is ours
unless a line says so; `20` (20.10.24) and `29` (29.7.2) stand where they differ from it.
`ours as 29` takes that answer over. Messages have `<ID>` for what differs from run to run
and `\\n` for a new line, `\\s` for a blank at the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

OBSERVED = Path(__file__).with_name("observed")
REQUEST = re.compile(r"  (GET|POST|DELETE) (\S+) ?(.*)")
ANSWER = re.compile(r"  (20|28|29|ours) (closed|\d{3}) ?(.*)")
VERSIONS = ("20", "28", "29")

Answer = tuple[str, str]
"""The status and the message."""


@dataclass(slots=True)
class Row:
    """A request and the answers that were seen."""

    method: str
    path: str
    body: bytes | None
    answers: dict[str, Answer] = field(default_factory=dict)
    ours: Answer | None = None
    because: str = ""

    @property
    def expected(self) -> Answer:
        """What fairlead is to answer."""
        return self.ours or self.answers.get("28") or self.answers["29"]


@dataclass(slots=True)
class Block:
    """Requests that belong together, in their order."""

    label: str
    rows: list[Row] = field(default_factory=list)

    def __str__(self) -> str:
        return self.label

    @property
    def refused(self) -> bool:
        """Whether none of it changes anything."""
        return all(int(row.expected[0]) >= 400 for row in self.rows)


def blocks(name: str) -> list[Block]:
    """The blocks of a file. Raises ValueError for what is no line of one."""
    found: list[Block] = []
    for line in (OBSERVED / f"{name}.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            found.append(Block(line))
        else:
            _read(found[-1], line)
    return found


def _read(block: Block, line: str) -> None:
    if request := REQUEST.fullmatch(line):
        method, path, body = request.groups()
        block.rows.append(Row(method, path, body.encode() or None))
        return
    row = block.rows[-1]
    if answer := ANSWER.fullmatch(line):
        who, status, message = answer.groups()
        given = (status, message.replace("\\n", "\n").replace("\\s", " "))
        if who == "ours":
            row.ours = given
        else:
            row.answers[who] = given
    elif line == "  ours as 29":
        row.ours = row.answers["29"]
    elif line.startswith("  because "):
        row.because = line.removeprefix("  because ")
    else:
        raise ValueError(line)
