"""Health checks: a program that is run in a container every now and then.

::

    starting ──exit 0──► healthy ◄──exit 0── unhealthy
        └───────── so many failures in a row ────► ▲

Failures while the container is still within its start period do not count. A
check begins with the container and ends with it; one that is paused is left
alone. Results are written down, so that the next daemon goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from fairlead.engine.documents import Config, read, words
from fairlead.engine.events import Events, tell
from fairlead.engine.execs import Execs
from fairlead.engine.record import Container, Health, Probe
from fairlead.engine.shelf import Shelf
from fairlead.engine.tasks import Tasks
from fairlead.model.errors import FairleadError, Invalid

NS_PER_S = 1_000_000_000
LEAST_NS = 1_000_000
OUTPUT_BYTES = 4096
KEPT = 5
SHELL = ("/bin/sh", "-c")
TIMED_OUT = -1


class Check(Struct, frozen=True, rename="pascal"):
    """A health check as documents have it; times in nanoseconds, 0 is the default."""

    test: list[str] = field(default_factory=list)
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def interval_s(self, since_start_s: float, status: str) -> float:
        """How long to wait for the next probe."""
        eager = status == "starting" and since_start_s < self.start_period / NS_PER_S
        if eager:
            return (self.start_interval or 5 * NS_PER_S) / NS_PER_S
        return (self.interval or 30 * NS_PER_S) / NS_PER_S

    @property
    def timeout_ns(self) -> int:
        return self.timeout or 30 * NS_PER_S

    @property
    def most_failures(self) -> int:
        return self.retries or 3


def merged(user: Mapping[str, Any] | None, image: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the user says about health, and where that is silent what the image says."""
    found = {key: value for key, value in (image or {}).items() if value}
    found |= {key: value for key, value in (user or {}).items() if value}
    return found if found.get("Test") else {}


def check(config: Config) -> Check | None:
    """The health check of a container, if it has one. Raises Invalid."""
    if not config.healthcheck:
        return None
    found = read(config.healthcheck, Check)
    times = {
        "Interval": found.interval,
        "Timeout": found.timeout,
        "StartPeriod": found.start_period,
        "StartInterval": found.start_interval,
    }
    for name, value in times.items():
        if value and value < LEAST_NS:
            raise Invalid(f"{name} in Healthcheck cannot be less than 1ms")
    if found.retries < 0:
        raise Invalid("Retries in Healthcheck cannot be negative")
    kind, rest = (found.test or [""])[0], found.test[1:]
    if kind in ("", "NONE"):
        return None
    if kind not in ("CMD", "CMD-SHELL") or not rest:
        raise Invalid(f"Unknown healthcheck type '{kind}' (expected 'CMD')")
    return found


def after(health: Health, probe: Probe, test: Check, since_start: timedelta) -> Health:
    """The health of a container after one more probe."""
    log = (*health.log, probe)[-KEPT:]
    if probe.exit_code == 0:
        return Health(status="healthy", log=log)
    early = since_start / timedelta(seconds=1) < test.start_period / NS_PER_S
    if health.status == "starting" and early:
        return msgspec.structs.replace(health, log=log)
    streak = health.failing_streak + 1
    status = "unhealthy" if streak >= test.most_failures else health.status
    return Health(status=status, failing_streak=streak, log=log)


class Watcher:
    """Runs the health checks of all containers."""

    def __init__(
        self,
        shelf: Shelf,
        execs: Execs,
        events: Events,
        tasks: Tasks,
        clock: Callable[[], datetime],
    ) -> None:
        self._shelf = shelf
        self._execs = execs
        self._events = events
        self._tasks = tasks
        self._clock = clock

    def begin(self, container: Container) -> None:
        """A container has started: its health begins anew."""
        if check(container.record.config) is None:
            return
        last = container.record.state.health or Health()
        container.become(health=Health(log=last.log))
        self.go_on(container)

    def go_on(self, container: Container) -> None:
        """Check a container that runs, from where it was left."""
        self.end(container)
        test = check(container.record.config)
        if test is not None:
            work = self._watch(container, test)
            container.checking = self._tasks.watch(work, f"health {container.id[:12]}")

    def end(self, container: Container) -> None:
        """No more probes."""
        if container.checking is not None:
            container.checking.cancel()
            container.checking = None

    async def _watch(self, container: Container, test: Check) -> None:
        while True:
            health = container.record.state.health or Health()
            age_s = self._age(container) / timedelta(seconds=1)
            await asyncio.sleep(test.interval_s(age_s, health.status))
            if container.status != "running":
                continue
            age = self._age(container)
            probe = await self._probe(container, test)
            if container.status == "running":
                self._note(container, probe, test, age)

    def _age(self, container: Container) -> timedelta:
        now = self._clock()
        return now - (container.record.state.started_at or now)

    def _note(self, container: Container, probe: Probe, test: Check, age: timedelta) -> None:
        before = container.record.state.health or Health()
        now = after(before, probe, test, age)
        container.become(health=now)
        self._shelf.save(container)
        if now.status != before.status:
            tell(self._events, container, f"health_status: {now.status}")

    async def _probe(self, container: Container, test: Check) -> Probe:
        start, said = self._clock(), bytearray()
        try:
            async with asyncio.timeout(test.timeout_ns / NS_PER_S):
                code = await self._execs.quietly(container, argv(container, test), said)
            words = shortened(said)
        except TimeoutError:
            code = TIMED_OUT
            words = f"Health check exceeded timeout ({duration(test.timeout_ns)})"
            words += f": {shortened(said)}" if said else ""
        except FairleadError as error:
            code, words = TIMED_OUT, error.message
        return Probe(start=start, end=self._clock(), exit_code=code, output=words)


def argv(container: Container, test: Check) -> list[str]:
    """The command of a check."""
    kind, *rest = test.test
    if kind == "CMD":
        return rest
    shell = container.record.config.shell
    return [*(words(shell or None) or SHELL), rest[0]]


def shortened(said: bytes | bytearray) -> str:
    """The first part of what a probe said."""
    text = bytes(said[:OUTPUT_BYTES]).decode(errors="replace")
    return text + "..." if len(said) > OUTPUT_BYTES else text


def duration(nanoseconds: int) -> str:
    """A time as Go writes it: ``1m30s``, ``500ms``."""
    if nanoseconds < NS_PER_S:
        return f"{nanoseconds / 1_000_000:g}ms"
    minutes, rest = divmod(nanoseconds, 60 * NS_PER_S)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / NS_PER_S:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
