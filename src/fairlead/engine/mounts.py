"""What is mounted where: ``-v``, ``--mount``, ``--tmpfs`` and volumes of the image, resolved.

An explicit mount beats one that another container lends (``--volumes-from``),
and both beat a volume that the image asks for at the same place.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping

from fairlead.engine.documents import Config, HostConfig, MountDocument
from fairlead.engine.record import MountPoint
from fairlead.model.container import Mount, MountKind
from fairlead.model.errors import FairleadError, Invalid

LONGEST_NAME = 255
_VOLUME_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ACCESS = {"ro", "rw"}
_PROPAGATION = {"private", "rprivate", "shared", "rshared", "slave", "rslave"}
_LABELS = {"z", "Z"}
_CONSISTENCY = {"consistent", "cached", "delegated"}

Lend = Callable[[str], Iterable[MountPoint]]


def volume_name(name: str) -> str:
    """The name if a volume may have it. Raises Invalid."""
    if len(name) > LONGEST_NAME:
        raise Invalid(
            f"create {name[:32]}…: volume name is too long",
            hint=f"a name has at most {LONGEST_NAME} characters",
        )
    if not _VOLUME_NAME.fullmatch(name):
        raise Invalid(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )
    return name


def mount_points(config: Config, host: HostConfig, lend: Lend) -> tuple[MountPoint, ...]:
    """Everything to mount, sorted so that parents come first. Raises Invalid.

    A volume without a name is still to be made.
    """
    explicit: dict[str, MountPoint] = {}
    for point in _explicit(host):
        if point.destination in explicit:
            raise Invalid(f"Duplicate mount point: {point.destination}")
        explicit[point.destination] = point
    lent = {p.destination: p for entry in host.volumes_from or () for p in _lent(entry, lend)}
    image = {
        _target(path, path): MountPoint(
            type="volume", destination=_target(path, path), driver="local"
        )
        for path in config.volumes or {}
    }
    found = {**image, **lent, **explicit}
    return tuple(found[path] for path in sorted(found, key=lambda p: (p.count("/"), p)))


def _explicit(host: HostConfig) -> Iterable[MountPoint]:
    for spec in host.binds or ():
        yield bind(spec)
    for document in host.mounts or ():
        yield asked(document)
    for path, options in (host.tmpfs or {}).items():
        yield MountPoint(
            type="tmpfs",
            destination=_target(path, path),
            options=tuple(o for o in options.split(",") if o),
        )


def _lent(entry: str, lend: Lend) -> Iterable[MountPoint]:
    name, _, mode = entry.partition(":")
    if mode not in ("", *_ACCESS, *_LABELS):
        raise Invalid(f"invalid mode: {mode}")
    for point in lend(name):
        rw = point.rw and mode != "ro"
        yield MountPoint(
            type=point.type,
            destination=point.destination,
            source=point.source,
            name=point.name,
            driver=point.driver,
            mode=point.mode,
            rw=rw,
            propagation=point.propagation,
            options=point.options,
            copy=False,
            subpath=point.subpath,
        )


def bind(spec: str) -> MountPoint:
    """``source:target[:mode]`` as ``-v`` writes it; a source without slash is a volume."""
    parts = spec.split(":")
    if not 1 <= len(parts) <= 3 or not parts[0] or (len(parts) > 1 and not parts[1]):
        raise Invalid(f"invalid volume specification: '{spec}'")
    if len(parts) == 1:
        return MountPoint(type="volume", destination=_target(parts[0], spec), driver="local")
    source, target = parts[0], _target(parts[1], spec)
    mode = parts[2] if len(parts) == 3 else ""
    words = _mode(mode) if mode else set()
    rw = "ro" not in words
    propagation = next(iter(sorted(words & _PROPAGATION)), "")
    if source.startswith("/"):
        return MountPoint(
            type="bind",
            destination=target,
            source=posixpath.normpath(source),
            mode=mode,
            rw=rw,
            propagation=propagation or "rprivate",
            # A missing directory is made, as -v always did.
            options=("create",),
        )
    return MountPoint(
        type="volume",
        destination=target,
        name=volume_name(source),
        driver="local",
        mode=mode or "z",
        rw=rw,
        copy="nocopy" not in words,
    )


def _mode(text: str) -> set[str]:
    words = set(text.split(","))
    known = _ACCESS | _PROPAGATION | _LABELS | _CONSISTENCY | {"nocopy"}
    clash = any(len(words & group) > 1 for group in (_ACCESS, _PROPAGATION, _LABELS))
    if words - known or clash:
        raise Invalid(f"invalid mode: {text}")
    return words


def asked(document: MountDocument) -> MountPoint:
    """A mount as ``--mount`` asks for it. Raises Invalid."""
    kind = document.type
    if kind not in ("bind", "volume", "tmpfs"):
        raise _bad(kind, "mount type unknown" if kind else "Type is required")
    if not document.target:
        raise _bad(kind, "field Target must not be empty")
    target = _target(document.target, document.target)
    if kind == "tmpfs":
        return _tmpfs(document, target)
    if kind == "bind":
        return _bind_mount(document, target)
    options = document.volume_options
    driver = options.driver_config.name if options and options.driver_config else ""
    return MountPoint(
        type="volume",
        destination=target,
        mode="z",
        name=volume_name(document.source) if document.source else "",
        driver=driver or "local",
        rw=not document.read_only,
        copy=not (options and options.no_copy),
        subpath=options.subpath if options else "",
    )


def _bind_mount(document: MountDocument, target: str) -> MountPoint:
    if not document.source:
        raise _bad("bind", "field Source must not be empty")
    if not document.source.startswith("/"):
        raise _bad("bind", f"invalid mount path: '{document.source}' mount path must be absolute")
    options = document.bind_options
    propagation = options.propagation if options else ""
    if propagation and propagation not in _PROPAGATION:
        raise _bad("bind", f"invalid propagation mode: {propagation}")
    return MountPoint(
        type="bind",
        destination=target,
        source=posixpath.normpath(document.source),
        rw=not document.read_only,
        propagation=propagation or "rprivate",
        options=("create",) if options and options.create_mountpoint else (),
    )


def _tmpfs(document: MountDocument, target: str) -> MountPoint:
    if document.source:
        raise _bad("tmpfs", "field Source must not be specified")
    options = document.tmpfs_options
    words = []
    if options and options.size_bytes:
        words.append(f"size={options.size_bytes}")
    if options and options.mode:
        words.append(f"mode={options.mode:o}")
    return MountPoint(
        type="tmpfs", destination=target, rw=not document.read_only, options=tuple(words)
    )


def _bad(kind: str, why: str) -> FairleadError:
    return Invalid(f'invalid mount config for type "{kind}": {why}')


def _target(path: str, spec: str) -> str:
    if not path.startswith("/"):
        raise Invalid(
            f"invalid volume specification: '{spec}': invalid mount config for type "
            f"\"volume\": invalid mount path: '{path}' mount path must be absolute"
        )
    clean = posixpath.normpath(path)
    # normpath keeps a double slash at the start, which POSIX leaves open.
    clean = "/" + clean.lstrip("/")
    if clean == "/":
        raise Invalid(
            f"invalid volume specification: '{spec}': invalid mount config for type "
            "\"volume\": invalid specification: destination can't be '/'"
        )
    return clean


def as_mounts(points: Iterable[MountPoint], files: Mapping[str, str]) -> tuple[Mount, ...]:
    """Mount points for the runtime, and our own `files` (target: source) where nothing else is."""
    found = {
        point.destination: Mount(
            kind=MountKind(point.type),
            source=f"{point.source}/{point.subpath}" if point.subpath else point.source,
            target=point.destination,
            read_only=not point.rw,
            options=point.options if point.type == "tmpfs" else (),
            propagation=point.propagation,
        )
        for point in points
    }
    for target, source in files.items():
        found.setdefault(target, Mount(MountKind.BIND, source, target, propagation="rprivate"))
    return tuple(found[path] for path in sorted(found, key=lambda p: (p.count("/"), p)))


def writable(points: Iterable[MountPoint], path: str) -> bool:
    """Whether a path lies in a mount that may be written to."""
    within = [p for p in points if f"{path}/".startswith(f"{p.destination}/")]
    return max(within, key=lambda p: len(p.destination)).rw if within else False
