"""One plugin: how it is activated and called, how often it is tried, and how long.

A call is tried again only while nobody listens: then nothing was sent. The pauses double, as
Docker's do, and all of it ends after the patience of whoever waits. An answer that is an
error ends it at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from fairlead.controller.ask import Declined
from fairlead.controller.plugins import wire
from fairlead.http.rpc import Address, NotConnected, post
from fairlead.model.errors import FairleadError, Unavailable

A = TypeVar("A", bound=wire.Said)

ACCEPT = "application/vnd.docker.plugins.v1.2+json"
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long somebody waits, in seconds: for one answer, and for a plugin that is not up."""

    answer: float
    start: float


PATIENT = Patience(answer=30.0, start=30.0)
"""A user waits for it."""
JOINING = Patience(answer=30.0, start=10.0)
"""A container does: its network was made, so the plugin was there."""
HASTY = Patience(answer=5.0, start=0.0)
"""Nobody does; it can be done later."""
GLANCE = Patience(answer=0.5, start=0.0)
"""Only what is there at once counts."""
FIRST_PAUSE_SECONDS = 0.5


class NotImplementedThere(Declined):
    """A plugin does not know the call."""


class Refusal(Declined):
    """A plugin said no."""


@dataclass(slots=True)
class Plugin:
    """A plugin that can be called. What it can do is asked once."""

    name: str
    address: Address
    implements: frozenset[str] = frozenset()
    known: dict[str, wire.Said] = field(default_factory=dict)

    async def activate(self, patience: Patience) -> None:
        """The handshake."""
        found = await self.call("Plugin.Activate", None, wire.Manifest, patience)
        self.implements = frozenset(found.Implements or ())

    async def once(self, call: str, kind: type[A], patience: Patience) -> A:
        """The answer to a question that always has the same; of one that it does not know none."""
        if call not in self.known:
            self.known[call] = await self.call(call, None, kind, patience)
        found = self.known[call]
        assert isinstance(found, kind)
        return found

    async def call(
        self, call: str, body: Mapping[str, Any] | None, kind: type[A], patience: Patience
    ) -> A:
        """What the plugin answers. Raises Refusal, Lie, Unavailable, NotImplementedThere."""
        raw = b"" if body is None else msgspec.json.encode(body)
        try:
            answer = await self._post(call, raw, patience)
        except Unavailable as error:
            raise Unavailable(
                f"plugin {self.name} did not answer {call}: {error.message}",
                hint="is it running? its own log may tell",
            ) from error
        except FairleadError as error:
            raise type(error)(f"plugin {self.name}: {error.message}") from error
        if answer.status == 404:
            raise NotImplementedThere(f"{call}: plugin {self.name} does not know it")
        if answer.status != 200:
            raise Refusal(f"{call}: {_reason(answer.status, answer.body)}")
        found = wire.read(f"plugin {self.name}", call, answer.body, kind)
        if found.refusal:
            raise Refusal(f"remote: {_line(found.refusal)}")
        return found

    async def _post(self, call: str, raw: bytes, patience: Patience) -> Any:
        headers = {"Host": "plugin", "Accept": ACCEPT, "Content-Type": ACCEPT}
        end, pause = time.monotonic() + patience.start, FIRST_PAUSE_SECONDS
        while True:
            try:
                return await post(
                    self.address,
                    f"/{call}",
                    raw,
                    headers,
                    seconds=patience.answer,
                    most_bytes=MOST_BYTES,
                )
            except NotConnected:
                if time.monotonic() + pause > end:
                    raise
                await asyncio.sleep(pause)
                pause *= 2


def _reason(status: int, body: bytes) -> str:
    try:
        said = msgspec.json.decode(body, type=wire.Said).refusal
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = body.decode(errors="replace")
    return _line(said) or f"the plugin answered {status}"


def _line(text: str) -> str:
    """Somebody else's text as one line for a person's terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
