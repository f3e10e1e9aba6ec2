"""A container that is only a function: what its program reads and writes on the attach stream."""

from __future__ import annotations

import io
import struct
import threading
from typing import TYPE_CHECKING, Any

from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.recorder import Recorder, Request

CONTAINER = "a" * 64
EXEC = "e" * 64


def frame(stream: int, data: bytes) -> bytes:
    """One frame of a multiplexed stream."""
    return struct.pack(">BxxxL", stream, len(data)) + data


class Container:
    """Answers create, attach, wait, start, exec and kill for one pretended container."""

    def __init__(
        self,
        recorder: Recorder,
        program: Callable[[Any, Any], int],
        *,
        tty: bool = False,
        running: bool = False,
    ) -> None:
        self.started = threading.Event()
        self.ended = threading.Event()
        self.signalled = threading.Event()
        self.program = program
        self._running = running
        self._status: dict[str, Any] = {}
        base = f"/containers/{CONTAINER}"
        inspect = {
            "Id": CONTAINER,
            "Name": "/web",
            "State": {"Running": True},
            "Config": {"Tty": tty, "OpenStdin": True},
            "HostConfig": {},
        }
        kind = {"Content-Type": "application/vnd.docker.raw-stream"}
        attach = Answer(headers=kind, talk=self._attached)
        recorder.answers |= {
            "POST /containers/create": Answer({"Id": CONTAINER, "Warnings": []}, 201),
            "GET /containers/web/json": inspect,
            f"GET {base}/json": inspect,
            f"POST {base}/attach": attach,
            f"POST {base}/wait": Answer(self._status, after=self.ended),
            f"POST {base}/start": self._start,
            "POST /containers/web/attach": attach,
            "POST /containers/web/wait": Answer(self._status, after=self.ended),
            "GET /containers/web/logs": self._logs,
            f"GET {base}/logs": self._logs,
            f"POST {base}/resize": Answer(status=200),
            f"POST {base}/kill": self._kill,
            "POST /containers/web/exec": Answer({"Id": EXEC}, 201),
            f"POST /exec/{EXEC}/start": Answer(headers=kind, talk=self._executed),
            f"POST /exec/{EXEC}/resize": Answer(status=200),
            f"GET /exec/{EXEC}/json": lambda _: {
                "ID": EXEC,
                "Running": False,
                "ExitCode": self._status.get("StatusCode", 0),
            },
        }

    def _start(self, _request: Request) -> Answer:
        self.started.set()
        return Answer(status=204)

    def _logs(self, _request: Request) -> Answer:
        printed = io.BytesIO()
        self.program(io.BytesIO(), printed)
        return Answer(printed.getvalue())

    def _kill(self, _request: Request) -> Answer:
        self.signalled.set()
        return Answer(status=204)

    def _attached(self, reader: Any, writer: Any) -> None:
        while not self._running and not self.started.wait(0.02):
            if self.ended.is_set():
                return
        self._executed(reader, writer)

    def _executed(self, reader: Any, writer: Any) -> None:
        self._status["StatusCode"] = self.program(reader, writer)
        writer.flush()
        self.ended.set()
