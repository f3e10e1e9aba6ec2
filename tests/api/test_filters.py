"""Filters mean what they mean at Docker's, and mistakes are told."""

from __future__ import annotations

import pytest

from fairlead.api.filters import Filters, parse
from fairlead.model.errors import Invalid


def test_both_spellings_are_read() -> None:
    """Old clients send lists, new ones sets of what is true."""
    new = parse('{"name":{"a":true,"b":true,"c":false}}')
    assert new == parse('{"name":["a","b"]}')
    assert parse("") == Filters()


@pytest.mark.parametrize("text", ["[]", "{", "x", '{"a":1}', "[" * 100_000, '{"a":[1]}'])
def test_what_is_no_filter_is_refused(text: str) -> None:
    """Whatever a client sends, the answer is the same short sentence."""
    with pytest.raises(Invalid, match=r"^invalid filter$"):
        parse(text)


def test_an_unknown_key_is_an_error() -> None:
    """A typing mistake must not prune everything."""
    with pytest.raises(Invalid, match=r"^invalid filter 'foo'$"):
        parse('{"foo":["x"]}').only(("name",))


def test_values_of_a_key_are_alternatives_and_labels_are_not() -> None:
    """Any name will do; every label must be there."""
    names = parse('{"name":["web","^db$"]}')
    assert names.pattern("name", "my-web-1")
    assert names.pattern("name", "db")
    assert not names.pattern("name", "db2")
    labels = parse('{"label":["a","b=2"]}')
    assert labels.label({"a": "1", "b": "2"})
    assert not labels.label({"a": "1", "b": "3"})
    assert not labels.label({"b": "2"})
    assert parse('{"label!":["keep"]}').without_label({"x": ""})
    assert not parse('{"label!":["keep"]}').without_label({"keep": "yes"})


def test_a_broken_expression_matches_only_itself() -> None:
    """A pattern that is none is taken as plain text."""
    assert parse('{"name":["a("]}').pattern("name", "a(")
    assert not parse('{"name":["a("]}').pattern("name", "ab")


def test_booleans_are_true_and_false_and_nothing_else() -> None:
    """As for `dangling`."""
    assert parse('{"dangling":["1"]}').flag("dangling", default=False)
    assert not parse('{"dangling":["false"]}').flag("dangling", default=True)
    assert parse("{}").flag("dangling", default=True)
    with pytest.raises(Invalid) as bad:
        parse('{"dangling":["bogus"]}').flag("dangling", default=True)
    assert bad.value.message == (
        'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
    )
