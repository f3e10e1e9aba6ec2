"""A seccomp filter as the kernel's own program, by libseccomp.

crun makes it anew for each container, which takes as long as everything else
it does together. It also accepts a finished one in an annotation; so it is
made once for each profile and kept. The library and the calls are the ones
crun would use, in the same order: the programs are the same to the byte.
"""

from __future__ import annotations

import base64
import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

ANNOTATION = "run.oci.seccomp_bpf_data"

_LIBRARY = "libseccomp.so.2"
_ACTIONS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_TRAP": 0x00030000,
}
_COMPARISONS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
_EPERM = 1
_UNKNOWN = -1


class _Argument(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filters:
    """Finished filters by profile."""

    def __init__(self) -> None:
        self._made: dict[bytes, dict[str, str]] = {}

    def annotation(self, profile: Mapping[str, Any]) -> dict[str, str]:
        """The annotation that carries a profile; none where the runtime must make it."""
        key = msgspec.json.encode(profile, order="deterministic")
        if key not in self._made:
            program = _program(profile)
            encoded = base64.b64encode(program).decode()
            self._made[key] = {ANNOTATION: encoded} if program else {}
        return self._made[key]


def _program(profile: Mapping[str, Any]) -> bytes:
    """Make a profile's program; empty when it, or the library, is not as we know it."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return b""  # Then crun has its own way.
    rules = profile["syscalls"]
    known = {profile["defaultAction"], *(rule["action"] for rule in rules)} <= set(_ACTIONS)
    if not known or profile.get("flags"):
        return b""
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(
        library.seccomp_init(_action(profile["defaultAction"], profile.get("defaultErrnoRet")))
    )
    try:
        done = all(
            _architecture(library, context, name) for name in profile.get("architectures", ())
        ) and all(_rule(library, context, rule) for rule in rules)
        return _exported(library, context) if done else b""
    finally:
        library.seccomp_release(context)


def _action(name: str, errno: int | None) -> ctypes.c_uint32:
    value = _ACTIONS[name]
    if name == "SCMP_ACT_ERRNO":
        value |= _EPERM if errno is None else errno
    return ctypes.c_uint32(value)


def _architecture(library: Any, context: ctypes.c_void_p, name: str) -> bool:
    short = name.removeprefix("SCMP_ARCH_").lower().encode()
    token = ctypes.c_uint32(library.seccomp_arch_resolve_name(short))
    # The machine's own is in every filter from the start.
    return bool(token.value) and library.seccomp_arch_add(context, token) in (0, -17)  # EEXIST


def _rule(library: Any, context: ctypes.c_void_p, rule: Mapping[str, Any]) -> bool:
    action = _action(rule["action"], rule.get("errnoRet"))
    arguments = rule.get("args") or ()
    if any(each["op"] not in _COMPARISONS for each in arguments):
        return False
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:
            continue  # A system call of another machine or a later kernel.
        for group in _groups(arguments):
            made = (_Argument * len(group))(*group)
            if library.seccomp_rule_add_array(
                context, action, ctypes.c_int(number), ctypes.c_uint(len(group)), made
            ):
                return False
    return True


def _groups(arguments: Sequence[Mapping[str, Any]]) -> list[list[_Argument]]:
    """All conditions at once; several on one argument mean either, so one by one."""
    made = [
        _Argument(each["index"], _COMPARISONS[each["op"]], each["value"], each.get("valueTwo") or 0)
        for each in arguments
    ]
    indices = [each["index"] for each in arguments]
    return [made] if len(set(indices)) == len(indices) else [[each] for each in made]


def _exported(library: Any, context: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        if library.seccomp_export_bpf(context, fd):
            return b""
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
