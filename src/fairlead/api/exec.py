"""Routes of execs: one more program in a running container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from fairlead.api.answers import answer, nothing
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.containers import size
from fairlead.api.frames import content_type, frame
from fairlead.api.router import Route
from fairlead.api.streams import join
from fairlead.model.errors import FairleadError, Invalid

Json = dict[str, Any]
STDOUT = 1


class Start(msgspec.Struct):
    """Body of POST /exec/{id}/start."""

    Detach: bool | None = None
    Tty: bool | None = None
    ConsoleSize: tuple[int, int] | None = None


async def create(call: Call) -> Reply:
    """An exec, not yet running."""
    body = await call.body(Json)
    if not body.get("Cmd"):
        raise Invalid("No exec command specified")
    return answer({"Id": await call.engine.execs.create(call["id"], body)}, 201)


async def start(call: Call) -> Reply:
    """An exec runs; its streams are the connection's, unless it is detached.

    The connection is taken over before the program starts, so what keeps it
    from starting is told in the stream; its exit code is in inspect.
    """
    given = await call.body(Start)
    record = call.engine.execs.find(call["id"])
    terminal = record.config.tty if given.Tty is None else given.Tty
    if given.Detach:
        await call.engine.execs.start(call["id"], detach=True, terminal=terminal)
        return nothing(200)
    kind = content_type(call.version, terminal)
    connection = await call.request.hijack({"Content-Type": kind})
    try:
        session = await call.engine.execs.start(
            call["id"], terminal=terminal, console_size=given.ConsoleSize
        )
    except FairleadError as error:
        said = f"{error.message}\r\n".encode()
        await connection.write(said if terminal else frame(STDOUT, said))
        return None
    if session is not None:
        await join(connection, session, stdin=record.config.attach_stdin)
    return None


async def inspect(call: Call) -> Reply:
    """What became of an exec."""
    found = call.engine.execs.find(call["id"])
    config = found.config
    return answer(
        {
            "ID": found.id,
            "Running": found.running,
            "ExitCode": found.exit_code,
            "ProcessConfig": {
                "tty": config.tty,
                "entrypoint": found.entrypoint,
                "arguments": list(found.arguments),
                "privileged": config.privileged,
                **({"user": config.user} if config.user else {}),
            },
            "OpenStdin": found.open_stdin,
            "OpenStderr": found.open_stderr,
            "OpenStdout": found.open_stdout,
            "CanRemove": not found.running,
            "ContainerID": found.container,
            "DetachKeys": "",
            "Pid": found.pid,
        }
    )


async def resize(call: Call) -> Reply:
    """The terminal has another size."""
    rows, columns = size(call)
    await call.engine.execs.resize(call["id"], rows, columns)
    return nothing(200)


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("POST", "/containers/{id}/exec", create)
    yield Route("POST", "/exec/{id}/start", start)
    yield Route("GET", "/exec/{id}/json", inspect)
    yield Route("POST", "/exec/{id}/resize", resize)
