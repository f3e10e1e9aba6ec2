"""Secrets out of a secret: HKDF with SHA-256 (RFC 5869), under labels of our own."""

from __future__ import annotations

import hashlib
import hmac

LABEL = b"fairlead overlay 1 "
_HASH = hashlib.sha256
_SIZE = _HASH().digest_size


def derived(secret: bytes, label: bytes, size: int) -> bytes:
    """`size` bytes for what the label says; who knows them learns nothing of the secret."""
    return expand(extract(b"", secret), LABEL + label, size)


def extract(salt: bytes, secret: bytes) -> bytes:
    """The first half of HKDF: a key out of anything that is secret."""
    return hmac.digest(salt or bytes(_SIZE), secret, _HASH)


def expand(key: bytes, info: bytes, size: int) -> bytes:
    """The second half: bytes for a purpose."""
    found, block = b"", b""
    for number in range(1, -(-size // _SIZE) + 1):
        block = hmac.digest(key, block + info + bytes([number]), _HASH)
        found += block
    return found[:size]
