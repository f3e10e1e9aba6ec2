"""What ``docker info`` says about the machine, read when it is asked for."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Host:
    """The machine. Memory in bytes."""

    name: str
    kernel: str
    architecture: str
    system: str
    system_version: str
    cpus: int
    memory_bytes: int
    ipv4_forwarding: bool
    bridge_filter: bool
    bridge_filter6: bool
    cgroup_version: str


def _switch(path: str) -> bool:
    try:
        return Path(path).read_text().strip() == "1"
    except FileNotFoundError:
        # Without br_netfilter these switches do not exist, and nothing is filtered.
        return False


def host() -> Host:
    """The machine as it is now."""
    kernel = os.uname()
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return Host(
        name=kernel.nodename,
        kernel=kernel.release,
        architecture=kernel.machine,
        system=release.get("PRETTY_NAME", kernel.sysname),
        system_version=release.get("VERSION_ID", ""),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        ipv4_forwarding=_switch("/proc/sys/net/ipv4/ip_forward"),
        bridge_filter=_switch("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        bridge_filter6=_switch("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        cgroup_version="2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "1",
    )


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def go_architecture(machine: str) -> str:
    """An architecture as Go and images name it."""
    return ARCHITECTURES.get(machine, machine)
