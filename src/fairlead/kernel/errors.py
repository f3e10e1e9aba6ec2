"""What a kernel says no with."""

from __future__ import annotations

import errno
import os

from fairlead.model.errors import Failed
from fairlead.model.step import Step

HINTS = {
    errno.EEXIST: "something else on this host holds that name or address",
    errno.ENODEV: "the interface it stands on is gone; `fairlead explain` shows what is expected",
    errno.EPERM: "the daemon needs root, with CAP_NET_ADMIN",
    errno.EMFILE: "raise the daemon's limit of open files: ulimit -n, or LimitNOFILE= of its unit",
    errno.ENFILE: "raise the host's limit of open files: sysctl fs.file-max",
    errno.ENOMEM: "the host has no memory left for it",
    errno.ENOSPC: "the host allows no more of them: see /proc/sys/user/max_net_namespaces",
    errno.EBUSY: "the interface it stands on is in use: by a bridge, or by links of another kind",
    errno.ENETDOWN: "the interface it stands on is down: `ip link set NAME up`",
    errno.EOPNOTSUPP: "this kernel was built without that feature",
}


class Refused(Failed):
    """The kernel refused one step; `applied` are the steps that it took before."""

    def __init__(
        self,
        step: Step,
        code: int,
        applied: tuple[Step, ...] = (),
        detail: str = "",
        hint: str = "",
    ) -> None:
        text = detail or os.strerror(code).lower()
        super().__init__(
            f"{step.verb} {' '.join(step.resource.key)}: {text}", hint=hint or HINTS.get(code, "")
        )
        self.step = step
        self.code = code
        self.applied = applied
        self.detail = detail

    def after(self, done: tuple[Step, ...]) -> Refused:
        """The same refusal, when other steps were taken before this batch."""
        return Refused(self.step, self.code, (*done, *self.applied), self.detail, self.hint)
