"""The controller when its helpers fail it: a dataplane that dies, a kernel that keeps refusing."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from fairlead.dataplane.change import Change
from fairlead.kernel.errors import Refused
from fairlead.kernel.fake import FakeKernel
from fairlead.model.endpoint import EndpointRequest, PortRequest
from fairlead.model.errors import Failed, FairleadError, Unavailable
from fairlead.model.network import NetworkRequest
from fairlead.model.state import Veth
from fairlead.model.step import Step
from tests.controller.bench import FakeDataplane, Machine

WEB = PortRequest("tcp", 80, host_port=8080)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    """A host with the network one."""
    with tempfile.TemporaryDirectory() as folder:
        found = Machine(Path(folder))
        await found.boot()
        await found.controller.create_network(NetworkRequest("one"))
        yield found
        await found.halt()


class Mortal(FakeDataplane):
    """Has died when it is next spoken to; the one that is started then knows nothing."""

    died = False

    async def ensure(self) -> bool:
        self.died, fresh = False, self.died
        return fresh

    async def apply(self, changes: Sequence[Change]) -> None:
        if self.died:
            raise Unavailable("the dataplane does not answer: connection refused")
        await super().apply(changes)

    def die(self) -> None:
        """It takes all it held along."""
        self.died = True
        self.views.clear()
        self.entries.clear()
        self.proxies.clear()


async def test_a_dataplane_that_died_is_started_within_the_change(machine: Machine) -> None:
    """Who asks for a container hears nothing of it, and the others are served again."""
    machine.controller._committer.dataplane = mortal = Mortal()  # type: ignore[assignment]
    machine.dataplane = mortal
    await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())], [WEB])
    mortal.die()

    await machine.controller.open_sandbox(machine.box("b"), [("one", EndpointRequest())])

    machine.is_right()
    assert len(mortal.entries) == 2


async def test_a_dataplane_that_died_holds_nobody_back(machine: Machine) -> None:
    """A container goes though its names cannot be taken back: nobody has them any more."""
    machine.controller._committer.dataplane = mortal = Mortal()  # type: ignore[assignment]
    machine.dataplane = mortal
    gone = machine.box("a")
    await machine.controller.open_sandbox(gone, [("one", EndpointRequest())], [WEB])
    await machine.controller.open_sandbox(machine.box("b"), [("one", EndpointRequest())])
    mortal.die()

    await machine.controller.close_sandbox(gone.id)

    machine.is_right()
    assert len(mortal.entries) == 1


async def test_ports_are_free_after_any_failure(machine: Machine) -> None:
    """Not even the host's resolv.conf could be read: the port is not held."""
    machine.resolv_conf.unlink()
    machine.resolv_conf.mkdir()
    held = []
    reserve = machine.kernel.reserve

    def watched(*args: object) -> object:
        held.append(reserve(*args))  # type: ignore[arg-type]
        return held[-1]

    machine.kernel.reserve = watched  # type: ignore[method-assign, assignment]
    with pytest.raises(IsADirectoryError):
        await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())], [WEB])

    assert held
    assert all(sock.fileno() == -1 for sock in held)


@pytest.mark.parametrize("patience", range(6))
async def test_what_could_not_be_undone_is_settled_first(machine: Machine, patience: int) -> None:
    """A kernel that refuses everything from some step on, then is well: nothing is left over."""
    _refuse_after(machine.kernel, patience)
    with pytest.raises(FairleadError):
        await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())], [WEB])
    machine.kernel.fault = None

    await machine.controller.create_network(NetworkRequest("two"))

    machine.is_right()


def _refuse_after(kernel: FakeKernel, steps: int) -> None:
    left = steps

    def fault(step: Step) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Refused(step, errno.ENOMEM)

    kernel.fault = fault


@pytest.mark.parametrize(
    "trouble", [lambda step: Refused(step, errno.ENOMEM), lambda step: RuntimeError("a bug")]
)
async def test_names_that_were_told_too_early_are_taken_back(
    machine: Machine, trouble: Callable[[Step], Exception]
) -> None:
    """They are told while the kernel is at work; if that fails, nobody resolves them."""
    box = await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())])
    await machine.controller.create_network(NetworkRequest("two"))
    entries, views = dict(machine.dataplane.entries), dict(machine.dataplane.views)

    def fault(step: Step) -> None:
        if isinstance(step.after, Veth):
            raise trouble(step)

    machine.kernel.fault = fault
    with pytest.raises((Refused, RuntimeError)):
        await machine.controller.join(box.id, "two", EndpointRequest(aliases=("early",)))
    machine.kernel.fault = None

    assert (machine.dataplane.entries, machine.dataplane.views) == (entries, views)
    await machine.controller.join(box.id, "two", EndpointRequest(aliases=("early",)))
    assert any("early" in entry.names for entry in machine.dataplane.entries.values())
    await machine.controller.leave(box.id, "two")
    assert (machine.dataplane.entries, machine.dataplane.views) == (entries, views)
    machine.is_right()


async def test_a_change_that_is_not_heard_is_none(machine: Machine) -> None:
    """A dataplane that refuses names while the kernel is at work: the kernel takes it back."""
    box = await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())])
    await machine.controller.create_network(NetworkRequest("two"))
    before, apply = dict(machine.kernel.state), machine.dataplane.apply

    async def fail(changes: Sequence[Change]) -> None:
        raise Failed("no")

    machine.dataplane.apply = fail  # type: ignore[method-assign]
    with pytest.raises(Failed, match="no"):
        await machine.controller.join(box.id, "two", EndpointRequest())
    machine.dataplane.apply = apply  # type: ignore[method-assign]

    assert machine.kernel.state == before
    machine.is_right()


@pytest.mark.parametrize("part", ["look", "delete"])
async def test_links_that_cannot_be_deleted_are_told_of(machine: Machine, part: str) -> None:
    """Nobody waits for it: a warning says that they are there, and why; the next change works."""

    def fail() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def reaper() -> Callable[[], None]:
        if part == "look":
            fail()
        return fail

    heard: asyncio.Queue[str] = asyncio.Queue()
    box = await machine.controller.open_sandbox(machine.box("a"), [("one", EndpointRequest())])
    machine.controller.warners.append(heard.put_nowait)
    machine.kernel.reaper = reaper  # type: ignore[method-assign]
    await machine.controller.close_sandbox(box.id)
    async with asyncio.timeout(30):
        text = await heard.get()

    assert "Too many open files" in text
    assert text in machine.controller.warnings
    await machine.controller.open_sandbox(machine.box("b"), [("one", EndpointRequest())])
    machine.is_right()
