"""What the command line's tests share: a daemon that records, and ways to run fairlead."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli import oracle
from tests.cli.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.oracle import Said

    Fairlead = Callable[..., Said]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A daemon that knows nothing until told; its socket's path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder, Recorder(Path(folder, "s")) as made:
        yield made


@pytest.fixture
def fairlead(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fairlead]:
    """Runs `fairlead` against the recorder, within this process."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield lambda *args: oracle.inside(args, recorder)
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def process(recorder: Recorder) -> Fairlead:
    """Runs `fairlead` against the recorder as people do, in a process of its own."""

    def run(*args: str, stdin: bytes = b"", **environment: str) -> Said:
        return oracle.run(oracle.FAIRLEAD, args, recorder, stdin=stdin, environment=environment)

    return run


@pytest.fixture
def docker(recorder: Recorder) -> Fairlead:
    """Runs Docker's own client against the recorder."""
    if oracle.docker_client() is None:
        pytest.skip("no docker client of version 28 on the PATH to compare with")

    def run(*args: str, stdin: bytes = b"") -> Said:
        return oracle.docker(args, recorder, stdin=stdin)

    return run
