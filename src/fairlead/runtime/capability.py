"""Linux capabilities: the usual fourteen, and what a user adds and drops.

Pure. Names carry their ``CAP_`` prefix inside fairlead; users may leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.model.errors import Invalid

# In the kernel's order: the position is the capability's number.
ALL = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

USUAL = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)


def from_mask(mask: int) -> tuple[str, ...]:
    """The capabilities in a kernel bit mask."""
    return tuple(name for number, name in enumerate(ALL) if mask >> number & 1)


def capabilities(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool, available: Sequence[str]
) -> tuple[str, ...]:
    """What a container may have; ``ALL`` in either list means every one there is."""
    added = [_canonical(name, "CapAdd", available) for name in add]
    dropped = [_canonical(name, "CapDrop", ALL) for name in drop]
    if privileged:
        return tuple(available)
    if "ALL" in added:
        chosen = [name for name in available if name not in dropped]
    elif "ALL" in dropped:
        chosen = added
    else:
        chosen = [name for name in (*USUAL, *added) if name not in dropped]
    return tuple(name for name in dict.fromkeys(chosen) if name in available)


def _canonical(name: str, field: str, known: Sequence[str]) -> str:
    upper = name.upper()
    if upper in ("ALL", "CAP_ALL"):
        return "ALL"
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in ALL:
        raise Invalid(f'invalid {field}: unknown capability: "{full}"')
    if full not in known:
        raise Invalid(
            f"invalid {field}: capability not supported by your kernel or not available in the "
            f'current environment: "{full}"'
        )
    return full
