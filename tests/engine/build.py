"""Small builders of documents and records for the tests of the engine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fairlead.engine.documents import Config, EndpointSettings, HostConfig, read
from fairlead.engine.record import Container, MountPoint, Record, State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def config(**fields: Any) -> Config:
    """A config as a client would send it."""
    return read(fields, Config)


def host(**fields: Any) -> HostConfig:
    """A host config as a client would send it."""
    return read(fields, HostConfig)


def container(
    id: str,
    name: str = "c",
    *,
    at: datetime = NOON,
    state: State | None = None,
    networks: dict[str, EndpointSettings] | None = None,
    mounts: tuple[MountPoint, ...] = (),
    labels: dict[str, str] | None = None,
    ports: dict[str, Any] | None = None,
    image: str = "sha256:1",
    links: tuple[tuple[str, str], ...] = (),
    directory: str = "",
    **host_fields: Any,
) -> Container:
    """A container with an id that starts with the text given."""
    return Container(
        Record(
            id=id.ljust(64, "0"),
            name=name,
            created=at,
            image=image,
            image_ref="busybox",
            path="true",
            args=(),
            config=config(
                Labels=labels or {}, ExposedPorts=ports or {}, Image="busybox", Hostname=name
            ),
            host=host(**host_fields),
            state=state or State(),
            networks=networks or {},
            mounts=mounts,
            links=links,
            directory=directory,
        )
    )
