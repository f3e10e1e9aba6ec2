"""Links on a parent: all kinds on the fake kernel, macvlan on this one."""

from __future__ import annotations

import pytest

from fairlead.kernel.linux import LinuxKernel
from tests.contract.conftest import fake
from tests.contract.underlay import *  # noqa: F403  # the suite
from tests.contract.underlay import MODES, PARENTS, Case, case

HERE = pytest.param(("linux", "card", "macvlan"), marks=pytest.mark.root, id="linux-card-macvlan")
FAKES = [
    pytest.param(("fake", parent, kind), id=f"fake-{parent}-{kind}")
    for parent in PARENTS
    for kind in MODES
]


@pytest.fixture(params=[*FAKES, HERE])
def made(request: pytest.FixtureRequest) -> Case:
    """A kernel with a card in it."""
    name, parent, kind = request.param
    if name == "fake":
        return case(fake(), parent, kind)
    linux: LinuxKernel = request.getfixturevalue("linux")
    return case(linux, parent, kind)


@pytest.mark.root
def test_a_kind_that_the_kernel_lacks_is_told(linux: LinuxKernel) -> None:
    """By asking, and nothing is there afterwards."""
    before = linux.footing({"fl-probe"}, {"macvlan", "nosuchkind"})
    assert before.lacking == {"nosuchkind"}
    assert before.present == frozenset()
