"""Sandboxes for programs without an event loop. Pairs with aio_sandbox.py, method for method."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from subprocess import PIPE, CompletedProcess, Popen

from fairlead.library.aio_sandbox import AsyncSandbox, AsyncSandboxes, Stream
from fairlead.library.boxes import Boxes
from fairlead.library.enter import command
from fairlead.library.loop import Loop
from fairlead.library.plain_network import Network
from fairlead.library.requests import Address, ref
from fairlead.library.values import Endpoint, Plan
from fairlead.library.views import SandboxView
from fairlead.model.endpoint import Port


class Sandbox(SandboxView):
    """A network namespace that networks can be joined in."""

    def __init__(self, boxes: Boxes, id_: str, loop: Loop) -> None:
        super().__init__(boxes, id_)
        self._loop = loop
        self._awaited = AsyncSandbox(boxes, id_)

    def join(
        self,
        network: Network | str,
        *,
        aliases: Sequence[str] = (),
        ip: Address | Iterable[Address] = (),
        mac: str = "",
        interface: str = "",
        priority: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """Put it on a network; its place there."""
        return self._loop.call(
            self._awaited.join(
                ref(network),
                aliases=aliases,
                ip=ip,
                mac=mac,
                interface=interface,
                priority=priority,
                options=options,
            )
        )

    def plan_join(
        self,
        network: Network | str,
        *,
        aliases: Sequence[str] = (),
        ip: Address | Iterable[Address] = (),
        mac: str = "",
        interface: str = "",
        priority: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Plan:
        """What joining would do; nothing is changed."""
        return self._loop.call(
            self._awaited.plan_join(
                ref(network),
                aliases=aliases,
                ip=ip,
                mac=mac,
                interface=interface,
                priority=priority,
                options=options,
            )
        )

    def leave(self, network: Network | str) -> None:
        """Take it off a network."""
        self._loop.call(self._awaited.leave(ref(network)))

    def publish(self, *ports: str, sources: Sequence[str] = ()) -> tuple[Port, ...]:
        """Lead ports of the host to it (`"8080:80"`, `"127.0.0.1::53/udp"`); all that do now.

        With `sources` (`"192.0.2.0/24"`) nobody else may come to these.
        """
        return self._loop.call(self._awaited.publish(*ports, sources=sources))

    def unpublish(self, *ports: str) -> tuple[Port, ...]:
        """Take back what was published in the same words; all ports that lead to it still."""
        return self._loop.call(self._awaited.unpublish(*ports))

    def remove(self) -> None:
        """Take it off every network and let its namespace go; an adopted one stays as it was."""
        self._loop.call(self._awaited.remove())

    def popen(
        self,
        argv: Sequence[str | PathLike[str]],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
    ) -> Popen[str]:
        """Start a program in it, with its names in /etc/hosts and /etc/resolv.conf."""
        words = command(str(self.netns), str(self.etc), [str(word) for word in argv])
        return Popen(words, text=True, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd)

    def run(
        self,
        argv: Sequence[str | PathLike[str]],
        *,
        input: str | None = None,
        capture: bool = False,
        check: bool = False,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
    ) -> CompletedProcess[str]:
        """Run a program in it to its end, as `subprocess.run` does. `timeout` in seconds."""
        out = PIPE if capture else None
        stdin = PIPE if input is not None else None
        started = self.popen(argv, stdin=stdin, stdout=out, stderr=out, env=env, cwd=cwd)
        with started:
            try:
                said = started.communicate(input, timeout)
            except BaseException:
                started.kill()
                raise
        done = CompletedProcess([str(word) for word in argv], started.returncode, *said)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, done.args, *said)
        return done


class Sandboxes:
    """All sandboxes of a host, by name."""

    def __init__(self, boxes: Boxes, loop: Loop) -> None:
        self._boxes = boxes
        self._loop = loop
        self._awaited = AsyncSandboxes(boxes)

    def create(
        self,
        name: str,
        *,
        hostname: str = "",
        domainname: str = "",
        dns: Sequence[str] = (),
        dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
    ) -> Sandbox:
        """Make a sandbox with a namespace of its own."""
        made = self._loop.call(
            self._awaited.create(
                name,
                hostname=hostname,
                domainname=domainname,
                dns=dns,
                dns_search=dns_search,
                dns_options=dns_options,
            )
        )
        return self._plain(made)

    def adopt(
        self,
        name: str,
        namespace: str | PathLike[str] | int,
        *,
        hostname: str = "",
        domainname: str = "",
        dns: Sequence[str] = (),
        dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
    ) -> Sandbox:
        """Make a sandbox of a namespace that is there: a path, a name of `ip netns`, a pid."""
        made = self._loop.call(
            self._awaited.adopt(
                name,
                namespace,
                hostname=hostname,
                domainname=domainname,
                dns=dns,
                dns_search=dns_search,
                dns_options=dns_options,
            )
        )
        return self._plain(made)

    def __getitem__(self, ref: str) -> Sandbox:
        """One by name or id. Raises NotFound."""
        return self._plain(self._awaited[ref])

    def __contains__(self, ref: str) -> bool:
        return ref in self._awaited

    def __iter__(self) -> Iterator[Sandbox]:
        return iter([self._plain(box) for box in self._awaited])

    def __len__(self) -> int:
        return len(self._awaited)

    def _plain(self, sandbox: AsyncSandbox) -> Sandbox:
        return Sandbox(self._boxes, sandbox.id, self._loop)
