"""Restart policies: who runs again, and after how long."""

from __future__ import annotations

import pytest

from fairlead.engine import restart
from fairlead.engine.documents import RestartPolicy
from fairlead.model.errors import Invalid


@pytest.mark.parametrize(
    ("policy", "code", "count", "again"),
    [
        (RestartPolicy("no"), 1, 0, False),
        (RestartPolicy("always"), 0, 99, True),
        (RestartPolicy("unless-stopped"), 1, 0, True),
        (RestartPolicy("on-failure"), 0, 0, False),
        (RestartPolicy("on-failure"), 1, 99, True),
        (RestartPolicy("on-failure", 2), 1, 1, True),
        (RestartPolicy("on-failure", 2), 1, 2, False),
    ],
)
def test_who_runs_again_after_its_own_end(
    policy: RestartPolicy, code: int, count: int, again: bool
) -> None:
    """The policy, the exit code and the restarts so far decide."""
    assert restart.again(policy, code, count) is again


@pytest.mark.parametrize(
    ("name", "stopped", "runs"),
    [
        ("no", False, False),
        ("always", False, True),
        ("always", True, True),
        ("unless-stopped", False, True),
        ("unless-stopped", True, False),
    ],
)
def test_who_runs_with_the_daemon(name: str, stopped: bool, runs: bool) -> None:
    """`unless-stopped` remembers that a person stopped it; `always` does not care."""
    found = restart.with_daemon(RestartPolicy(name), ran=True, stopped_by_hand=stopped, code=0)

    assert found is runs


def test_back_off_doubles_to_a_minute_and_forgets() -> None:
    """A container that cannot stay up does not keep the machine busy."""
    waits = [0.0]
    for _ in range(12):
        waits.append(restart.back_off_s(waits[-1], ran_s=0.2))

    assert waits[1:5] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 60
    assert restart.back_off_s(60, ran_s=11) == 0.1


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (RestartPolicy("sometimes"), "unknown policy 'sometimes'"),
        (RestartPolicy("always", 3), "maximum retry count can only be used with 'on-failure'"),
        (RestartPolicy("on-failure", -1), "maximum retry count cannot be negative"),
    ],
)
def test_policies_that_make_no_sense(policy: RestartPolicy, message: str) -> None:
    """Refused at create, with the reason."""
    with pytest.raises(Invalid) as caught:
        restart.check(policy)

    assert message in caught.value.message
