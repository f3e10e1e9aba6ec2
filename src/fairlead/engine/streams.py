"""logs and attach: what a container wrote, and what it writes now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fairlead.engine import detach
from fairlead.engine.execs import outputs
from fairlead.engine.record import Container
from fairlead.engine.session import Frame, Session
from fairlead.engine.tasks import Tasks
from fairlead.model.errors import Conflict, Failed, Invalid, NotFound
from fairlead.runtime import logs as log_files
from fairlead.runtime.oci import Oci


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which part of a log, and how."""

    stdout: bool = True
    stderr: bool = True
    since: datetime | None = None
    until: datetime | None = None
    timestamps: bool = False
    tail: int | None = None
    follow: bool = False


class Streams:
    """Reads logs and opens sessions."""

    def __init__(self, oci: Oci, tasks: Tasks) -> None:
        self._oci = oci
        self._tasks = tasks

    def logs(self, container: Container, request: LogRequest) -> AsyncIterator[Frame]:
        """The log of a container, to come too if followed. Raises Invalid or Failed."""
        if not request.stdout and not request.stderr:
            raise Invalid("Bad parameters: you must choose at least one stream")
        if container.record.host.log_config.type == "none":
            raise Failed("configured logging driver does not support reading")
        return self._log(container, request)

    async def _log(self, container: Container, request: LogRequest) -> AsyncIterator[Frame]:
        path = Path(container.record.log_path)
        if not path.exists():
            return
        wanted = outputs(request.stdout, request.stderr, terminal=container.terminal)
        entries = log_files.read(
            path,
            tail=request.tail,
            since=request.since,
            until=request.until,
            follow=request.follow and not container.rest.is_set(),
            # One that starts again goes on writing.
            ended=container.rest,
        )
        async for at, stream, text in entries:
            if stream in wanted:
                yield stream, _stamp(at) + text if request.timestamps else text

    def attach(
        self,
        container: Container,
        *,
        logs: bool = False,
        stream: bool = True,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        detach_keys: str = "",
    ) -> Session:
        """A session with the container's streams, now or from its next start on."""
        if container.paused:
            raise Conflict(
                f"container {container.id} is paused, unpause the container before attach"
            )
        if container.status == "restarting":
            raise Conflict(
                f"container {container.id} is restarting, wait until the container is running"
            )
        sequence = detach.keys(detach_keys)
        replay = None
        if logs and (stdout or stderr):
            replay = self._log(container, LogRequest(stdout=stdout, stderr=stderr))
        session = Session(
            terminal=container.terminal,
            stdin=stdin and container.record.config.open_stdin,
            outputs=outputs(stdout, stderr, terminal=container.terminal),
            replay=replay,
            detacher=detach.Detacher(sequence) if container.terminal else None,
            closed=lambda closed: _forget(container, closed),
        )
        if not stream:
            session.end()
        elif container.running:
            self._tasks.watch(self._open(container, session), f"attach {container.id[:12]}")
        else:
            container.sessions.append(session)
        return session

    async def _open(self, container: Container, session: Session) -> None:
        try:
            streams = await self._oci.attach(container.id)
        except (Conflict, NotFound):
            # It ended in this moment: there is nothing to hear any more.
            session.end()
            return
        if not session.connect(streams):
            await streams.close()


def _forget(container: Container, session: Session) -> None:
    if session in container.sessions:
        container.sessions.remove(session)


def _stamp(at: datetime) -> bytes:
    text = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text}000Z ".encode()
