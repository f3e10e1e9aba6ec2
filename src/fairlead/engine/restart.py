"""When a container that ended is started again.

==================  ====================  ==========================  =================
policy              it ended by itself    someone stopped it          the daemon starts
==================  ====================  ==========================  =================
no                  –                     –                           –
on-failure[:n]      code not 0, n times   –                           as it had ended
unless-stopped      again                 –                           if not stopped
always              again                 –                           again
==================  ====================  ==========================  =================

The wait before a restart starts at a tenth of a second and doubles to a
minute; a container that ran for ten seconds starts over.
"""

from __future__ import annotations

from fairlead.engine.documents import RestartPolicy
from fairlead.model.errors import Invalid

FIRST_S = 0.1
LONGEST_S = 60.0
RECOVERED_S = 10.0

KNOWN = ("no", "always", "on-failure", "unless-stopped")


def check(policy: RestartPolicy, *, auto_remove: bool = False) -> None:
    """Refuse policies that make no sense. Raises Invalid."""
    name, count = policy.name, policy.maximum_retry_count
    if name not in ("", *KNOWN):
        raise Invalid(
            f"invalid restart policy: unknown policy '{name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if count < 0:
        raise Invalid("invalid restart policy: maximum retry count cannot be negative")
    if count and name != "on-failure":
        raise Invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if auto_remove and name not in ("", "no"):
        raise Invalid("can't create 'AutoRemove' container with restart policy")


def again(policy: RestartPolicy, code: int, count: int) -> bool:
    """Whether a container that ended by itself with `code` after `count` restarts runs again."""
    if policy.name == "on-failure":
        limit = policy.maximum_retry_count
        return code != 0 and (limit == 0 or count < limit)
    return policy.name in ("always", "unless-stopped")


def with_daemon(policy: RestartPolicy, *, ran: bool, stopped_by_hand: bool, code: int) -> bool:
    """Whether a dead container runs again when the daemon starts.

    `ran` says that nobody saw it end: it ran when the daemon or host went down.
    """
    if policy.name == "always":
        return True
    if policy.name == "unless-stopped":
        return not stopped_by_hand
    return policy.name == "on-failure" and ran and code != 0


def back_off_s(previous_s: float, ran_s: float) -> float:
    """How long to wait before the next start."""
    if previous_s == 0 or ran_s >= RECOVERED_S:
        return FIRST_S
    return min(previous_s * 2, LONGEST_S)
