"""Containers on networks: starting, connecting, disconnecting, being renamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.model.errors import FairleadError, Forbidden, Invalid, NotFound
from tests.engine.bench import Desk

SHARED = (
    "container sharing network namespace with another container or host cannot be connected to "
    "any other network"
)
PRIVATE = (
    "container cannot be connected to multiple networks with one of the networks in private "
    "(none) mode"
)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A place to make containers."""
    made = await Desk(tmp_path).open()
    yield made
    await made.close()


def refusal(error: pytest.ExceptionInfo[FairleadError]) -> tuple[int, str]:
    return error.value.status, error.value.message


async def test_a_start_joins_everything_at_once(desk: Desk) -> None:
    """All networks and ports are there before the first process."""
    container, _ = await desk.create(
        "web",
        ExposedPorts={"80/tcp": {}},
        HostConfig={"NetworkMode": "n1", "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
        NetworkingConfig={"EndpointsConfig": {"n1": {}, "auto": {}}},
    )
    await desk.run(container)

    found = desk.networking.endpoints(container)
    assert [(name, live.inside) for name, _, live in found if live] == [
        ("n1", "eth0"),
        ("auto", "eth1"),
    ]
    assert {p.host_port for p in desk.networking.ports(container)} == {8080}


async def test_an_unknown_network_is_told_at_start(desk: Desk) -> None:
    """With the words that every failure of networks at start begins with."""
    container, _ = await desk.create(HostConfig={"NetworkMode": "nosuch"})

    with pytest.raises(NotFound) as caught:
        await desk.run(container)
    assert caught.value.message == (
        "failed to set up container networking: network nosuch not found"
    )
    assert not desk.controller.world.sandboxes


async def test_host_mode_with_another_network_fails_at_start(desk: Desk) -> None:
    """Docker takes the request and refuses the start."""
    container, _ = await desk.create(
        HostConfig={"NetworkMode": "host"},
        NetworkingConfig={"EndpointsConfig": {"n1": {}}},
    )

    with pytest.raises(Invalid) as caught:
        await desk.run(container)
    assert caught.value.message == f"failed to set up container networking: {SHARED}"


async def test_connect_and_disconnect_a_running_container(desk: Desk) -> None:
    """It has the network at once, and its hosts file says so."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)

    await desk.membership.connect("auto", container, {"Aliases": ["front"]})
    hosts = Path(container.record.hosts_path).read_text()
    assert len(desk.controller.world.in_sandbox(container.sandbox)) == 2
    assert [line for line in hosts.splitlines() if line.startswith("172.18.0.2\t")]

    await desk.membership.disconnect("auto", "web")
    assert len(desk.controller.world.in_sandbox(container.sandbox)) == 1
    assert "172.18.0.2" not in Path(container.record.hosts_path).read_text()
    assert list(container.record.networks) == ["n1"]


async def test_connect_a_stopped_container(desk: Desk) -> None:
    """It counts from the next start on, and is checked now."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})

    await desk.membership.connect("auto", container, None)
    await desk.membership.disconnect("n1", "web")
    with pytest.raises(Invalid, match="no configured subnet"):
        await desk.membership.connect("n1", container, {"IPAMConfig": {"IPv4Address": "10.9.9.9"}})

    assert list(container.record.networks) == ["auto"]
    await desk.run(container)
    assert len(desk.controller.world.in_sandbox(container.sandbox)) == 1


@pytest.mark.parametrize(
    ("mode", "network", "status", "message"),
    [
        ("n1", "n1", 403, "endpoint with name web already exists in network n1"),
        (
            "n1",
            "host",
            400,
            "cannot connect container to host network - container must be created in host "
            "network mode",
        ),
        ("n1", "none", 400, PRIVATE),
        ("none", "n1", 400, PRIVATE),
        ("host", "n1", 400, SHARED),
        ("container:other", "n1", 400, SHARED),
        ("n1", "nosuch", 404, "network nosuch not found"),
    ],
)
async def test_connect_refused(
    desk: Desk, mode: str, network: str, status: int, message: str
) -> None:
    """In the words of a real daemon."""
    await desk.create("other")
    container, _ = await desk.create("web", HostConfig={"NetworkMode": mode})

    with pytest.raises(FairleadError) as caught:
        await desk.membership.connect(network, container, {})
    assert refusal(caught) == (status, message)


@pytest.mark.parametrize(
    ("mode", "network", "status", "message"),
    [
        (
            "host",
            "host",
            400,
            "cannot disconnect container from host network - container was created in host "
            "network mode",
        ),
        ("n1", "auto", 500, "container {id} is not connected to network auto"),
        ("container:other", "n1", 500, "container {id} is not connected to network n1"),
    ],
)
async def test_disconnect_refused(
    desk: Desk, mode: str, network: str, status: int, message: str
) -> None:
    """In the words of a real daemon."""
    await desk.create("other")
    container, _ = await desk.create("web", HostConfig={"NetworkMode": mode})

    with pytest.raises(FairleadError) as caught:
        await desk.membership.disconnect(network, "web")
    assert refusal(caught) == (status, message.format(id=container.id))


async def test_disconnect_of_somebody_unknown(desk: Desk) -> None:
    """With force it is the endpoint that is not found."""
    with pytest.raises(NotFound, match="No such container: nosuch"):
        await desk.membership.disconnect("n1", "nosuch")
    with pytest.raises(NotFound, match="endpoint nosuch not found"):
        await desk.membership.disconnect("n1", "nosuch", force=True)


async def test_a_failed_connect_changes_nothing(desk: Desk) -> None:
    """An address somebody has is refused, and the record stays."""
    holder, _ = await desk.create("a1", HostConfig={"NetworkMode": "n1"})
    await desk.run(holder)
    container, _ = await desk.create("b1", HostConfig={"NetworkMode": "auto"})
    await desk.run(container)

    with pytest.raises(Forbidden, match="Address already in use"):
        await desk.membership.connect("n1", container, {"IPAMConfig": {"IPv4Address": "10.1.0.2"}})
    assert list(container.record.networks) == ["auto"]


async def test_links_on_a_users_network_name_their_target(desk: Desk) -> None:
    """The target is resolved by the name it has when the container starts."""
    target, _ = await desk.create("db", HostConfig={"NetworkMode": "n1"})
    container, _ = await desk.create(
        "web", HostConfig={"NetworkMode": "n1", "Links": [f"{target.id}:store"]}
    )
    await desk.run(container)

    (endpoint,) = desk.controller.world.in_sandbox(container.sandbox)
    assert endpoint.links == (("store", "db"),)


async def test_legacy_links_are_lines_in_hosts(desk: Desk) -> None:
    """On the default bridge a link is a name in /etc/hosts, and follows a rename."""
    target, _ = await desk.create("db", Hostname="dbhost")
    await desk.run(target)
    container, _ = await desk.create("web", HostConfig={"Links": ["db:store"]})
    await desk.run(container)

    hosts = Path(container.record.hosts_path)
    assert hosts.read_text().endswith("172.17.0.2\tstore dbhost db\n")
    assert container.record.host.links == ["/db:/web/store"]

    await desk.membership.rename(target, "database")
    assert hosts.read_text().endswith("172.17.0.2\tstore dbhost database\n")


async def test_renamed_at_once(desk: Desk) -> None:
    """The old name is free, the new one is known to the network."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)

    await desk.membership.rename(container, "/front")

    assert desk.shelf.find("front") is container
    assert not desk.shelf.taken("web")
    assert desk.controller.world.sandboxes[container.sandbox].name == "front"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Neither old nor new names may be empty"),
        ("web", "Renaming a container with the same name as its current name"),
        ("a b", "Invalid container name"),
        ("other", "Conflict. The container name"),
    ],
)
async def test_rename_refused(desk: Desk, name: str, message: str) -> None:
    """And it keeps the name it had."""
    await desk.create("other")
    container, _ = await desk.create("web")

    with pytest.raises(FairleadError) as caught:
        await desk.membership.rename(container, name)
    assert caught.value.message.startswith(message)
    assert desk.shelf.find("web") is container
