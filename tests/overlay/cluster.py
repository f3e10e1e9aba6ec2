"""Hosts with daemons that are members of one cluster, and what is asked of them."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from tests.lab import Daemon, Machine, Switch
from tests.lab.stores import Server

PATIENCE_SECONDS = 90.0
"""Where nothing can be seen of a fault but that it lasts: a busy machine is not one."""


def eventually(
    what: Callable[[], object],
    patience_seconds: float = PATIENCE_SECONDS,
    else_say: Callable[[], object] = str,
) -> None:
    """Waits until something is so; if it never is, says how it is instead."""
    deadline = time.monotonic() + patience_seconds
    while not what():
        late = time.monotonic() >= deadline
        assert not late, f"it did not come to pass in {patience_seconds:g} s. {else_say()}"
        time.sleep(0.02)


class Host:
    """A machine with a daemon, and the docker command line on it."""

    def __init__(self, machine: Machine, *flags: str) -> None:
        self.machine = machine
        self.flags = flags
        """What its daemon is told beside the cluster's store."""
        self.daemon: Daemon

    def up(self, stack: ExitStack, *flags: str) -> None:
        """Starts its daemon, and gives it an image."""
        self.daemon = stack.enter_context(Daemon(self.machine, *flags, *self.flags))
        self.daemon.import_busybox()

    def docker(self, *words: str, check: bool = True) -> str:
        """What a docker command prints."""
        done = self.daemon.docker(*words, check=check)
        return (done.stdout + ("" if check else done.stderr)).strip()

    def run(self, name: str, network: str, *words: str) -> str:
        """Starts a container that stays; its address on the network."""
        self.docker(
            "run", "-d", "--name", name, "--net", network, *words, "busybox", "sleep", "600"
        )
        return self.address(name, network)

    def address(self, name: str, network: str) -> str:
        """The address of a container on a network."""
        form = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
        return self.docker("inspect", "-f", form, name)

    def pings(self, name: str, target: str, count: int = 1, wait: int = 2) -> bool:
        """Whether a container hears from a target."""
        return self.ping(name, target, count, wait).returncode == 0

    def ping(
        self, name: str, target: str, count: int = 1, wait: int = 2
    ) -> subprocess.CompletedProcess[str]:
        """What comes of a ping from a container."""
        words = ("exec", name, "ping", "-c", str(count), "-W", str(wait), target)
        return self.daemon.docker(*words, check=False)

    def networks(self) -> str:
        """What `network ls` shows."""
        return self.docker("network", "ls")

    def shell(self, script: str, *, check: bool = True) -> str:
        """What a script on the host prints."""
        done = self.machine.shell(script, check=check)
        return done.stdout.strip()


@contextmanager
def pinging(host: Host, container: str, target: str) -> Iterator[None]:
    """Pings from a container's network all the time; in the end nothing may have been lost.

    The program is the host's, so that it has nothing to do with any daemon.
    """
    pid = host.docker("inspect", "-f", "{{.State.Pid}}", container)
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "ping", "-i", "0.1", target]
    with host.machine.popen(command, stdout=subprocess.PIPE) as ping:
        assert ping.stdout is not None
        heard = [ping.stdout.readline(), ping.stdout.readline()]
        yield
        # What is lost by now shows as a gap before what comes next.
        time.sleep(1)
        ping.send_signal(signal.SIGINT)
        said = "".join(heard) + ping.stdout.read()
    count = re.search(r"(\d+) packets transmitted, (\d+) packets received", said)
    assert count is not None, said
    # The signal may come before the last answers are read.
    assert 0 <= int(count[1]) - int(count[2]) <= 5, said
    answered = [int(number) for number in re.findall(r"seq=(\d+) ", said)]
    assert len(answered) > 10
    assert answered == list(range(len(answered))), "a packet in between was lost"


class Cluster:
    """Hosts of one cluster, from `with` to the end of its block."""

    def __init__(self, switch: Switch, server: Server, hosts: Sequence[Host], *flags: str) -> None:
        self.switch = switch
        self.server = server
        self.hosts = hosts
        self._flags = flags
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            for host in self.hosts:
                host.up(
                    stack,
                    f"--cluster-store={self.server.url}",
                    f"--cluster-advertise={host.machine.address}:2376",
                    *self._flags,
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def one(self) -> Host:
        return self.hosts[0]

    @property
    def two(self) -> Host:
        return self.hosts[1]

    @property
    def three(self) -> Host:
        return self.hosts[2]
