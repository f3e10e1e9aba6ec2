"""Randomness, fetched from the kernel many bytes at a time: every question takes some."""

from __future__ import annotations

import os

NOISE_BYTES = 8192


class Noise:
    """Random bytes."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = NOISE_BYTES

    def take(self, length: int) -> bytes:
        """Bytes that nobody had before."""
        start = self._at
        if start + length > NOISE_BYTES:
            self._bytes, start = os.urandom(NOISE_BYTES), 0
        self._at = start + length
        return self._bytes[start : self._at]
