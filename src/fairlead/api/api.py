"""The Docker Engine API: one handler for the HTTP server, one place for its errors.

A request goes through here once: its version is read off, its route found,
its handler called. Handlers raise; what they raise becomes an answer in
`on_error`, and what nobody expected is logged and told in a short sentence.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import fairlead
from fairlead.api import (
    archive,
    attach,
    cluster,
    containers,
    doctor,
    events,
    exec,  # noqa: A004 - the noun is Docker's
    images,
    live_ports,
    networks,
    sandboxes,
    system,
    trace,
    transfer,
    unsupported,
    volumes,
)
from fairlead.api.answers import answer, problem, refusal
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.query import query
from fairlead.api.router import Match, PageNotFound, Route, Router, WrongMethod
from fairlead.api.served import Served, Traffic
from fairlead.api.settings import Settings
from fairlead.api.versions import NEWEST, Version, split
from fairlead.engine.log import structlog
from fairlead.http.connection import only_left
from fairlead.http.server import ClientLeft, Request, Response
from fairlead.library.boxes import Boxes
from fairlead.model.errors import reasons

if TYPE_CHECKING:
    from fairlead.controller.controller import Controller
    from fairlead.engine.engine import Engine

HOST_TROUBLE = {
    errno.ENOSPC: "free some space on the disk of --data-root and --exec-root",
    errno.EDQUOT: "free some space on the disk of --data-root and --exec-root",
    errno.EROFS: "is the disk of --data-root or --exec-root mounted read-only?",
    errno.EMFILE: "raise the daemon's limit of open files: ulimit -n, or LimitNOFILE= of its unit",
    errno.ENFILE: "raise the host's limit of open files: sysctl fs.file-max",
    errno.ENOMEM: "the host has no memory left",
}
"""What is nobody's fault in here, wherever it strikes, and what to do about it."""

NOUNS = (
    system,
    doctor,
    trace,
    cluster,
    networks,
    sandboxes,
    containers,
    live_ports,
    attach,
    archive,
    exec,
    images,
    transfer,
    volumes,
    events,
    unsupported,
)

SPOKEN = {
    "Api-Version": str(NEWEST),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"fairlead/{fairlead.__version__} (linux)",
}
"""Headers of every answer, by which clients find out whom they talk to."""

GONE = 499
"""How a request is counted whose client left before the answer."""

_log = structlog.get_logger("api")


def router() -> Router[Serve]:
    """All routes."""
    table: list[Route[Serve]] = list(chain.from_iterable(noun.routes() for noun in NOUNS))
    return Router(table)


class Api:
    """The daemon's face to Docker's clients."""

    def __init__(
        self, engine: Engine, controller: Controller, settings: Settings | None = None
    ) -> None:
        self._engine = engine
        self._controller = controller
        self.settings = settings or Settings()
        """May be replaced at any time: each request sees the settings of its begin."""
        self.traffic = Traffic()
        self._boxes = Boxes(controller, engine.exec_root / "sandboxes")
        self._boxes.begin()
        self._router = router()

    async def handler(self, request: Request) -> Reply:
        """Answer one request. Raises what `on_error` makes an answer of."""
        began = time.monotonic()
        version, path = split(request.path)
        route = reason = ""
        status = 101
        try:
            match = self._router.match(request.method, path)
            route = match.pattern
            reply = await self._serve(request, version, match)
            if reply is not None:
                status = reply.status
        except BaseException as error:
            known = known_error(error)
            status = GONE if left(error) else 500 if known is None else known.status
            reason = "; ".join(reasons(error))
            raise
        else:
            return reply
        finally:
            seconds = time.monotonic() - began
            self.traffic.add(Served(request.method, path, route, status, seconds, reason))

    async def _serve(self, request: Request, version: Version, match: Match[Serve]) -> Reply:
        call = Call(
            self._engine,
            self._controller,
            self._boxes,
            self.settings,
            request,
            version,
            query(request.raw_query),
            match.parameters,
        )
        reply = await match.handler(call)
        return None if reply is None else signed(reply)

    def on_error(self, error: BaseException) -> Response:
        """An error as an answer, and in the log if nobody expected it."""
        known = known_error(error)
        if known is not None:
            return signed(known)
        if not isinstance(error, ClientLeft):
            _log.error("unexpected error", error=repr(error), exc_info=error)
        return signed(answer(problem("internal error", "the daemon's log says more"), 500))


def left(error: BaseException) -> bool:
    """Whether it says no more than that nobody waits for the answer."""
    return isinstance(error, asyncio.CancelledError) or only_left(error)


def known_error(error: BaseException) -> Response | None:
    """The answer to what was raised on purpose: never more than a sentence and a hint."""
    if isinstance(error, PageNotFound):
        return answer(problem("page not found"), 404)
    if isinstance(error, WrongMethod):
        allowed = ", ".join(error.allowed)
        return answer(problem("method not allowed", f"use {allowed}"), 405, {"Allow": allowed})
    if isinstance(error, OSError) and error.errno in HOST_TROUBLE:
        about = f"{error.filename}: " if error.filename else ""
        return answer(problem(f"{about}{error.strerror}", HOST_TROUBLE[error.errno]), 500)
    return refusal(error)


def signed(reply: Response) -> Response:
    """An answer with the headers that all have."""
    return replace(reply, headers={**SPOKEN, **reply.headers})
