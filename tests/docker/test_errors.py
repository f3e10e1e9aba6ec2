"""Refusals: the status and the words of a real daemon, and nothing left behind by any."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docker.errors import CONNECT, DISCONNECT, LOOK, Row
from tests.docker.errors_create import CREATE
from tests.docker.stage import eventually
from tests.docker.tidy import tidy
from tests.lab import Daemon

pytestmark = pytest.mark.root

IPV6 = (501, "IPv6 networks are not supported by this version", "not yet there")
CONFIGURATION = (501, "configuration networks are not supported by this version", "not yet there")
DIFFERENT: dict[str, tuple[int, str, str]] = {
    "static ip on auto-subnet net": (200, "", "an address of choice hurts no subnet"),
    "EnableIPv6 no subnet": IPV6,
    "EnableIPv4 false + v6": IPV6,
    "config-only ok": CONFIGURATION,
    "config-from missing": CONFIGURATION,
}
"""Rows where fairlead answers otherwise on purpose: with what, and why."""


@pytest.fixture(scope="module")
def lan(daemon: Daemon) -> Iterator[Daemon]:
    """The containers and networks that the rows speak of."""
    pool = {"IPAM": {"Config": [{"Subnet": "172.30.1.0/24"}]}}
    assert daemon.api("POST", "/networks/create", {"Name": "n1", **pool}).status == 201
    assert daemon.api("POST", "/networks/create", {"Name": "auto"}).status == 201
    places = {"c1": "n1", "d1": "bridge", "h1": "host", "z1": "none", "k1": "container:c1"}
    for name, place in places.items():
        run(daemon, name, place)
    yield daemon
    tidy(daemon)


def run(daemon: Daemon, name: str, place: str) -> None:
    """Runs a container that does nothing."""
    words = ("run", "-d", "--name", name, "--network", place, "busybox", "sleep", "1000000")
    daemon.docker(*words)


def check(daemon: Daemon, row: Row) -> None:
    """Asks, and compares the answer with what is expected."""
    answer = daemon.api(row.method, row.path, row.body)
    message = ""
    if answer.status >= 400:
        message = re.sub(r"\b([0-9a-f]{64}|[0-9a-f]{12})\b", "<ID>", answer.json["message"])
    status, words, _ = DIFFERENT.get(row.label, (row.status, row.message, ""))
    assert (answer.status, message) == (status, words)


@pytest.mark.parametrize("row", CREATE, ids=str)
def test_create(lan: Daemon, row: Row) -> None:
    """POST /networks/create."""
    before = lan.machine.snapshot()
    try:
        check(lan, row)
        if row.status >= 400:
            assert lan.machine.snapshot() == before
    finally:
        for network in lan.api("GET", "/networks").json:
            if network["Name"] not in ("bridge", "host", "none", "n1", "auto"):
                assert lan.api("DELETE", f"/networks/{network['Id']}").status == 204
    eventually(lambda: lan.machine.snapshot() == before)


@pytest.mark.parametrize("row", LOOK, ids=str)
def test_look_and_remove(lan: Daemon, row: Row) -> None:
    """GET and DELETE /networks, POST /networks/prune."""
    check(lan, row)


@pytest.mark.parametrize("row", CONNECT, ids=str)
def test_connect(lan: Daemon, row: Row) -> None:
    """POST /networks/{id}/connect."""
    before = lan.machine.snapshot()
    check(lan, row)
    if row.status == 200 or row.label in DIFFERENT:
        network = row.path.split("/")[2]
        body = {"Container": "d1"}
        assert lan.api("POST", f"/networks/{network}/disconnect", body).status == 200
    eventually(lambda: lan.machine.snapshot() == before)


@pytest.mark.parametrize("row", DISCONNECT, ids=str)
def test_disconnect(lan: Daemon, row: Row) -> None:
    """POST /networks/{id}/disconnect, in this order."""
    check(lan, row)


def test_disconnect_again(lan: Daemon) -> None:
    """A container that was disconnected is not connected."""
    row = next(row for row in DISCONNECT if row.label == "ok")
    answer = lan.api("POST", row.path, row.body)
    assert answer.status == 500
    assert re.fullmatch(
        r"container [0-9a-f]{64} is not connected to network n1", answer.json["message"]
    )
