"""Files that others read at any time, under one name: a container has them mounted."""

from __future__ import annotations

import os
from pathlib import Path


def overwrite(path: Path, text: str) -> None:
    """Put text in place of what is there; a reader never sees less than it had."""
    data = text.encode(errors="surrogateescape")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, data)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
