"""Every error fairlead raises on purpose, in one tree.

::

    FairleadError            500
    ├── Invalid              400  the request makes no sense
    ├── Forbidden            403  it makes sense, and is refused
    ├── NotFound             404
    ├── NotModified          304  already so
    ├── Conflict             409  it clashes with something that exists
    ├── Failed               500  the host did not do what was asked
    ├── Unsupported          501  fairlead does not do this at all
    └── Unavailable          503  not now

The class fixes the HTTP status, the message is what Docker says in the same
case (programs match it), and the hint is ours: what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class FairleadError(Exception):
    """The root: carries a status, a message for programs and a hint for people."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(FairleadError):
    """The request itself is wrong."""

    status = 400


class Forbidden(FairleadError):
    """The request is understood and refused."""

    status = 403


class NotFound(FairleadError):
    """The named thing does not exist."""

    status = 404


class NotModified(FairleadError):
    """The thing already is as asked."""

    status = 304


class Conflict(FairleadError):
    """The request clashes with something that exists."""

    status = 409


class Failed(FairleadError):
    """The host or a program on it did not do what was asked."""

    status = 500


class Unsupported(FairleadError):
    """fairlead does not do this; the hint says what does."""

    status = 501


class Unavailable(FairleadError):
    """The thing exists and cannot serve now."""

    status = 503


def reasons(error: BaseException) -> list[str]:
    """Every leaf of an error or exception group, one line each."""
    if isinstance(error, BaseExceptionGroup):
        return [line for inner in error.exceptions for line in reasons(inner)]
    return [str(error) or type(error).__name__]
