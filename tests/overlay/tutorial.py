"""The machines of a tutorial on several hosts, and what its readers do on them beside commands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.docker.stage import Stage
from tests.lab import Daemon, Machine, Switch
from tests.overlay import images

UNIT = "/etc/systemd/system/docker.service"
PATIENCE_SECONDS = 60.0


class Hosts:
    """The machines of a tutorial by the names that it gives them, and what ran before."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self.stages = stages
        self.ids: dict[str, str] = {}

    def __getitem__(self, name: str) -> Stage:
        return self.stages[name]


def tutorial(names: tuple[str, ...], consul: str, client: str = "docker") -> Iterator[Hosts]:
    """Machines with daemons that are in no cluster yet; the last is to run consul."""
    with Switch() as switch, ExitStack() as stack:
        found = {}
        for name in names:
            daemon = stack.enter_context(Daemon(switch.machine(name)))
            images.give(daemon, images.CENTOS)
            found[name] = Stage(daemon, daemon.machine, client)
            stack.enter_context(found[name].stack)
        images.give(found[names[-1]].daemon, consul)
        yield Hosts(found)


def edit_unit(stage: Stage, more: str) -> None:
    """Adds flags to ExecStart in the unit, as the texts do with an editor."""
    unit = f"[Service]\nType=notify\nExecStart=/usr/bin/dockerd {more}\n"
    path = stage.host.path(UNIT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unit)


def restart_services(hosts: Hosts) -> None:
    """Does so on all of them at once."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(restart_service, hosts.stages.values()))


def restart_service(stage: Stage) -> None:
    """Stops the daemon and starts what ExecStart says: no systemd runs in a pretend machine."""
    said = re.search(r"(?m)^ExecStart=\S+ (.*)$", stage.host.path(UNIT).read_text())
    assert said is not None
    stage.daemon.restart(*shlex.split(said[1]))


def registered(hosts: Hosts, consul: Machine) -> bool:
    """Whether all hosts are among consul's keys."""
    url = f"http://{consul.address}:8500/v1/kv/docker/nodes?keys"
    own = {f"docker/nodes/{stage.host.address}:2376" for stage in hosts.stages.values()}
    said = consul.run(["busybox", "wget", "-qO-", url], check=False).stdout
    return said.startswith("[") and own <= set(json.loads(said))


def rows(table: str) -> list[list[str]]:
    """Splits a table as commands print them, without its heading."""
    return [line.split() for line in table.splitlines()[1:]]


def found(pattern: str, text: str) -> str:
    """What a pattern found in a text."""
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern!r} in {text!r}"
    return match[1]
