"""The ``filters`` of list and prune requests: JSON in the query, matched here.

Values of one key are alternatives, keys must all fit; labels are the
exception, of which every one must fit. Nothing matches a key that the noun
does not know: that is an error, so that a typing mistake never prunes all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from fairlead.model import pattern
from fairlead.model.errors import Invalid

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters by key. A key that is absent lets everything through."""

    by_key: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return bool(self.by_key.get(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_key)

    def get(self, key: str) -> tuple[str, ...]:
        """The values of a key, perhaps none."""
        return self.by_key.get(key, ())

    def only(self, known: Collection[str]) -> Filters:
        """These filters, all of whose keys are known. Raises Invalid."""
        for key in self.by_key:
            if key not in known:
                hint = f"known here: {', '.join(sorted(known))}"
                raise Invalid(f"invalid filter '{key}'", hint=hint)
        return self

    def exact(self, key: str, value: str) -> bool:
        """Whether a value is one of those asked for."""
        wanted = self.get(key)
        return not wanted or value in wanted

    def prefix(self, key: str, value: str) -> bool:
        """Whether a value begins with one of those asked for."""
        wanted = self.get(key)
        return not wanted or any(value.startswith(w) for w in wanted)

    def pattern(self, key: str, value: str) -> bool:
        """Whether a value holds one of the regular expressions asked for."""
        wanted = self.get(key)
        return not wanted or value in wanted or any(_search(w, value) for w in wanted)

    def label(self, labels: Labels, key: str = "label") -> bool:
        """Whether every label asked for is there, with the value asked for if there is one."""
        return all(_has_label(labels, wanted) for wanted in self.get(key))

    def without_label(self, labels: Labels) -> bool:
        """Whether the labels of ``label!`` are not all there."""
        return "label!" not in self or not self.label(labels, "label!")

    def flag(self, key: str, default: bool) -> bool:
        """A filter that is true or false. Raises Invalid."""
        wanted = self.get(key)
        if not wanted:
            return default
        truth = {_BOOLEANS.get(w) for w in wanted}
        if None in truth or len(truth) != 1:
            raise Invalid(
                f'invalid value for filter \'{key}\', must be "true" (or "1"), or "false" (or "0")'
                if len(wanted) == 1
                else f"invalid filter '{key}'"
            )
        return bool(truth.pop())


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _search(expression: str, value: str) -> bool:
    try:
        return pattern.found(expression, value)
    except pattern.BadPattern:
        # Not an expression, and not the value itself: it matches nothing.
        return False


def _has_label(labels: Labels, wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def parse(text: str) -> Filters:
    """Filters from the query: ``{"key":{"value":true}}`` or, older, ``{"key":["value"]}``."""
    if not text:
        return Filters()
    try:
        given = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
    except (msgspec.DecodeError, RecursionError):
        raise Invalid("invalid filter", hint='write {"key":["value"]}') from None
    values = {
        key: tuple(v for v, on in of.items() if on) if isinstance(of, dict) else tuple(of)
        for key, of in given.items()
    }
    return Filters(values)
