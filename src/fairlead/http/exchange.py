"""One request and one answer by HTTP/1.1 (RFC 9112), on a connected socket, blocking.

Only what a client of our own server needs. The head of an answer is looked at
before it is taken, so that what follows it stays in the socket for whoever
hijacks the connection.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

HEAD_BYTES = 65536
CHUNK_BYTES = 65536
END = b"\r\n\r\n"


class Malformed(Exception):
    """The other side broke off, or does not speak HTTP."""


class Answer:
    """The head of an answer, and its body still to be read."""

    def __init__(self, sock: socket.socket, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.empty = status < 200 or status in (204, 304)
        self._sock = sock
        self._buffer = b""

    def body(self) -> Iterator[bytes]:
        """The body in pieces, as they arrive. Raises Malformed if it is cut off."""
        if self.empty:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunked()
        elif "content-length" in self.headers:
            yield from self._exactly(int(self.headers["content-length"]))
        else:
            while piece := self._sock.recv(CHUNK_BYTES):
                yield piece

    def close(self) -> None:
        self._sock.close()

    def _chunked(self) -> Iterator[bytes]:
        while size := _size(self._line()):
            yield from self._exactly(size)
            if self._line():
                raise Malformed("a chunk is longer than it said")
        while self._line():
            continue  # Trailers say nothing that we need.

    def _exactly(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._buffer[:left] or self._sock.recv(min(left, CHUNK_BYTES))
            if not piece:
                raise Malformed(f"{left} bytes are missing")
            self._buffer = self._buffer[len(piece) :]
            left -= len(piece)
            yield piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            piece = self._sock.recv(CHUNK_BYTES)
            if not piece or len(self._buffer) > HEAD_BYTES:
                raise Malformed("a line has no end")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise Malformed(f"{line[:20]!r} is no chunk size") from None


def send(
    sock: socket.socket, method: str, target: str, body: Any, headers: Mapping[str, str]
) -> None:
    """Send a request. Bytes go with their length, a file or an iterator in chunks."""
    whole = body if isinstance(body, bytes | bytearray) else b"" if body is None else None
    lines = [f"{method} {target} HTTP/1.1", "Host: fairlead"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if whole is None:
        lines.append("Transfer-Encoding: chunked")
    elif whole or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(whole)}")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in the head of a request")
    sock.sendall("\r\n".join(lines).encode() + END + (whole or b""))
    if whole is None:
        for piece in _pieces(body):
            sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")


def _pieces(body: Any) -> Iterable[bytes]:
    """What a file or an iterator gives; an empty piece would end the body."""
    if hasattr(body, "read"):
        return iter(lambda: body.read(CHUNK_BYTES), b"")
    return (piece for piece in body if piece)


def receive(sock: socket.socket, method: str) -> Answer:
    """The next answer that is not preliminary; its body is still in the socket."""
    while True:
        answer = _head(sock)
        if answer.status == 101 or answer.status >= 200:
            answer.empty = answer.empty or method == "HEAD"
            return answer


def _head(sock: socket.socket) -> Answer:
    seen = b""
    while END not in seen:
        more = sock.recv(HEAD_BYTES, socket.MSG_PEEK)
        if not more or len(seen) > HEAD_BYTES:
            raise Malformed("the head of the answer has no end")
        # Of what is new, take only what belongs to the head.
        whole = seen + more
        end = whole.find(END)
        taken = len(more) if end < 0 else end + len(END) - len(seen)
        seen += sock.recv(taken)
    first, *lines = seen[: -len(END)].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise Malformed(f"{first[:40]!r} is no answer")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Answer(sock, int(rest[:3]), headers)
