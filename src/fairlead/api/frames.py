"""What attach, exec and logs put on the wire. Pure.

Without a terminal, stdout and stderr share one connection as frames:

====== ======================================
bytes  meaning
====== ======================================
0      1 stdout, 2 stderr (0 would be stdin)
1–3    zero
4–7    length of the payload, big endian
8–     payload
====== ======================================

With a terminal the bytes go as they are. Which of the two it is stands in the
content type since API 1.42.
"""

from __future__ import annotations

from fairlead.api.versions import Version

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def content_type(version: Version, terminal: bool) -> str:
    """The type of a stream: old clients know only one."""
    return RAW if terminal or version < Version(1, 42) else MULTIPLEXED


def frame(stream: int, payload: bytes) -> bytes:
    """A payload with its header."""
    return bytes((stream, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload
