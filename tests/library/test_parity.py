"""The two faces of the library are one: what can be awaited can also be called, and alike."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

import fairlead
from fairlead.library import aio, aio_network, aio_sandbox, plain, plain_network, plain_sandbox

PAIRS = [
    (aio.AsyncHost, plain.Host),
    (aio.AsyncEvents, plain.Events),
    (aio_network.AsyncNetworks, plain_network.Networks),
    (aio_network.AsyncNetwork, plain_network.Network),
    (aio_sandbox.AsyncSandboxes, plain_sandbox.Sandboxes),
    (aio_sandbox.AsyncSandbox, plain_sandbox.Sandbox),
]
RETURNS_ITS_OWN = {"popen"}
"""A process of the event loop and one of the standard library are not the same."""


def members(cls: type) -> Iterator[tuple[str, object]]:
    """What a class offers to its users."""
    for name, member in inspect.getmembers(cls):
        public = not name.startswith("_") or name in ("__getitem__", "__contains__", "__len__")
        if public:
            yield name, member


@pytest.mark.parametrize(("awaited", "called"), PAIRS)
def test_both_faces_offer_the_same(awaited: type, called: type) -> None:
    """Names, parameters, what comes back and what is said about it agree."""
    first, second = dict(members(awaited)), dict(members(called))

    assert first.keys() == second.keys()
    for name, member in first.items():
        assert inspect.getdoc(member) == inspect.getdoc(second[name]), name
        if inspect.isfunction(member):
            other = second[name]
            assert inspect.isfunction(other)
            assert _signature(member) == _signature(other), name


def _signature(function: object) -> str:
    assert inspect.isfunction(function)
    text = str(inspect.signature(function)).replace("Async", "")
    return re.sub(r" -> .*", "", text) if function.__name__ in RETURNS_ITS_OWN else text


@pytest.mark.parametrize(("awaited", "called"), PAIRS)
def test_everything_has_a_sentence(awaited: type, called: type) -> None:
    """A public thing without a docstring is not finished."""
    for cls in (awaited, called):
        assert cls.__doc__
        for name, member in members(cls):
            assert name.startswith("__") or inspect.getdoc(member), f"{cls.__name__}.{name}"


def test_what_opens_a_folder_takes_the_same() -> None:
    """`open` and `aopen` differ in what they return."""
    plain_one, awaited = inspect.signature(fairlead.open), inspect.signature(fairlead.aopen)

    assert plain_one.parameters == awaited.parameters
    assert inspect.getdoc(fairlead.open) == str(inspect.getdoc(fairlead.aopen)).replace(
        "async with aopen", "with open"
    )


def test_all_that_is_promised_is_there() -> None:
    """Every name of the package loads, and no other is taken for one."""
    for name in fairlead.__all__:
        assert getattr(fairlead, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        fairlead.nosuch  # noqa: B018
