"""What a real daemon answered, fairlead answers: status and words; and a refusal leaves nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

import pytest

from tests.compat.rows import Answer, Block, Row, blocks
from tests.docker.stage import eventually
from tests.lab import Daemon

pytestmark = pytest.mark.root

PLACES = {"c1": "n1", "d1": "bridge", "h1": "host", "z1": "none", "k1": "container:c1"}
API = "/v1.51"
"""What Docker 28.5.2 speaks."""

IDS = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b")
RUN = {"Image": "busybox", "Cmd": ["sleep", "1000000"]}


@pytest.fixture(scope="module")
def stage(daemon: Daemon) -> Daemon:
    """The containers and networks that the rows speak of.

    `n1` has a subnet of choice and `auto` has none; `c1`, `d1`, `h1` and `z1` are on n1, on the
    default bridge, on the host and on nothing, `k1` shares c1's; `p1` has port 8098 and `s1`
    never ran.
    """
    pool = {"IPAM": {"Config": [{"Subnet": "172.30.1.0/24"}]}}
    assert daemon.api("POST", "/networks/create", {"Name": "n1", **pool}).status == 201
    assert daemon.api("POST", "/networks/create", {"Name": "auto"}).status == 201
    for name, place in PLACES.items():
        daemon.docker("run", "-d", "--name", name, "--network", place, "busybox", *RUN["Cmd"])
    daemon.docker("run", "-d", "--name", "p1", "-p", "8098:80", "busybox", *RUN["Cmd"])
    daemon.docker("create", "--name", "s1", "busybox", *RUN["Cmd"])
    # The first network with IPv6 turns forwarding on, which stays.
    assert daemon.api("POST", "/networks/create", {"Name": "v6", "EnableIPv6": True}).status == 201
    assert daemon.api("DELETE", "/networks/v6").status == 204
    eventually(lambda: ":dying" not in daemon.machine.snapshot())
    return daemon


@pytest.fixture
def place(stage: Daemon) -> Iterator[Daemon]:
    """The stage, put back as it was, down to the last link and rule."""
    before = stage.machine.snapshot()
    kept = {n["Id"] for n in stage.api("GET", "/networks").json}
    there = {c["Id"] for c in stage.api("GET", "/containers/json?all=1").json}
    yield stage
    for container in stage.api("GET", "/containers/json?all=1").json:
        if container["Id"] not in there:
            path = f"/containers/{container['Id']}?force=1&v=1"
            assert stage.api("DELETE", path).status == 204
    for name in ("c1", "d1"):
        settings = stage.api("GET", f"/containers/{name}/json").json["NetworkSettings"]
        for network in set(settings["Networks"]) - {PLACES[name]}:
            body = {"Container": name}
            assert stage.api("POST", f"/networks/{network}/disconnect", body).status == 200
    for network in stage.api("GET", "/networks").json:
        if network["Id"] not in kept:
            assert stage.api("DELETE", f"/networks/{network['Id']}").status == 204
    try:
        eventually(lambda: stage.machine.snapshot() == before)
    except AssertionError:
        now = stage.machine.snapshot().splitlines()
        left = "\n".join(unified_diff(before.splitlines(), now, lineterm="", n=0))
        raise AssertionError(f"not as it was before:\n{left}") from None


def ask(daemon: Daemon, row: Row) -> Answer:
    """Sends a row's request; the answer in the form of the table."""
    body: Any = row.body
    if row.path.startswith("/containers/create") and body is not None:
        body = {**RUN, **json.loads(body)}
    answer = daemon.api(row.method, API + row.path, body)
    message = ""
    if answer.status >= 400:
        message = IDS.sub("<ID>", answer.json["message"])
    elif answer.status == 201 and (warnings := answer.json.get("Warnings")):
        message = f"Warnings={json.dumps(warnings)}"
    return str(answer.status), message


def check(daemon: Daemon, block: Block) -> None:
    """Asks all of a block, one after the other."""
    for row in block.rows:
        assert ask(daemon, row) == row.expected, f"{row.method} {row.path}"


@pytest.mark.parametrize("block", blocks("create"), ids=str)
def test_create(place: Daemon, block: Block) -> None:
    """POST /networks/create."""
    _check_and_compare(place, block)


@pytest.mark.parametrize("block", blocks("configuration"), ids=str)
def test_configuration(place: Daemon, block: Block) -> None:
    """Networks that are there only for others to be made from."""
    _check_and_compare(place, block)


@pytest.mark.parametrize("block", blocks("look"), ids=str)
def test_look_and_remove(place: Daemon, block: Block) -> None:
    """GET and DELETE /networks, POST /networks/prune."""
    _check_and_compare(place, block)


@pytest.mark.parametrize("block", blocks("connect"), ids=str)
def test_connect(place: Daemon, block: Block) -> None:
    """POST /networks/{id}/connect."""
    _check_and_compare(place, block)


@pytest.mark.parametrize("block", blocks("containers"), ids=str)
def test_containers(place: Daemon, block: Block) -> None:
    """POST /containers/create and /containers/{id}/start."""
    _check_and_compare(place, block)


@pytest.mark.parametrize("block", blocks("disconnect"), ids=str)
def test_disconnect(stage: Daemon, block: Block) -> None:
    """POST /networks/{id}/disconnect; who left comes back with a new cable."""
    check(stage, block)


def _check_and_compare(daemon: Daemon, block: Block) -> None:
    before = daemon.machine.snapshot()
    check(daemon, block)
    if block.refused:
        eventually(lambda: daemon.machine.snapshot() == before)
