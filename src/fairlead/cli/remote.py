"""The daemon as the commands see it: where it is, and one call per question.

The rule it keeps: only this module knows the version prefix of the API and where
the address comes from, and nothing here is private to fairlead; a Docker daemon
answers the same calls.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click

from fairlead.http.client import ApiError, Client

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from fairlead.http.client import Reply

API = "/v1.50"
TOO_NEW = re.compile(r"version \S+ is too new\. Maximum supported API version is ([0-9.]+)")
SOCKETS = ("/var/run/fairlead.sock", "/var/run/docker.sock")

_Answer = TypeVar("_Answer")


class Remote:
    """One daemon, asked through the versioned API."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._client = Client(host)
        self._prefix = API

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask, and leave the body of the answer to be read."""
        return self._versioned(
            lambda prefix: self._client.request(method, prefix + path, query, body, headers)
        )

    def ask(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Any:
        """Ask, and return the answer decoded."""
        reply = self.open(method, path, query=query, body=body)
        return reply.json()

    def get(self, path: str, **query: Any) -> Any:
        """Ask for something to look at."""
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """Ask for something to be done."""
        return self.ask("POST", path, query=query, body=body)

    def delete(self, path: str, **query: Any) -> Any:
        """Ask for something to be removed."""
        return self.ask("DELETE", path, query=query)

    def hijack(
        self, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> socket.socket:
        """Ask, and take the connection over."""
        return self._versioned(
            lambda prefix: self._client.hijack("POST", prefix + path, query, body)
        )

    def _versioned(self, call: Callable[[str], _Answer]) -> _Answer:
        """Call in our version of the API; if that is too new for the daemon, in its newest."""
        try:
            return call(self._prefix)
        except ApiError as error:
            older = TOO_NEW.search(error.message)
            if older is None:
                raise
            self._prefix = f"/v{older[1]}"
        return call(self._prefix)


def remote() -> Remote:
    """The daemon this invocation is meant for."""
    hosts: Sequence[str] = click.get_current_context().find_root().params.get("host") or ()
    return Remote(address(hosts))


def address(hosts: Sequence[str]) -> str:
    """The address: an option, the environment, or the first socket that is there."""
    chosen = hosts[-1] if hosts else ""
    chosen = chosen or os.environ.get("FAIRLEAD_HOST") or os.environ.get("DOCKER_HOST") or ""
    if chosen:
        return chosen if "://" in chosen else f"tcp://{chosen}"
    # os.path, for pathlib would be a tenth of the whole start.
    present = [path for path in SOCKETS if os.path.exists(path)]
    return f"unix://{(present or SOCKETS)[0]}"


def name(reference: str) -> str:
    """A reference as one part of a path."""
    return quote(reference, safe=":@")


def image_name(reference: str) -> str:
    """An image reference as the parts of a path; its slashes stay."""
    return quote(reference, safe=":@/")
