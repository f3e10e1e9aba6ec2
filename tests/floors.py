"""Reads a source tree's ASTs and says where it breaks the rule of floors.

A package imports only from lower floors: never up, never a neighbour on its own floor. The
two lowest floors hold no asynchronous code, and the lowest imports the standard library only.
The walk is over syntax, so an import inside a function or under TYPE_CHECKING counts as well;
only the top package may name the library there, which it loads when it is asked for.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLOORS: tuple[tuple[str, ...], ...] = (
    ("model",),
    ("plan", "ipam", "driver", "firewall", "dns", "picture", "cluster", "dhcp"),
    ("kernel", "store", "runtime", "http", "dataplane", "gossip"),
    ("controller",),
    ("engine", "library"),
    ("api", "web"),
    ("cli",),
)
FLOOR_OF = {package: number for number, floor in enumerate(FLOORS) for package in floor}
HIGHEST_PURE_FLOOR = 1
FACE = "library"
"""The package that the top package gives to people."""

ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)


@dataclass(frozen=True, slots=True, order=True)
class Breach:
    """One place where a file does what its floor forbids."""

    path: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.why}"


def breaches(root: Path) -> list[Breach]:
    """Returns every breach under `root`, the folder of a top-level package."""
    found: list[Breach] = []
    for path in sorted(root.rglob("*.py")):
        found.extend(_of_file(root, path))
    return sorted(found)


def _of_file(root: Path, path: Path) -> Iterator[Breach]:
    inside = path.relative_to(root)
    here = inside.parts[0]
    where = str(inside)
    if len(inside.parts) == 1:
        # Only __init__.py and __main__.py lie outside the floors; they may not reach in,
        # or importing any package would import that one too.
        if here not in ("__init__.py", "__main__.py"):
            yield Breach(where, 1, "a module outside every package has no floor")
        if here == "__main__.py":
            return
    elif here not in FLOOR_OF:
        yield Breach(where, 1, f"package {here} has no floor")
        return

    tree = ast.parse(path.read_text(), filename=str(path))
    typing_only = _typing_only(tree) if here == "__init__.py" else frozenset()
    for node in ast.walk(tree):
        for module in _imported(node, root.name, inside):
            if node in typing_only and module.startswith(f"{root.name}.{FACE}."):
                continue
            why = _forbidden(here, module, root.name)
            if why is not None:
                yield Breach(where, getattr(node, "lineno", 1), why)
        pure = here in FLOOR_OF and FLOOR_OF[here] <= HIGHEST_PURE_FLOOR
        if pure and (isinstance(node, ASYNC) or _is_async_comprehension(node)):
            line = getattr(node, "lineno", 1)
            yield Breach(where, line, f"{here} is pure, and this is asynchronous")


def _typing_only(tree: ast.Module) -> frozenset[ast.AST]:
    """What a module holds for type checkers alone."""
    blocks = [
        statement
        for statement in tree.body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    ]
    return frozenset(node for block in blocks for each in block.body for node in ast.walk(each))


def _is_async_comprehension(node: ast.AST) -> bool:
    return isinstance(node, ast.comprehension) and bool(node.is_async)


def _imported(node: ast.AST, package: str, inside: Path) -> Iterator[str]:
    """Yields the full dotted names a statement imports; `from package import x` is package.x."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = (package, *inside.parts[:-1])
            kept = parents[: len(parents) - node.level + 1]
            base = ".".join((*kept, node.module) if node.module else kept)
        if base == package:
            for alias in node.names:
                yield f"{base}.{alias.name}"
        else:
            yield base


def _forbidden(here: str, module: str, package: str) -> str | None:
    """Says why a file of package `here` may not import `module`, or None if it may."""
    top, _, rest = module.partition(".")
    if top != package:
        if here == "model" and top not in sys.stdlib_module_names:
            return f"model imports {top}, which is not in the standard library"
        return None
    there = rest.partition(".")[0]
    if there not in FLOOR_OF:
        # fairlead itself: its version and nothing else lives there.
        return None
    if here == there:
        return None
    if here not in FLOOR_OF:
        return f"the top package imports {there}"
    mine, theirs = FLOOR_OF[here], FLOOR_OF[there]
    if theirs < mine:
        return None
    direction = "sideways to" if theirs == mine else "up to"
    return f"{here} (floor {mine}) imports {direction} {there} (floor {theirs})"
