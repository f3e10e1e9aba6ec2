"""Containers look as those of a real daemon, created, running and exited."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.api.container_json import (
    View,
    command,
    inspect_json,
    list_json,
    network_settings,
    status_text,
)
from fairlead.api.versions import NEWEST, Version
from fairlead.engine.documents import Config, EndpointSettings, HostConfig, read
from fairlead.engine.record import Health, MountPoint, Record, State
from fairlead.model.endpoint import Endpoint, Port

OBSERVED = Path(__file__).parent / "observed"
SEEN_AT = Version(1, 51)
"""What Docker 28.5.2 speaks, whose answers these are."""


def observed(name: str) -> Any:
    """What a real daemon 28.5.2 answered."""
    return json.loads((OBSERVED / f"{name}.json").read_text())


TWO = observed("container-inspect-two-networks")
LISTED = observed("containers-json")[0]
IDS = {name: at["NetworkID"] for name, at in TWO["Networks"].items()}
STARTED = datetime(2026, 11, 20, 15, 44, tzinfo=UTC)
RECORD = Record(
    id=LISTED["Id"],
    name="app",
    created=datetime.fromtimestamp(LISTED["Created"], UTC),
    image=LISTED["ImageID"],
    image_ref="busybox",
    path="sleep",
    args=("100000",),
    config=Config(hostname="apphost", exposed_ports={"53/udp": {}, "80/tcp": {}}),
    host=HostConfig(network_mode="web"),
    state=State(status="running", pid=7, started_at=STARTED),
)
WEB = read({"IPAMConfig": {"IPv4Address": "172.31.5.9"}, "Aliases": ["al1"]}, EndpointSettings)


def place(network: str, mac: str, addresses: list[str], gateways: list[str]) -> Endpoint:
    """An endpoint as it was at the real daemon."""
    return Endpoint(
        id=TWO["Networks"][network]["EndpointID"],
        network=IDS[network],
        sandbox=TWO["SandboxID"],
        ifname="veth0",
        inside="eth0",
        mac=mac,
        addresses=tuple(ip_interface(a) for a in addresses),
        gateways=tuple(ip_address(g) for g in gateways),
    )


AT_WEB = place(
    "web",
    "7e:84:fa:75:a8:fc",
    ["172.31.5.9/16", "fd00:77::2/64"],
    ["172.31.5.254", "fd00:77::1"],
)
AT_BRIDGE = place("bridge", "96:16:65:21:fa:9a", ["172.17.0.2/16"], ["172.17.0.1"])
RUNNING = View(
    record=RECORD,
    status="running",
    running=True,
    paused=False,
    sandbox=TWO["SandboxID"],
    sandbox_key="<path>",
    attachments=[("web", WEB, AT_WEB), ("bridge", EndpointSettings(), AT_BRIDGE)],
    ports=[
        Port("tcp", 80, ip_address("0.0.0.0"), 8080),
        Port("tcp", 80, ip_address("::"), 8080),
    ],
    exposed=["80/tcp", "53/udp"],
    dns_names={"web": ("app", "al1", "07cda813b368", "apphost")},
)


def without_run(view: View, state: State) -> View:
    """The same container while it does not run."""
    return replace(
        view,
        record=msgspec.structs.replace(view.record, state=state),
        status=state.status,
        running=False,
        sandbox="",
        sandbox_key="",
        ports=(),
        attachments=[("web", WEB, None)],
    )


CREATED = replace(without_run(RUNNING, State()), dns_names={})
EXITED = without_run(
    RUNNING,
    State(
        status="exited",
        exit_code=137,
        started_at=STARTED,
        finished_at=STARTED + timedelta(seconds=2),
    ),
)


def test_a_running_container_on_two_networks() -> None:
    """Every key of NetworkSettings, in order."""
    assert json.dumps(network_settings(RUNNING, IDS, SEEN_AT)) == json.dumps(TWO)


def test_a_container_on_a_user_defined_network_only() -> None:
    """The keys of docker0 stay empty."""
    alone = replace(RUNNING, attachments=[("web", WEB, AT_WEB)])
    seen = observed("container-inspect-running-networksettings")
    assert json.dumps(network_settings(alone, IDS, SEEN_AT)) == json.dumps(seen)


@pytest.mark.parametrize(("view", "seen"), [(CREATED, "created"), (EXITED, "exited")])
def test_a_container_that_does_not_run(view: View, seen: str) -> None:
    """What was asked for stays, what it had is blank."""
    expected = observed(f"container-inspect-{seen}-networksettings")
    assert json.dumps(network_settings(view, IDS, SEEN_AT)) == json.dumps(expected)


def test_since_1_52_there_are_only_networks() -> None:
    """Docker 29 says nothing of docker0 beside the networks; else the same keys, in its order."""
    seen = observed("container-inspect-running-networksettings-1.52")
    alone = replace(RUNNING, attachments=[("web", WEB, AT_WEB)])
    shown = network_settings(alone, IDS, Version(1, 52))
    assert list(shown) == list(seen)
    assert list(shown["Networks"]["web"]) == list(seen["Networks"]["web"])
    before = network_settings(alone, IDS, Version(1, 51))
    assert shown["Networks"]["web"] == before["Networks"]["web"]


def test_a_list_entry_is_what_a_real_daemon_says() -> None:
    """Same keys, same order, same values."""
    shown = list_json(RUNNING, IDS, SEEN_AT, STARTED)
    assert json.dumps(shown) == json.dumps(LISTED)


def test_since_1_52_a_list_says_who_is_well() -> None:
    """Docker 29 has a word on health also for one that has no checks; before there was no key."""
    shown = list_json(RUNNING, IDS, Version(1, 52), STARTED)
    assert shown["Health"] == {"Status": "none", "FailingStreak": 0}
    assert list(shown)[-4:] == ["HostConfig", "Health", "NetworkSettings", "Mounts"]
    ill = msgspec.structs.replace(RECORD.state, health=Health(status="unhealthy", failing_streak=3))
    view = replace(RUNNING, record=msgspec.structs.replace(RECORD, state=ill))
    told = list_json(view, IDS, Version(1, 52), STARTED)["Health"]
    assert told == {"Status": "unhealthy", "FailingStreak": 3}


def test_endpoint_fields_come_with_their_version() -> None:
    """Old clients get the fields of their time, and the aliases as they were then."""
    old = network_settings(RUNNING, IDS, Version(1, 43))["Networks"]["web"]
    assert "GwPriority" not in old
    assert "DNSNames" not in old
    assert old["Aliases"] == ["al1", "07cda813b368", "apphost"]


def test_a_container_in_the_hosts_network_has_no_ports() -> None:
    """Exposed ports are not shown where nothing could publish them."""
    cableless = replace(AT_BRIDGE, cable=False, mac="", addresses=(), gateways=())
    view = replace(RUNNING, attachments=[("host", EndpointSettings(), cableless)], ports=())
    assert network_settings(view, {}, NEWEST)["Ports"] == {}


def test_inspect_says_everything_in_dockers_words() -> None:
    """A client that reads Go's struct finds each key it looks for."""
    mount = MountPoint(type="bind", source="/srv", destination="/data", rw=False)
    record = msgspec.structs.replace(RECORD, mounts=(mount,))
    shown = inspect_json(replace(RUNNING, record=record, size=(1, 2)), IDS, NEWEST)
    assert shown["Name"] == "/app"
    assert shown["State"]["StartedAt"] == "2026-11-20T15:44:00Z"
    assert shown["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert shown["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/srv",
            "Destination": "/data",
            "Mode": "",
            "RW": False,
            "Propagation": "",
        }
    ]
    assert (shown["SizeRw"], shown["SizeRootFs"]) == (1, 2)
    assert shown["HostConfig"]["NetworkMode"] == "web"
    assert shown["Config"]["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}}
    msgspec.json.encode(shown)


@pytest.mark.parametrize(
    ("view", "seconds", "text"),
    [
        (RUNNING, 5, "Up 5 seconds"),
        (replace(RUNNING, paused=True, status="paused"), 90, "Up About a minute (Paused)"),
        (CREATED, 5, "Created"),
        (EXITED, 12, "Exited (137) 10 seconds ago"),
        (replace(EXITED, status="restarting"), 12, "Restarting (137) 10 seconds ago"),
        (replace(EXITED, status="removing"), 12, "Removal In Progress"),
    ],
)
def test_the_status_reads_as_in_docker_ps(view: View, seconds: int, text: str) -> None:
    """One wording for each state."""
    assert status_text(view, STARTED + timedelta(seconds=seconds)) == text


def test_a_command_is_shown_in_one_line() -> None:
    """Arguments with spaces in quotes."""
    assert command("sh", ["-c", "echo hi"]) == "sh -c 'echo hi'"
