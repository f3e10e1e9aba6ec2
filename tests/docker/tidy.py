"""Empties a daemon between tests: every container, network and volume that a test left."""

from __future__ import annotations

from difflib import unified_diff

from tests.docker.stage import eventually
from tests.lab import Daemon


class Traces:
    """Sees to it that a test leaves the machine as it found it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._before = daemon.machine.snapshot()

    def none(self) -> None:
        """Removes what the test made and waits until nothing tells of it."""
        if not self._daemon.running:
            self._daemon.start()
        tidy(self._daemon)
        before, self._before = self._before, self._daemon.machine.snapshot()
        if self._before != before:
            machine, want = self._daemon.machine, before.splitlines()
            try:
                eventually(lambda: machine.snapshot() == before)
            except AssertionError:
                left = "\n".join(unified_diff(want, machine.snapshot().splitlines(), lineterm=""))
                raise AssertionError(f"not as it was before the test:\n{left}") from None
            self._before = before


def tidy(daemon: Daemon) -> None:
    """Removes it all through the API, which is quicker than the command line."""
    for container in daemon.api("GET", "/containers/json?all=1").json:
        answer = daemon.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")
        # A container run with --rm may go by itself.
        assert answer.status in (204, 404, 409), answer.body
    for network in daemon.api("GET", "/networks?filters=%7B%22type%22:%5B%22custom%22%5D%7D").json:
        answer = daemon.api("DELETE", f"/networks/{network['Id']}")
        assert answer.status == 204, answer.body


def warmed(daemon: Daemon) -> Traces:
    """The machine as it is when there was an IPv6 network once: the policy for its packets stays."""
    daemon.docker("network", "create", "--ipv6", "warm")
    daemon.docker("network", "rm", "warm")
    eventually(lambda: ":dying" not in daemon.machine.snapshot())
    return Traces(daemon)
