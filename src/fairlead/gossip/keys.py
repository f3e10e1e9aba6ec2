"""The key of a cluster's gossip: how it is given.

`fairlead.gossip.key` is the key itself as base64, or the path of a file that holds it so.
16, 24 or 32 bytes choose AES-128, -192 or -256 with GCM. Docker 20.10 has no keys: a cluster
with one of it has none either.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from fairlead.model.errors import Invalid

OPTION = "fairlead.gossip.key"
SIZES = (16, 24, 32)
LETTERS = (24, 32, 44)
"""Such keys as base64, which may begin with a slash as well."""
LONGEST_FILE_BYTES = 4096
HINT = "make one: head -c32 /dev/urandom | base64"


def read_key(text: str) -> str:
    """The key behind what the option says, as base64. Raises Invalid, which does not show it."""
    word, source = text.strip(), OPTION
    if word.startswith("/") and (len(word) not in LETTERS or Path(word).exists()):
        source = word
        try:
            with Path(word).open("rb") as file:
                word = file.read(LONGEST_FILE_BYTES).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not plain text"
            raise Invalid(f"{OPTION}: {source} cannot be read: {reason}", hint=HINT) from None
    try:
        key = base64.b64decode(word, validate=True)
    except binascii.Error:
        raise Invalid(f"{source}: not base64", hint=HINT) from None
    if len(key) not in SIZES:
        raise Invalid(f"{source}: a key of {len(key)} bytes, not 16, 24 or 32", hint=HINT)
    return base64.b64encode(key).decode()
