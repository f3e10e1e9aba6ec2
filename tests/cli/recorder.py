"""A daemon that only remembers: canned answers on a unix socket, every request written down.

The rule it keeps: both command lines (ours and Docker's own) are pointed at the
same answers, so what differs in what they send or print is ours to explain.
"""

from __future__ import annotations

import json
import socketserver
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived, without its version prefix."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]
    version: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON, or None when there is none."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say: a status, and a JSON value or raw bytes.

    `after` holds the body back until it is set; `talk` takes the raw connection over.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    talk: Callable[[Any, Any], None] | None = None
    after: threading.Event | None = None

    def encoded(self) -> bytes:
        """The body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


class Recorder:
    """The server: `answers` maps "METHOD /path" to an Answer or a function of the Request."""

    def __init__(self, path: Path, api: str = "1.50") -> None:
        self.path = path
        self.api = api
        self.requests: list[Request] = []
        self.answers: dict[str, Any] = {}
        self._server = _Server(str(path), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def host(self) -> str:
        """The address in DOCKER_HOST's form."""
        return f"unix://{self.path}"

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        for answer in self.answers.values():
            if isinstance(answer, Answer) and answer.after is not None:
                answer.after.set()
        self._thread.join()
        self._server.server_close()

    def find(self, method: str, path: str) -> list[Request]:
        """The requests so far with this method and path."""
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def answer(self, request: Request) -> Answer:
        """The canned answer, or Docker's words for an unknown page."""
        if request.version and int(request.version[2:]) > int(self.api[2:]):
            newest = f"Maximum supported API version is {self.api}"
            message = f"client version {request.version} is too new. {newest}"
            return Answer({"message": message}, 400)
        canned = self.answers.get(f"{request.method} {request.path}")
        if canned is None:
            return Answer({"message": "page not found"}, 404)
        made = canned(request) if callable(canned) else canned
        return made if isinstance(made, Answer) else Answer(made)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, path: str, recorder: Recorder) -> None:
        self.recorder = recorder
        super().__init__(path, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 20

    def setup(self) -> None:
        super().setup()
        self.client_address = ("unix", 0)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: the requests are the record."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            # A client that went away mid-answer; the record already has its request.
            self.close_connection = True

    def _serve(self) -> None:
        recorder = self.server.recorder
        parts = urlsplit(self.path)
        path, version = parts.path, ""
        first, _, rest = path.lstrip("/").partition("/")
        if first.startswith("v1.") and rest:
            path, version = "/" + rest, first[1:]
        query, body = dict(parse_qsl(parts.query)), self._body()
        request = Request(self.command, path, query, body, dict(self.headers), version)
        if path == "/_ping":
            self._send(Answer(b"OK"), request)
            return
        recorder.requests.append(request)
        self._send(recorder.answer(request), request)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, answer: Answer, request: Request) -> None:
        if answer.talk is not None:
            self._hijack(answer)
            return
        body = answer.encoded()
        self.send_response(answer.status)
        self.send_header("Api-Version", self.server.recorder.api)
        self.send_header("Ostype", "linux")
        if "Content-Type" not in answer.headers:
            self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.after is not None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            answer.after.wait(self.timeout)
            body = answer.encoded()
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            return
        if answer.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body)

    def _hijack(self, answer: Answer) -> None:
        assert answer.talk is not None
        self.send_response(101, "UPGRADED")
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "tcp")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        answer.talk(self.rfile, self.wfile)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve
