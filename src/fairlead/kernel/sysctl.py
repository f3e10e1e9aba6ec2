"""Settings below /proc/sys, of the namespace that the thread is in."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/proc/sys")


def read_sysctl(path: str) -> str:
    """The value at a path such as ``net/ipv4/ip_forward``."""
    return (ROOT / path).read_text().strip()


def write_sysctl(path: str, value: str) -> None:
    (ROOT / path).write_text(value)
