"""-v and --mount: what is mounted into a container. Pure, but that a relative path is made
absolute against the working directory.

::

    -v /here:/there[:ro]     a bind      --mount type=bind,src=/here,dst=/there,readonly
    -v name:/there[:ro]      a volume    --mount src=name,dst=/there,volume-opt=k=v
    -v /there                a new one   --mount type=tmpfs,dst=/there,tmpfs-size=1m
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.cli.command import boolean
from fairlead.cli.values import size_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What a key of --mount sets: the way to it, and how its value is read.
KEYS: dict[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "type": (("Type",), str.lower),
    "source": (("Source",), str),
    "src": (("Source",), str),
    "target": (("Target",), str),
    "dst": (("Target",), str),
    "destination": (("Target",), str),
    "readonly": (("ReadOnly",), boolean),
    "ro": (("ReadOnly",), boolean),
    "consistency": (("Consistency",), str.lower),
    "bind-propagation": (("BindOptions", "Propagation"), str.lower),
    "bind-nonrecursive": (("BindOptions", "NonRecursive"), boolean),
    "bind-create-src": (("BindOptions", "CreateMountpoint"), boolean),
    "volume-nocopy": (("VolumeOptions", "NoCopy"), boolean),
    "volume-subpath": (("VolumeOptions", "Subpath"), str),
    "volume-driver": (("VolumeOptions", "DriverConfig", "Name"), str),
    "image-subpath": (("ImageOptions", "Subpath"), str),
    "tmpfs-size": (("TmpfsOptions", "SizeBytes"), size_bytes),
    "tmpfs-mode": (("TmpfsOptions", "Mode"), lambda text: int(text, 8)),
}
MAPS: dict[str, tuple[str, ...]] = {
    "volume-label": ("VolumeOptions", "Labels"),
    "volume-opt": ("VolumeOptions", "DriverConfig", "Options"),
}
# These may stand alone and then mean true.
ALONE = frozenset({"readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"})
RECURSION: dict[str, dict[str, bool]] = {
    "enabled": {},
    "disabled": {"NonRecursive": True},
    "writable": {"ReadOnlyNonRecursive": True},
    "readonly": {"ReadOnlyForceRecursive": True},
}


def mount(text: str) -> dict[str, Any]:
    """One --mount option as the API's Mount."""
    made: dict[str, Any] = {"Type": "volume"}
    for part in next(csv.reader([text]), []):
        key, equals, value = part.partition("=")
        key = key.lower()
        if not equals and key not in ALONE:
            raise ValueError(f"invalid field '{part}' must be a key=value pair")
        _set(made, key, value if equals else "true", part)
    if not made.get("Target"):
        raise ValueError("target is required")
    _check_kind(made)
    return made


def _set(made: dict[str, Any], key: str, value: str, part: str) -> None:
    if key in MAPS:
        name, _, setting = value.partition("=")
        _at(made, MAPS[key])[name] = setting
    elif key == "bind-recursive":
        if value not in RECURSION:
            raise ValueError(
                f'invalid value for {key}: {value} (must be "enabled", "disabled", '
                '"writable", or "readonly")'
            )
        _at(made, ("BindOptions",)).update(RECURSION[value])
    elif key in KEYS:
        (*way, last), read = KEYS[key]
        try:
            _at(made, tuple(way))[last] = read(value)
        except ValueError:
            raise ValueError(f"invalid value for {key}: {value}") from None
    else:
        raise ValueError(f"unexpected key '{key}' in '{part}'")


def _at(made: dict[str, Any], way: Iterable[str]) -> dict[str, Any]:
    for step in way:
        made = made.setdefault(step, {})
    return made


def _check_kind(made: dict[str, Any]) -> None:
    """Options of one kind of mount are refused on another."""
    for options, kind in (
        ("VolumeOptions", "volume"),
        ("BindOptions", "bind"),
        ("TmpfsOptions", "tmpfs"),
        ("ImageOptions", "image"),
    ):
        if options in made and made["Type"] != kind:
            mixed = f"cannot mix '{kind}-*' options with mount type '{made['Type']}'"
            raise ValueError(mixed)
    source = made.get("Source", "")
    if made["Type"] == "bind" and source.startswith("."):
        made["Source"] = str(Path(source).absolute().resolve())


def volumes(texts: Iterable[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """-v options: the binds, and the paths that get a volume of their own."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in texts:
        if not text:
            raise ValueError("invalid empty volume spec")
        source, colon, rest = text.partition(":")
        if not colon:
            anonymous[text] = {}
        elif source.startswith("."):
            binds.append(f"{_absolute(source)}:{rest}")
        else:
            binds.append(text)
    return binds, anonymous


def _absolute(path: str) -> str:
    import os.path

    return os.path.abspath(path)
