"""Sandboxes for programs with an event loop. Pairs with plain_sandbox.py, method for method."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from subprocess import CalledProcessError, CompletedProcess
from typing import IO

from fairlead.library import requests, views
from fairlead.library.aio_network import AsyncNetwork
from fairlead.library.boxes import Boxes, BoxRequest
from fairlead.library.enter import command
from fairlead.library.requests import Address
from fairlead.library.values import Endpoint, Plan
from fairlead.library.views import SandboxView
from fairlead.model.endpoint import Port
from fairlead.model.errors import NotFound

Stream = int | IO[bytes] | None


class AsyncSandbox(SandboxView):
    """A network namespace that networks can be joined in."""

    async def join(
        self,
        network: AsyncNetwork | str,
        *,
        aliases: Sequence[str] = (),
        ip: Address | Iterable[Address] = (),
        mac: str = "",
        interface: str = "",
        priority: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """Put it on a network; its place there."""
        asked = requests.endpoint_request(
            aliases=aliases, ip=ip, mac=mac, interface=interface, priority=priority, options=options
        )
        record = await self._boxes.join(self._id, requests.ref(network), asked)
        return views.endpoint(self._boxes.controller, record)

    async def plan_join(
        self,
        network: AsyncNetwork | str,
        *,
        aliases: Sequence[str] = (),
        ip: Address | Iterable[Address] = (),
        mac: str = "",
        interface: str = "",
        priority: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> Plan:
        """What joining would do; nothing is changed."""
        asked = requests.endpoint_request(
            aliases=aliases, ip=ip, mac=mac, interface=interface, priority=priority, options=options
        )
        controller, box = self._boxes.controller, self._record
        return Plan(await controller.plan_join(box.id, requests.ref(network), asked))

    async def leave(self, network: AsyncNetwork | str) -> None:
        """Take it off a network."""
        await self._boxes.leave(self._id, requests.ref(network))

    async def publish(self, *ports: str, sources: Sequence[str] = ()) -> tuple[Port, ...]:
        """Lead ports of the host to it (`"8080:80"`, `"127.0.0.1::53/udp"`); all that do now.

        With `sources` (`"192.0.2.0/24"`) nobody else may come to these.
        """
        return await self._boxes.publish(self._id, ports, sources)

    async def unpublish(self, *ports: str) -> tuple[Port, ...]:
        """Take back what was published in the same words; all ports that lead to it still."""
        return await self._boxes.unpublish(self._id, ports)

    async def remove(self) -> None:
        """Take it off every network and let its namespace go; an adopted one stays as it was."""
        await self._boxes.remove(self._id)

    async def popen(
        self,
        argv: Sequence[str | PathLike[str]],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
    ) -> Process:
        """Start a program in it, with its names in /etc/hosts and /etc/resolv.conf."""
        words = command(str(self.netns), str(self.etc), [str(word) for word in argv])
        return await asyncio.create_subprocess_exec(
            *words, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd
        )

    async def run(
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
        started = await self.popen(argv, stdin=stdin, stdout=out, stderr=out, env=env, cwd=cwd)
        try:
            async with asyncio.timeout(timeout):
                said = await started.communicate(None if input is None else input.encode())
        except BaseException:
            if started.returncode is None:
                started.kill()
                await started.wait()
            raise
        texts = [part.decode(errors="replace") if capture else None for part in said]
        assert started.returncode is not None
        words = [str(word) for word in argv]
        done = CompletedProcess(words, started.returncode, texts[0], texts[1])
        if check and done.returncode:
            raise CalledProcessError(done.returncode, words, texts[0], texts[1])
        return done


class AsyncSandboxes:
    """All sandboxes of a host, by name."""

    def __init__(self, boxes: Boxes) -> None:
        self._boxes = boxes

    async def create(
        self,
        name: str,
        *,
        hostname: str = "",
        domainname: str = "",
        dns: Sequence[str] = (),
        dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
    ) -> AsyncSandbox:
        """Make a sandbox with a namespace of its own."""
        asked = BoxRequest(name, "", hostname, domainname, dns, dns_search, dns_options)
        return AsyncSandbox(self._boxes, (await self._boxes.open(asked)).id)

    async def adopt(
        self,
        name: str,
        namespace: str | PathLike[str] | int,
        *,
        hostname: str = "",
        domainname: str = "",
        dns: Sequence[str] = (),
        dns_search: Sequence[str] = (),
        dns_options: Sequence[str] = (),
    ) -> AsyncSandbox:
        """Make a sandbox of a namespace that is there: a path, a name of `ip netns`, a pid."""
        asked = BoxRequest(name, namespace, hostname, domainname, dns, dns_search, dns_options)
        return AsyncSandbox(self._boxes, (await self._boxes.open(asked)).id)

    def __getitem__(self, ref: str) -> AsyncSandbox:
        """One by name or id. Raises NotFound."""
        return AsyncSandbox(self._boxes, self._boxes.find(ref).id)

    def __contains__(self, ref: str) -> bool:
        try:
            self._boxes.find(ref)
        except NotFound:
            return False
        return True

    def __iter__(self) -> Iterator[AsyncSandbox]:
        return iter([AsyncSandbox(self._boxes, box.id) for box in self._boxes.all()])

    def __len__(self) -> int:
        return len(self._boxes.all())
