"""The query of a request: single values as Docker reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from fairlead.api.filters import Filters, parse
from fairlead.model.errors import Invalid

# Docker takes every text but these for true.
_FALSE = {"", "0", "no", "false", "none"}


@dataclass(frozen=True, slots=True)
class Query(Mapping[str, str]):
    """The first value of each key; the rest through `all`."""

    pairs: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, key: str) -> str:
        for name, value in self.pairs:
            if name == key:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs})

    def text(self, key: str, default: str = "") -> str:
        return self.get(key) or default

    def every(self, key: str) -> tuple[str, ...]:
        """All values of a key."""
        return tuple(value for name, value in self.pairs if name == key)

    def flag(self, key: str, default: bool = False) -> bool:
        """A switch: anything that does not say no says yes."""
        value = self.get(key)
        if value is None:
            return default
        return value.strip().lower() not in _FALSE

    def integer(self, key: str, default: int = 0) -> int:
        """A whole number. Raises Invalid."""
        value = self.get(key, "")
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise Invalid(f'invalid value for {key}: "{value}" is not a number') from None

    def filters(self, known: tuple[str, ...]) -> Filters:
        """The filters, all of known keys."""
        return parse(self.text("filters")).only(known)


def query(text: str) -> Query:
    """A query from its text; broken escapes are taken as they stand."""
    return Query(tuple(parse_qsl(text, keep_blank_values=True)))
