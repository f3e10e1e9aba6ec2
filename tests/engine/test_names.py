"""Names of containers."""

from __future__ import annotations

import pytest

from fairlead.engine import names
from fairlead.model.errors import Invalid


@pytest.mark.parametrize("name", ["web", "/web", "a-b_c.1"])
def test_allowed_names(name: str) -> None:
    """A leading slash is the same name."""
    assert names.checked(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "-web", "a b", "ü1", "a/b", "x" * 10 + "\n"])
def test_refused_names(name: str) -> None:
    """Docker's words name the name and what is allowed."""
    with pytest.raises(Invalid) as caught:
        names.checked(name)

    assert caught.value.message == (
        f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )


def test_an_invented_name_is_free() -> None:
    """When every pair is taken a number follows."""
    taken = {"calm_cove"}
    words = {"airy": "calm", "albatross": "cove"}

    name = names.invent(lambda some: words[some[0]], taken.__contains__)

    assert name == "calm_cove1"
    assert names.checked(name) == name
