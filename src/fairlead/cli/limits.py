"""Option values that limit a container: ulimits, device rules, throttles, devices. Pure but
for the look at /dev a pattern of devices needs.

A function here takes what was typed and returns the API's object, or raises
ValueError in Docker's words.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from fairlead.cli.values import size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

ULIMITS = frozenset(
    [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
CGROUP_RULE = re.compile(r"^[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}$")
MODES = frozenset("rwm")


def ulimit(text: str) -> dict[str, Any]:
    """name=soft[:hard]."""
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    soft_text, colon, hard_text = limits.partition(":")
    try:
        soft = int(soft_text)
        hard = int(hard_text) if colon else soft
    except ValueError:
        wrong = soft_text if not soft_text.lstrip("-").isdigit() else hard_text
        raise ValueError(f'strconv.ParseInt: parsing "{wrong}": invalid syntax') from None
    if hard != -1 and (soft == -1 or soft > hard):
        shown = f"{soft} > {hard}"
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {shown}")
    return {"Name": name, "Soft": soft, "Hard": hard}


def cgroup_rule(text: str) -> str:
    """A rule of the devices cgroup: ``c 1:3 rw``."""
    if not CGROUP_RULE.match(text):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def bytes_rate(text: str) -> dict[str, Any]:
    """/dev/path:rate, in bytes a second."""
    path, rate = _device_value(text)
    try:
        return {"Path": path, "Rate": size_bytes(rate)}
    except ValueError:
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is "
            "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional "
            "and can be kb, mb, or gb"
        ) from None


def operations_rate(text: str) -> dict[str, Any]:
    """/dev/path:rate, in operations a second."""
    path, rate = _device_value(text)
    if not rate.isdigit():
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is "
            "<device-path>:<number>. Number must be a positive integer"
        )
    return {"Path": path, "Rate": int(rate)}


def device_weight(text: str) -> dict[str, Any]:
    """/dev/path:weight, 10 to 1000."""
    path, weight = _device_value(text)
    if not weight.isdigit() or (int(weight) != 0 and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def _device_value(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not value or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def devices(texts: Iterable[str]) -> list[dict[str, str]]:
    """--device options: /dev/here[:/dev/there][:rwm]; a trailing * takes all that match."""
    return [each for text in texts for each in _device(text)]


def _device(text: str) -> list[dict[str, str]]:
    source, *rest = text.split(":")
    if not source or len(rest) > 2:
        raise ValueError(f"bad format for path: {text}")
    mode, target = "rwm", source
    if len(rest) == 2:
        target, mode = rest
        if not _is_mode(mode):
            raise ValueError(f"bad mode specified: {mode}")
    elif rest and _is_mode(rest[0]):
        mode = rest[0]
    elif rest:
        target = rest[0]
    if not target.startswith("/"):
        raise ValueError(f"{target} is not an absolute path")
    if source.endswith("*"):
        return [_mapping(path, path, mode) for path in _matching(source)]
    return [_mapping(source, posixpath.normpath(target), mode)]


def _matching(pattern: str) -> list[str]:
    from glob import glob

    return sorted(glob(pattern))


def _mapping(source: str, target: str, mode: str) -> dict[str, str]:
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode}


def _is_mode(text: str) -> bool:
    return bool(text) and set(text) <= MODES and len(set(text)) == len(text)


def gpus(text: str) -> dict[str, Any]:
    """--gpus: all, a number, or count=,device=,driver=,capabilities=."""
    made: dict[str, Any] = {"Capabilities": [["gpu"]]}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "count", part
        if key == "count":
            if value != "all" and not value.isdigit():
                raise ValueError(
                    f'invalid count ({value}): value must be either "all" or an integer'
                )
            made["Count"] = -1 if value == "all" else int(value)
        elif key == "device":
            made["DeviceIDs"] = value.split(";")
        elif key == "driver":
            made["Driver"] = value
        elif key == "capabilities":
            made["Capabilities"] = [[*value.split(";"), "gpu"]]
        else:
            raise ValueError(f"unexpected key '{key}' in '{part}'")
    return made
