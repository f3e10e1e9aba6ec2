"""Links on a parent, of all kinds: what this kernel may lack the small VM has."""

from __future__ import annotations

import pytest

from fairlead.kernel.linux import LinuxKernel
from tests.contract.underlay import *  # noqa: F403  # the suite
from tests.contract.underlay import Case, case

pytestmark = [pytest.mark.vm("uml"), pytest.mark.root]


@pytest.fixture(params=["card-ipvlan", "vlan-macvlan", "vlan-ipvlan", "dummy-macvlan"])
def made(request: pytest.FixtureRequest, linux: LinuxKernel) -> Case:
    """Linux with a card in it."""
    parent, kind = request.param.split("-")
    return case(linux, parent, kind)


def test_nothing_is_lacking(linux: LinuxKernel) -> None:
    """Every kind is known, and none was made by asking."""
    found = linux.footing({"fl-probe"}, {"macvlan", "ipvlan", "vlan", "dummy"})
    assert not found.lacking
    assert not found.present
