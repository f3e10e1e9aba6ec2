"""Bodies of requests: JSON to values, with Docker's words for what is wrong.

Unknown fields are ignored, as Docker does; ``null`` stands for absent. Every
struct here therefore has a default for every field.
"""

from __future__ import annotations

from email.message import Message
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fairlead.model.errors import Invalid

if TYPE_CHECKING:
    from fairlead.http.server import Request

T = TypeVar("T")

# Larger than any request a client makes, small enough to hold in memory.
MOST_BYTES = 8 << 20


def check_content_type(given: str) -> None:
    """Whether a body is declared as JSON. Raises Invalid."""
    if not given:
        raise Invalid("malformed Content-Type header (): mime: no media type")
    parsed = Message()
    parsed["content-type"] = given
    if parsed.get_content_type() != "application/json":
        raise Invalid(f"unsupported Content-Type header ({given}): must be 'application/json'")


def decode(raw: bytes, kind: type[T]) -> T:
    """JSON as a value. Raises Invalid."""
    if not raw.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    try:
        found = msgspec.json.decode(raw, type=kind | None)
    except RecursionError:
        raise Invalid("invalid JSON: exceeded max depth") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(_why(str(error))) from None
    # A body of "null" leaves everything at its default.
    return kind() if found is None else found


def _why(error: str) -> str:
    if "truncated" in error:
        return "invalid JSON: unexpected EOF"
    if "trailing characters" in error:
        return "unexpected content after JSON"
    return f"invalid JSON: {error}"


async def body(request: Request, kind: type[T]) -> T:
    """The body of a request; one without a body is all defaults. Raises Invalid."""
    given = request.headers.get("content-type", "")
    raw = await request.read(MOST_BYTES)
    if not raw:
        if given:
            check_content_type(given)
        return kind()
    check_content_type(given)
    return decode(raw, kind)
