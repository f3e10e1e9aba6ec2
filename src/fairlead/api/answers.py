"""Answers: JSON, nothing, a stream of JSON lines, an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.http.server import Response
from fairlead.model.errors import FairleadError, reasons

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

JSON = {"Content-Type": "application/json"}
TAR = {"Content-Type": "application/x-tar"}


def line(value: Any) -> bytes:
    """A value as JSON, ended by a newline as Go's encoder does."""
    return msgspec.json.encode(value) + b"\n"


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as the whole body."""
    return Response(status, line(value), {**JSON, **(headers or {})})


def nothing(status: int = 204) -> Response:
    """A status says it all."""
    return Response(status, b"", {})


def text(body: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain text."""
    content = {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}
    return Response(status, body.encode(), content)


def stream(chunks: AsyncIterator[bytes], headers: Mapping[str, str] = JSON) -> Response:
    """A body that comes as it is made."""
    return Response(200, chunks, dict(headers))


def problem(message: str, hint: str = "") -> dict[str, str]:
    """The body of an error. `hint` is ours; clients that do not know it ignore it."""
    return {"message": message, "hint": hint} if hint else {"message": message}


def worst(error: BaseException) -> FairleadError | None:
    """The error of ours that decides the status of an exception or a group of them."""
    if isinstance(error, FairleadError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [worst(inner) for inner in error.exceptions]
        ours = [f for f in found if f is not None]
        if len(ours) == len(found):
            return max(ours, key=lambda e: e.status)
    return None


def refusal(error: BaseException) -> Response | None:
    """The answer to an error that was raised on purpose; None for all others."""
    decisive = worst(error)
    if decisive is None:
        return None
    if decisive.status == 304:
        return nothing(304)
    message = "; ".join(reasons(error))
    return answer(problem(message, decisive.hint), decisive.status)
