"""The daemon, or its dataplane, is killed at any step of its work; afterwards all is in order.

For each operation its steps are counted first: what the kernel is told, what is stored, each
program that starts or ends, each file, each message to the dataplane. Then the operation is begun
again and again, with a death at one of them. What runs must not notice; the daemon that
comes after must find the operation done or not begun, and nothing to repair.

Without FAIRLEAD_TRUST_ALL in the environment a sample is killed: for each operation one point of
each kind that has not been seen, the first and the last.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.trust.deaths import ALL, Seen, count, each
from tests.trust.operations import OPERATIONS, Operation
from tests.trust.scene import Scene, scene

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=("iptables", "nftables") if ALL else ("iptables",))
def stage(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """One host for all deaths; at the end fairlead is taken off it, and nothing is left."""
    with scene(f"--firewall-backend={request.param}") as made:
        yield made
        made.purge()
        made.pristine_again()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_daemon_dies(stage: Scene, seen: Seen, operation: Operation) -> None:
    """It comes back to an operation that happened or did not, and nobody noticed its death."""
    points = count(stage, operation)
    each(stage, operation, seen.sample(operation, points), dies)
    assert stage.daemon.docker("ps", "--format", "{{.Names}}").stdout.split() == ["mate", "server"]


def dies(stage: Scene, operation: Operation, number: int) -> None:
    """One death, and what is true before and after the next start."""
    stage.order(number)
    operation.ask(stage)
    # Chance may have made an operation a step shorter than when it was counted.
    if not stage.dead():
        stage.daemon.kill9()
    stage.undisturbed()
    stage.daemon.start()
    assert stage.plan() == []
    operation.converged(stage)
    stage.undisturbed()
