"""One scene for a module; each test begins on an empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.scene import FAMILIES, Family, Scene, restored, scene, state


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def stage(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scene of a module, with each firewall."""
    with scene(request.param) as made:
        yield made


@pytest.fixture
def on(stage: Scene) -> Iterator[Scene]:
    """The scene, empty before and after."""
    before = state(stage.host)
    yield stage
    stage.clear()
    # What a removal cuts off at once is deleted a little later.
    restored(stage.host, before)


@pytest.fixture(params=FAMILIES, ids=lambda family: f"IPv{family.version}")
def family(request: pytest.FixtureRequest) -> Family:
    """The address family of a test that is the same for both."""
    found: Family = request.param
    return found
