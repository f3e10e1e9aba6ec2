"""fairlead: container networks in Python, as a library and behind the Docker Engine API.

As a library: ``with fairlead.open("/run/mylab") as host: …``; docs/library.md has the rest.
Nothing of it is loaded before it is asked for, because the command line starts here, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.library.aio import AsyncHost, Opening, aopen
    from fairlead.library.aio_network import AsyncNetwork
    from fairlead.library.aio_sandbox import AsyncSandbox
    from fairlead.library.errors import (
        Conflict,
        Failed,
        FairleadError,
        Forbidden,
        Invalid,
        NotFound,
        Unavailable,
        Unsupported,
    )
    from fairlead.library.plain import Host
    from fairlead.library.plain import open_host as open  # noqa: A004 - what it does
    from fairlead.library.plain_network import Network
    from fairlead.library.plain_sandbox import Sandbox
    from fairlead.library.values import Endpoint, Event, Plan, Port

__version__ = "0.1.0"

__all__ = [
    "AsyncHost",
    "AsyncNetwork",
    "AsyncSandbox",
    "Conflict",
    "Endpoint",
    "Event",
    "Failed",
    "FairleadError",
    "Forbidden",
    "Host",
    "Invalid",
    "Network",
    "NotFound",
    "Opening",
    "Plan",
    "Port",
    "Sandbox",
    "Unavailable",
    "Unsupported",
    "__version__",
    "aopen",
    "open",
]

_HOMES = {
    "aio": ("AsyncHost", "Opening", "aopen"),
    "aio_network": ("AsyncNetwork",),
    "aio_sandbox": ("AsyncSandbox",),
    "plain": ("Host", "open"),
    "plain_network": ("Network",),
    "plain_sandbox": ("Sandbox",),
    "values": ("Endpoint", "Event", "Plan", "Port"),
}
_NAMED_ELSE = {"open": "open_host"}


def __getattr__(name: str) -> Any:
    """A part of the library, loaded when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'fairlead' has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "errors")
    found = getattr(import_module(f"fairlead.library.{home}"), _NAMED_ELSE.get(name, name))
    globals()[name] = found
    return found
