"""Seccomp profiles: from the form people write to the form runtimes read.

A written profile says "these calls, if the container has this capability, on
this architecture, from this kernel on". The OCI form knows only the calls, so
every condition is decided here. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

ARCHES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


def oci_seccomp(
    profile: Mapping[str, Any],
    *,
    capabilities: Collection[str],
    machine: str,
    kernel: tuple[int, int],
) -> dict[str, Any]:
    """Decide a profile's conditions for one container on one machine."""
    arch, native = ARCHES.get(machine, (machine, ""))
    made: dict[str, Any] = {"defaultAction": profile["defaultAction"]}
    if profile.get("defaultErrnoRet") is not None:
        made["defaultErrnoRet"] = profile["defaultErrnoRet"]
    architectures = _architectures(profile, native)
    if architectures:
        made["architectures"] = architectures
    if profile.get("flags"):
        made["flags"] = profile["flags"]
    made["syscalls"] = [
        _rule(rule)
        for rule in profile.get("syscalls") or ()
        if _applies(rule, capabilities, arch, kernel)
    ]
    return made


def _architectures(profile: Mapping[str, Any], native: str) -> list[str]:
    for entry in profile.get("archMap") or ():
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or ())]
    return list(profile.get("architectures") or ())


def _applies(
    rule: Mapping[str, Any], capabilities: Collection[str], arch: str, kernel: tuple[int, int]
) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if excludes.get("arches") and arch in excludes["arches"]:
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or ()):
        return False
    return not (includes.get("minKernel") and kernel < _version(includes["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or [rule["name"]]
    made: dict[str, Any] = {"names": list(names), "action": rule["action"]}
    if rule.get("args"):
        made["args"] = rule["args"]
    if rule.get("errnoRet") is not None and rule["action"] != "SCMP_ACT_ALLOW":
        made["errnoRet"] = rule["errnoRet"]
    return made
