"""One request as handlers see it: what was asked, in which version, and who serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fairlead.api.bodies import body
from fairlead.api.query import Query
from fairlead.api.versions import NEWEST, Version
from fairlead.http.server import Response

if TYPE_CHECKING:
    from fairlead.api.settings import Settings
    from fairlead.controller.controller import Controller
    from fairlead.engine.engine import Engine
    from fairlead.http.server import Request
    from fairlead.library.boxes import Boxes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A routed request."""

    engine: Engine
    controller: Controller
    boxes: Boxes
    config: Settings
    request: Request
    version: Version = NEWEST
    query: Query = field(default_factory=Query)
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, parameter: str) -> str:
        return self.parameters[parameter]

    def since(self, major: int, minor: int) -> bool:
        """Whether the client speaks this version or a later one."""
        return self.version >= Version(major, minor)

    async def body(self, kind: type[T]) -> T:
        """The JSON body as a value."""
        return await body(self.request, kind)


Reply = Response | None
"""None: the handler took the connection over."""
Serve = Callable[[Call], Awaitable[Reply]]
