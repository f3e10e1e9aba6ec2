"""The user's terminal and signals while a container has them.

The rule it keeps: whatever happens inside a `with`, the terminal and the signal
handlers are afterwards what they were before.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fairlead.cli.command import Refused
from fairlead.http.client import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fairlead.cli.remote import Remote

STDIN, STDOUT = 0, 1
PROXIED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)
NOT_THERE = (404, 409)
RESIZE_TRIES = 10
RESIZE_PAUSE_SECONDS = 0.01


def check_terminal(*, tty: bool, stdin: bool) -> None:
    """Refuse -it without a terminal: nothing could be typed."""
    if tty and stdin and not os.isatty(STDIN):
        raise Refused("the input device is not a TTY")


@contextmanager
def raw(wanted: bool) -> Iterator[None]:
    """The terminal passes every key on untouched, if it is one and that is wanted."""
    if not wanted or not os.isatty(STDIN):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextmanager
def proxied(daemon: Remote, container: str, wanted: bool) -> Iterator[None]:
    """Signals sent to us go to the container."""

    def forward(number: int, _frame: Any) -> None:
        unless_gone(
            lambda: daemon.post(
                f"/containers/{container}/kill",
                signal=signal.Signals(number).name.removeprefix("SIG"),
            )
        )

    with _handlers(dict.fromkeys(PROXIED, forward) if wanted else {}):
        yield


@contextmanager
def resized(daemon: Remote, path: str, wanted: bool) -> Iterator[None]:
    """The container's terminal follows the size of ours."""
    if not wanted or size() is None:
        yield
        return

    def follow(*_: Any) -> None:
        now = size()
        if now is not None:
            unless_gone(lambda: daemon.post(f"{path}/resize", h=now[0], w=now[1]))

    with _handlers({signal.SIGWINCH: follow}):
        _first_size(daemon, path)
        yield


def size() -> tuple[int, int] | None:
    """Our terminal's lines and columns, if it is one."""
    if not os.isatty(STDOUT):
        return None
    columns, lines = os.get_terminal_size(STDOUT)
    return lines, columns


def _first_size(daemon: Remote, path: str) -> None:
    """Set the size once; a container just started may need a moment to have a terminal."""
    import time

    now = size()
    assert now is not None
    for _ in range(RESIZE_TRIES):
        try:
            daemon.post(f"{path}/resize", h=now[0], w=now[1])
        except ApiError:
            time.sleep(RESIZE_PAUSE_SECONDS)
        else:
            return


@contextmanager
def _handlers(wanted: dict[signal.Signals, Callable[[int, Any], None]]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def unless_gone(act: Callable[[], object]) -> None:
    """Do something to a container that may have ended by itself meanwhile."""
    try:
        act()
    except ApiError as error:
        if error.status not in NOT_THERE:
            raise
