"""The mounts of a container: the usual ones, then the user's, parents first. Pure."""

from __future__ import annotations

from typing import Any

from fairlead.model.container import ContainerSpec, Mount, MountKind

_SAFE = ["nosuid", "noexec", "nodev"]
# Docker's words that mean nothing to the kernel.
_NOT_FOR_THE_KERNEL = {"z", "Z", "nocopy", "cached", "delegated", "consistent"}
_OPPOSITES = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "ro": "rw"}


def mounts(container: ContainerSpec, init: str, init_target: str) -> list[dict[str, Any]]:
    """Every mount in the order it must be made; the user's win over the usual."""
    made = {mount["destination"]: mount for mount in _usual(container)}
    if container.init:
        made[init_target] = _bind(init, init_target, ["bind", "ro"])
    # Parents before children, or a parent would hide its children.
    for mount in sorted(container.mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
        made.pop(mount.target, None)
        made[mount.target] = _tmpfs(mount) if mount.kind is MountKind.TMPFS else _given(mount)
    return list(made.values())


def _usual(container: ContainerSpec) -> list[dict[str, Any]]:
    access = "rw" if container.privileged else "ro"
    made = [
        _mount("/proc", "proc", "proc", _SAFE),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/sys", "sysfs", "sysfs", [*_SAFE, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [*_SAFE, access]),
    ]
    if container.ipc == "host":
        made.append(_bind("/dev/mqueue", "/dev/mqueue", ["bind", *_SAFE]))
        made.append(_bind("/dev/shm", "/dev/shm", ["bind", *_SAFE]))
    else:
        made.append(_mount("/dev/mqueue", "mqueue", "mqueue", _SAFE))
    if container.ipc in ("private", "shareable", ""):
        size = f"size={container.shm_size_bytes}"
        made.append(_mount("/dev/shm", "tmpfs", "shm", [*_SAFE, "mode=1777", size]))
    return made


def _tmpfs(mount: Mount) -> dict[str, Any]:
    options = [option for option in mount.options if option not in _NOT_FOR_THE_KERNEL]
    refused = {_OPPOSITES[option] for option in options if option in _OPPOSITES}
    defaults = [option for option in _SAFE if option not in refused and option not in options]
    words = [option for option in options if option not in ("exec", "suid", "dev")]
    if mount.read_only:
        words.append("ro")
    return _mount(mount.target, "tmpfs", "tmpfs", [*defaults, *words])


def _given(mount: Mount) -> dict[str, Any]:
    options = [option for option in mount.options if option not in _NOT_FOR_THE_KERNEL]
    if "bind" not in options and "rbind" not in options:
        options.insert(0, "rbind")
    if not {"ro", "rw"} & set(options):
        options.append("ro" if mount.read_only else "rw")
    options.append(mount.propagation or "rprivate")
    return _bind(mount.source, mount.target, options)


def _bind(source: str, target: str, options: list[str]) -> dict[str, Any]:
    return _mount(target, "bind", source, options)


def _mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}
