"""From what a client sent to a complete document: the image's part and Docker's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from fairlead.engine import health, ports
from fairlead.engine.documents import Config, HostConfig, words
from fairlead.model.container import MASKED_PATHS, MIB, READONLY_PATHS
from fairlead.model.errors import Invalid

SHM_BYTES = 64 * MIB


def with_image(config: Config, image: Mapping[str, Any]) -> Config:
    """The config with what its image says and the user did not. Raises Invalid."""
    user_env = config.env or []
    return msgspec.structs.replace(
        config,
        user=config.user or image.get("User") or "",
        working_dir=config.working_dir or image.get("WorkingDir") or "",
        env=merged_env(image.get("Env") or [], user_env),
        labels={**(image.get("Labels") or {}), **config.labels},
        exposed_ports=_exposed(config, image),
        volumes={**(image.get("Volumes") or {}), **(config.volumes or {})} or None,
        stop_signal=config.stop_signal or image.get("StopSignal") or msgspec.UNSET,
        healthcheck=health.merged(config.healthcheck or None, image.get("Healthcheck"))
        or msgspec.UNSET,
        **_command(config, image),
    )


def merged_env(image: list[str], user: list[str]) -> list[str]:
    """Environment of image and user; where both name a variable the user's word counts."""
    found: dict[str, str] = {}
    for entry in [*image, *user]:
        name, _, _ = entry.partition("=")
        if not name:
            raise Invalid(f"invalid environment variable: {entry}")
        found[name] = entry
    return list(found.values())


def _command(config: Config, image: Mapping[str, Any]) -> dict[str, list[str] | None]:
    entrypoint = words(config.entrypoint)
    command = words(config.cmd)
    if config.entrypoint is None:
        # An image's command only goes with an image's entrypoint.
        command = command or list(image.get("Cmd") or [])
        entrypoint = list(image.get("Entrypoint") or [])
    elif entrypoint == [""]:
        # The CLI's way to say: no entrypoint, not even the image's.
        entrypoint = []
    if not entrypoint and not command:
        raise Invalid("no command specified", hint="the image has no command of its own: add one")
    return {"entrypoint": entrypoint or None, "cmd": command or None}


def _exposed(config: Config, image: Mapping[str, Any]) -> dict[str, Any] | msgspec.UnsetType:
    keys = [*(image.get("ExposedPorts") or {}), *config.ports]
    return {ports.normal(key): {} for key in keys} or msgspec.UNSET


def with_defaults(host: HostConfig, *, runtime: str, shm_bytes: int = SHM_BYTES) -> HostConfig:
    """The host config with Docker's defaults in place of what was left out."""
    mode = host.network_mode
    confined = not host.privileged
    return msgspec.structs.replace(
        host,
        network_mode="bridge" if mode in ("", "default") else mode,
        port_bindings={ports.normal(k): v or [] for k, v in host.port_bindings.items()},
        restart_policy=host.restart_policy
        if host.restart_policy.name
        else msgspec.structs.replace(host.restart_policy, name="no"),
        log_config=host.log_config
        if host.log_config.type
        else msgspec.structs.replace(host.log_config, type="json-file"),
        ipc_mode=host.ipc_mode or "private",
        cgroupns_mode=host.cgroupns_mode or "host",
        shm_size=host.shm_size or shm_bytes,
        runtime=host.runtime or runtime,
        masked_paths=_paths(host.masked_paths, MASKED_PATHS, confined),
        readonly_paths=_paths(host.readonly_paths, READONLY_PATHS, confined),
        memory_swap=host.memory_swap or host.memory * 2,
    )


def _paths(given: list[str] | None, usual: tuple[str, ...], confined: bool) -> list[str] | None:
    if given is not None:
        return given
    return list(usual) if confined else None
