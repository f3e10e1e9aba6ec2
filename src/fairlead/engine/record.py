"""A container as it is stored: what was asked, and what became of it.

A record is a value: a change replaces it. `Container` is the live thing that
holds the current record, with everything that only lives as long as the
daemon: its lock, the open sessions and who waits for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from fairlead.engine.documents import Config, EndpointSettings, HostConfig

if TYPE_CHECKING:
    from fairlead.engine.session import Session


class Probe(Struct, frozen=True, kw_only=True):
    """One run of a health check."""

    start: datetime
    end: datetime
    exit_code: int
    output: str = ""


class Health(Struct, frozen=True, kw_only=True):
    """What the health checks of a container found."""

    status: str = "starting"
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


class State(Struct, frozen=True, kw_only=True):
    """Where a container is in its life."""

    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    oom_killed: bool = False
    health: Health | None = None


class MountPoint(Struct, frozen=True, kw_only=True):
    """Something mounted into a container, resolved: it is known what and where from."""

    type: str
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    options: tuple[str, ...] = ()
    copy: bool = True
    """Fill the volume from the image when it is empty."""
    subpath: str = ""


class Record(Struct, frozen=True, kw_only=True):
    """Everything about a container that survives a restart of the daemon."""

    id: str
    name: str
    created: datetime
    image: str
    image_ref: str
    path: str
    args: tuple[str, ...]
    config: Config
    host: HostConfig
    networks: dict[str, EndpointSettings] = msgspec.field(default_factory=dict)
    state: State = State()
    mounts: tuple[MountPoint, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Legacy links of the default bridge: container id and alias."""
    restart_count: int = 0
    sandbox: str = ""
    shares: str = ""
    """The sandbox of another container that it lives in while it runs."""
    addresses: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """The addresses it had last, by the id of the network: it gets them back if it can."""
    stopped_by_hand: bool = False
    removing: bool = False
    removing_volumes: bool = False
    written: dict[str, str] = msgspec.field(default_factory=dict)
    """Digests of the files under /etc as we wrote them last, to tell a user's edit."""
    hosts_lines: tuple[str, ...] = ()
    """What we wrote into /etc/hosts last: the rest of it is the user's."""
    directory: str = ""
    platform: str = "linux"
    driver: str = "overlay2"

    @property
    def log_path(self) -> str:
        return f"{self.directory}/{self.id}-json.log"

    @property
    def hosts_path(self) -> str:
        return f"{self.directory}/hosts"

    @property
    def hostname_path(self) -> str:
        return f"{self.directory}/hostname"

    @property
    def resolv_conf_path(self) -> str:
        return f"{self.directory}/resolv.conf"

    @property
    def container_mode(self) -> str:
        """The container whose network it shares, or ""."""
        mode = self.host.network_mode
        return mode.removeprefix("container:") if mode.startswith("container:") else ""

    @property
    def host_mode(self) -> bool:
        return self.host.network_mode == "host"


RESTING = ("created", "exited", "dead")


@dataclass(frozen=True, slots=True)
class Exited:
    """What someone who waited for a container gets."""

    code: int
    error: str = ""


@dataclass(eq=False, slots=True)
class Container:
    """A container of this daemon. Only `engine` writes to it."""

    record: Record
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sessions: list[Session] = field(default_factory=list)
    """Attached before it runs; they get its streams at the next start."""
    waiters: dict[str, list[asyncio.Future[Exited]]] = field(default_factory=dict)
    execs: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no process of it runs."""
    stopping: bool = False
    """`stop` asked for its end: that is an event of its own."""
    final: bool = False
    """Someone asked for its end: no restart."""
    visitors: int = 0
    """Copies to or from its file system under way."""
    keep: bool = False
    """Between the halves of a restart: not to be removed by AutoRemove."""
    rest: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing of it runs and nothing is about to."""
    mounted: bool = False
    """Its volumes were told of as mounted."""
    plugged: bool = False
    """Its sandbox is on its networks."""
    standing: bool = False
    """Between the beginning of a start and the taking down: its sandbox is in use."""
    supervisor: asyncio.Task[None] | None = None
    checking: asyncio.Task[None] | None = None
    back_off: asyncio.Task[None] | None = None
    back_off_s: float = 0.0

    def __post_init__(self) -> None:
        self.become()

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> str:
        return self.record.state.status

    @property
    def running(self) -> bool:
        return self.status in {"running", "paused"}

    @property
    def paused(self) -> bool:
        return self.status == "paused"

    @property
    def terminal(self) -> bool:
        return self.record.config.tty

    @property
    def sandbox(self) -> str:
        return self.record.sandbox

    @property
    def exec_ids(self) -> tuple[str, ...]:
        return tuple(self.execs)

    def change(self, **fields: Any) -> None:
        """Replace the record by one with other fields."""
        self.record = msgspec.structs.replace(self.record, **fields)

    def become(self, **fields: Any) -> None:
        """Replace the state by one with other fields."""
        self.change(state=msgspec.structs.replace(self.record.state, **fields))
        if self.keep or self.status not in RESTING:
            self.rest.clear()
        else:
            self.rest.set()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While something is done to it that needs it to outlive its end."""
        self.keep = True
        try:
            yield
        finally:
            self.keep = False
            self.become()

    def tell(self, *conditions: str, exited: Exited) -> None:
        """Wake those who wait for one of the conditions."""
        for condition in conditions:
            for waiter in self.waiters.pop(condition, ()):
                if not waiter.done():
                    waiter.set_result(exited)


Filter = Callable[[Container], bool]


def encode(record: Record) -> bytes:
    """A record as it is stored."""
    return msgspec.json.encode(record)


def decode(document: bytes) -> Record:
    """A record as it was stored."""
    return msgspec.json.decode(document, type=Record)
