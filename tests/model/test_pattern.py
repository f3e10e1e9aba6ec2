"""Users' regular expressions: they mean what they mean elsewhere, and never think for long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.pattern import BadPattern, found

TEXTS = st.text(alphabet="ab-/1 A_\n", min_size=1, max_size=12)
ATOMS = st.sampled_from(
    ["a", "b", "A", ".", "1", "-", "/", r"\d", r"\w", r"\s", r"\W", r"\D", r"\S", "[ab]", "[^a]",
     "[a-z]", "[]a]", "[a-]", "[^]b1]", r"[\d_]", r"\b", r"\B", r"\A", r"\.", r"\x61", "^", "(?i:a)"]
)  # fmt: skip
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"(?:{e})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "{0}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, TEXTS)
def test_it_finds_what_python_finds(expression: str, text: str) -> None:
    """Where both know the syntax, the answers are the same."""
    assert found(expression, text) is (re.search(expression, text) is not None)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_an_expression_or_is_refused(expression: str, text: str) -> None:
    """Nothing but BadPattern is ever raised."""
    try:
        found(expression, text)
    except BadPattern:
        return


@given(st.text(alphabet="()[]{}?*+|\\^$.:-,1P<>iQEx", max_size=20))
def test_any_syntax_is_an_expression_or_is_refused(expression: str) -> None:
    """Brackets and signs in any order."""
    try:
        found(expression, "a1-")
    except BadPattern:
        return


@pytest.mark.parametrize(
    ("expression", "text", "fits"),
    [
        ("", "", True),
        ("^/?web$", "/web", True),
        ("^web$", "webs", False),
        ("$", "x\n", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        ("(?i)WEB", "web", True),
        ("(?i)w(?-i)EB", "WEB", True),
        ("(?i)w(?-i)EB", "Web", False),
        ("[[:digit:]]{2}", "a12", True),
        ("[[:^digit:]]", "12", False),
        (r"^\Qa.b\E+$", "a.bb", True),
        (r"\Qa.b\E", "axb", False),
        (r"\x{e9}", "café", True),
        ("a{,2}", "a{,2}", True),
        ("(?P<name>a)(?<other>b)", "ab", True),
        ("a|", "zzz", True),
    ],
)
def test_what_go_knows(expression: str, text: str, fits: bool) -> None:
    """The syntax of Go where it is not Python's, and what people write."""
    assert found(expression, text) is fits


@pytest.mark.parametrize(
    "expression",
    [r"(a)\1", "(?=a)", "(?!a)", "(?<=a)b", "(?#x)", "*a", "a**", "a{3}{3}", "a{2000}", "a{3,2}",
     "(", ")", "[", "[]", "[b-a]", "a\\", r"\p", r"\xZZ", "(?P<a-b>x)", "(" * 5000, "((a{100}){100}){100}"],
)  # fmt: skip
def test_what_go_refuses(expression: str) -> None:
    """What needs memory of what was seen, what means nothing, and what would be huge."""
    with pytest.raises(BadPattern):
        found(expression, "a")


@pytest.mark.parametrize(
    "expression", ["^(a*)*$", "^(a|a)*$", "(a|aa)+$", "(.*)*x", "(a?){30}a{30}b"]
)
def test_no_expression_thinks_for_long(expression: str) -> None:
    """Those with which Python's own engine would not be done before the sun is."""
    assert found(expression, "a" * 200 + "!") is False
