"""What the engine needs of the store and of the controller, and no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from fairlead.model.endpoint import Endpoint, EndpointRequest, PortRequest
from fairlead.model.hold import Holds
from fairlead.model.network import Network
from fairlead.model.sandbox import Sandbox, SandboxRequest
from fairlead.model.world import World

Join = tuple[str, EndpointRequest]


class Documents(Protocol):
    """Where records are kept; what is put is on disk when `put` returns."""

    def load(self, kind: str, /) -> dict[str, bytes]: ...
    def put(self, kind: str, id: str, document: bytes, /) -> None: ...
    def drop(self, kind: str, id: str, /) -> None: ...


class NetworkNews(Protocol):
    """Something happened to a network; `container` is empty where none took part."""

    @property
    def action(self) -> str: ...
    @property
    def network(self) -> Network: ...
    @property
    def container(self) -> str: ...


class Networks(Protocol):
    """The controller, as the engine sees it."""

    @property
    def world(self) -> World: ...
    @property
    def listeners(self) -> list[Callable[[Any], None]]: ...

    held: Callable[[Network], Holds]

    def network(self, ref: str, /) -> Network: ...
    def netns_path(self, sandbox: str, /) -> Path: ...
    def check_endpoint(self, network: str, request: EndpointRequest, /) -> None: ...
    def uses_resolver(self, sandbox: str, /) -> bool: ...
    async def open_sandbox(
        self, request: SandboxRequest, joins: Sequence[Join], ports: Sequence[PortRequest], /
    ) -> Sandbox: ...
    async def close_sandbox(self, sandbox: str, /, keep: bool = False) -> None: ...
    async def join(self, sandbox: str, network: str, request: EndpointRequest, /) -> Endpoint: ...
    async def leave(self, sandbox: str, network: str, /) -> None: ...
    async def rename(self, sandbox: str, name: str, /) -> None: ...
