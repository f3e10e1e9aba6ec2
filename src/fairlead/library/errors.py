"""The errors that users of the library meet, under names of its own floor."""

from __future__ import annotations

from fairlead.model.errors import (
    Conflict,
    Failed,
    FairleadError,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
    Unsupported,
)

__all__ = [
    "Conflict",
    "Failed",
    "FairleadError",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Unavailable",
    "Unsupported",
]
