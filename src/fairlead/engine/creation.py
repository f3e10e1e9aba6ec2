"""How a container comes to be: a request becomes a record, or is refused whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from fairlead.engine import defaults, names, validate
from fairlead.engine.documents import (
    Config,
    EndpointSettings,
    HostConfig,
    NetworkingConfig,
    read,
)
from fairlead.engine.mounts import mount_points
from fairlead.engine.networking import Networking
from fairlead.engine.record import Container, MountPoint, Record
from fairlead.engine.settings import Settings
from fairlead.engine.shelf import Shelf
from fairlead.engine.volumes import Volume, Volumes, document
from fairlead.model.errors import FairleadError, Invalid, NotFound
from fairlead.runtime.image import Image

API = (1, 52)

# Keys whose values are sets or may be null: null means "there, with nothing to say".
_SETS = {"ExposedPorts": dict, "Volumes": dict, "PortBindings": list}


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a create request."""

    id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A create request, decoded."""

    name: str
    config: Config
    host: HostConfig
    endpoints: Mapping[str, EndpointSettings]
    api: tuple[int, int] = API


def decode(name: str, body: Mapping[str, Any], api: tuple[int, int] = API) -> Request:
    """The JSON of POST /containers/create as a request. Raises Invalid."""
    if not body:
        raise Invalid("config cannot be empty in order to create a container")
    host = body.get("HostConfig")
    networking = read(body.get("NetworkingConfig"), NetworkingConfig)
    config = read(_sets(body), Config)
    return Request(
        name, config, read(_sets(host or {}), HostConfig), networking.endpoints_config, api
    )


def _sets(document: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise Invalid("invalid JSON: HostConfig is an object")
    made = dict(document)
    for key, empty in _SETS.items():
        if isinstance(made.get(key), Mapping):
            made[key] = {k: empty() if v is None else v for k, v in made[key].items()}
    return made


class Creation:
    """Makes records."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        volumes: Volumes,
        networking: Networking,
        settings: Settings,
        directory: Path,
        image: Callable[[str], Image],
        runtime: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._shelf = shelf
        self._volumes = volumes
        self._networking = networking
        self._settings = settings
        self._directory = directory
        self._image = image
        self._runtime = runtime
        self._clock = clock

    async def create(self, request: Request) -> tuple[Container, list[str]]:
        """A new container and warnings. Raises FairleadError in Docker's words."""
        id = self._new_id()  # noqa: A001
        name = names.checked(request.name) if request.name else self._invent()
        if self._shelf.taken(name):
            self._shelf.claim(name, id)
        image = self._image(request.config.image)
        record, warnings = self._record(request, id, name, image)
        self._shelf.claim(name, id)
        wanted: list[Volume] = []
        try:
            points = tuple(self._resolve(point, wanted) for point in record.mounts)
            container = await self._add(msgspec.structs.replace(record, mounts=points), wanted)
        except BaseException:
            self._shelf.release(name)
            raise
        return container, warnings

    async def _add(self, record: Record, wanted: Sequence[Volume]) -> Container:
        """The container with the volumes that are new, on disk together or not at all."""
        fresh = [volume for volume in wanted if not self._volumes.exists(volume.name)]
        container = self._shelf.add(record, *map(document, fresh))
        try:
            for volume in fresh:
                self._volumes.make(volume)
        except FairleadError:
            self._shelf.drop(container, *map(self._volumes.condemn, fresh))
            for volume in fresh:
                await self._volumes.destroy(volume)
            raise
        return container

    def _new_id(self) -> str:
        while True:
            id = secrets.token_hex(32)  # noqa: A001
            # An id that reads as a number would be an odd host name.
            if not id[:12].isdigit():
                return id

    def _invent(self) -> str:
        return names.invent(secrets.choice, self._shelf.taken)

    def _record(
        self, request: Request, id: str, name: str, image: Image
    ) -> tuple[Record, list[str]]:
        warnings = validate.check(request.config, request.host)
        warnings += validate.empty_bindings(request.host, request.api)
        host = defaults.with_defaults(
            request.host, runtime=self._runtime(), shm_bytes=self._settings.shm_size_bytes
        )
        host = self._by_id(validate.with_bindings(host))
        sysctls, moved = validate.interface_sysctls(host, request.api)
        config = defaults.with_image(request.config, image.config)
        links = tuple(self._link(entry) for entry in host.links or ())
        record = Record(
            id=id,
            name=name,
            created=self._clock(),
            image=image.id,
            image_ref=config.image,
            path=config.argv[0],
            args=tuple(config.argv[1:]),
            config=msgspec.structs.replace(config, hostname=_hostname(config, host, id)),
            host=msgspec.structs.replace(host, sysctls=sysctls if host.sysctls else host.sysctls),
            mounts=mount_points(config, host, self._lend),
            directory=str(self._directory / id),
        )
        return self._networked(record, request, links, moved, warnings), warnings

    def _networked(
        self,
        record: Record,
        request: Request,
        links: tuple[tuple[str, str], ...],
        moved: list[str],
        warnings: list[str],
    ) -> Record:
        networks = self._networking.resolve(record, request.endpoints)
        main = next(iter(networks), "")
        settings = networks.get(main, EndpointSettings())
        mac, warned = validate.main_mac(request.config, record.host, settings, request.api)
        warnings += warned
        if main and main not in ("host", "none"):
            networks[main] = _with_sysctls(
                msgspec.structs.replace(settings, mac_address=mac), moved
            )
        self._networking.check(networks)
        legacy = main == "bridge" and links
        host = record.host
        if legacy:
            shown = [f"/{self._shelf.find(t).name}:/{record.name}/{a}" for t, a in links]
            host = msgspec.structs.replace(host, links=shown)
        return msgspec.structs.replace(
            record, networks=networks, links=links if legacy else (), host=host
        )

    def _by_id(self, host: HostConfig) -> HostConfig:
        """Names of other containers in modes become ids, so that a rename does not matter."""
        changed = {}
        for key in ("network_mode", "ipc_mode", "pid_mode"):
            kind, colon, ref = getattr(host, key).partition(":")
            if kind == "container" and colon:
                try:
                    changed[key] = f"container:{self._shelf.find(ref).id}"
                except (NotFound, Invalid):
                    # Refused at start, as Docker does.
                    continue
        return msgspec.structs.replace(host, **changed)

    def _link(self, entry: str) -> tuple[str, str]:
        target, alias = validate.link(entry)
        try:
            return self._shelf.find(target).id, alias
        except NotFound as error:
            raise Invalid(f"could not get container for {target}: {error.message}") from None

    def _lend(self, name: str) -> Iterable[MountPoint]:
        return self._shelf.find(name).record.mounts

    def _resolve(self, point: MountPoint, wanted: list[Volume]) -> MountPoint:
        """The mount point with its source; volumes that it needs go to `wanted`."""
        if point.type == "bind" and not os.path.lexists(point.source):
            if "create" not in point.options:
                raise Invalid(
                    'invalid mount config for type "bind": bind source path does not exist: '
                    f"{point.source}"
                )
            os.makedirs(point.source, exist_ok=True)
        if point.type != "volume" or point.source:
            return point
        volume = next((v for v in wanted if v.name == point.name), None)
        if volume is None:
            volume = self._volumes.draft(point.name, point.driver)
            wanted.append(volume)
        return msgspec.structs.replace(point, name=volume.name, source=volume.mountpoint)


def _hostname(config: Config, host: HostConfig, id: str) -> str:
    if config.hostname:
        return config.hostname
    return os.uname().nodename if "host" in (host.network_mode, host.uts_mode) else id[:12]


def _with_sysctls(settings: EndpointSettings, moved: list[str]) -> EndpointSettings:
    if not moved:
        return settings
    options = {**(settings.driver_opts or {}), validate.INTERFACE_SYSCTLS: ",".join(moved)}
    return msgspec.structs.replace(settings, driver_opts=options)
