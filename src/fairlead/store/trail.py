"""Trail: lines that outlive the process, each written as it comes and none waited for.

For what may be lost with the power, but not with the daemon: what is written is in the
kernel's hands at once. A line that was cut short is left out when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


class Trail:
    """A file of lines. It is worth a warning, and no failure, when it cannot be written."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path = path
        self._warn = warn
        self._broken = False

    def lines(self) -> Iterator[str]:
        """The lines that were written whole, the oldest first; nothing if there are none."""
        try:
            text = self._path.read_text("ascii", "replace")
        except FileNotFoundError:
            return iter(())
        except OSError as error:
            self._warn(f"{self._path} cannot be read: {error.strerror}")
            return iter(())
        return iter(text.split("\n")[:-1])

    def add(self, line: str) -> None:
        """Write one more line."""
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{line}\n")
            self._broken = False
        except OSError as error:
            self._complain(error)

    def begin_anew(self, lines: Iterable[str]) -> None:
        """Write just these lines; those that there were stay until all are written."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text("".join(f"{line}\n" for line in lines), "ascii")
            fresh.replace(self._path)
            self._broken = False
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._broken:
            self._warn(f"{self._path} cannot be written: {error.strerror}")
        self._broken = True
