"""`docker update`: other limits and another restart policy, while it runs or for the next start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.engine import restart, validate
from fairlead.engine.documents import HostConfig, read
from fairlead.engine.record import Container
from fairlead.engine.shelf import Shelf
from fairlead.engine.spec import limits
from fairlead.model.errors import Conflict, FairleadError, Invalid
from fairlead.runtime.oci import Oci

_FIELDS = (
    "cpu_shares", "memory", "cgroup_parent", "blkio_weight", "cpu_period", "cpu_quota",
    "cpuset_cpus", "cpuset_mems", "memory_reservation", "memory_swap", "nano_cpus",
    "pids_limit",
)  # fmt: skip


class Changes:
    """Applies new limits."""

    def __init__(self, shelf: Shelf, oci: Oci) -> None:
        self._shelf = shelf
        self._oci = oci

    async def update(self, container: Container, body: Mapping[str, Any]) -> list[str]:
        """Change what a container may use; what is left out or zero stays. Returns warnings."""
        asked = read(body, HostConfig)
        async with container.lock:
            host = self._merged(container.record.host, asked, policy="RestartPolicy" in body)
            warnings = validate.check_limits(host)
            if container.record.removing:
                raise _cannot(container, Conflict("container is marked for removal"))
            before = container.record.host
            if container.running and limits(host) != limits(before):
                try:
                    await self._oci.update(container.id, limits(host))
                except FairleadError as error:
                    raise _cannot(container, error) from error
            container.change(host=host)
            self._shelf.save(container)
        return warnings

    def _merged(self, host: HostConfig, asked: HostConfig, *, policy: bool) -> HostConfig:
        changed = {name: getattr(asked, name) for name in _FIELDS if getattr(asked, name)}
        if "memory" in changed and "memory_swap" not in changed:
            swap = host.memory_swap
            if 0 < swap < changed["memory"]:
                raise Invalid(
                    "Memory limit should be smaller than already set memoryswap limit, update "
                    "the memoryswap at the same time"
                )
        if policy and asked.restart_policy.name:
            restart.check(asked.restart_policy, auto_remove=host.auto_remove)
            changed["restart_policy"] = asked.restart_policy
        return msgspec.structs.replace(host, **changed)


def _cannot(container: Container, error: FairleadError) -> FairleadError:
    message = error.message.removeprefix(f"Cannot update container {container.id}: ")
    return type(error)(f"Cannot update container {container.id}: {message}", hint=error.hint)
