"""The dataplane is killed at any step of the daemon's work; the daemon goes on and mends it.

What goes through the kernel alone (packets between containers, ports from outside) must not
notice. What the dataplane itself holds ends with it: connections through a proxy; names and
proxied ports are back as soon as the daemon has seen its end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.trust.deaths import ALL, NEVER, Seen, count, each
from tests.trust.operations import OPERATIONS, Operation
from tests.trust.scene import Scene, scene

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=("iptables", "nftables") if ALL else ("nftables",))
def stage(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One host for all deaths; at the end fairlead is taken off it, and nothing is left."""
    with scene(f"--firewall-backend={request.param}") as made:
        yield made
        made.purge()
        made.pristine_again()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_dataplane_dies(stage: Scene, seen: Seen, operation: Operation) -> None:
    """The operation is done all the same; names and ports come back."""
    points = count(stage, operation)
    each(stage, operation, seen.sample(operation, points), dies)


def dies(stage: Scene, operation: Operation, number: int) -> None:
    """One death, which nobody may hear of but those whom the dataplane served itself."""
    old = stage.dataplane()
    stage.order(number, dataplane=True)
    answer = operation.ask(stage)
    assert answer is not None, "the daemon has died as well"
    if len(stage.points()) < number:
        # Chance has made it a step shorter than when it was counted.
        stage.order(NEVER)
        stage.host.run(["kill", "-9", str(old)], check=False)
    assert answer.status < 300, answer.body
    eventually(lambda: stage.replaced(old))
    eventually(stage.served)
    operation.done(stage)
    eventually(lambda: stage.plan() == [])
    stage.recall()
