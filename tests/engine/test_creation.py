"""Making containers: what becomes of a request, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fairlead.engine import creation
from fairlead.model.errors import Conflict, FairleadError, Invalid
from tests.engine.bench import Desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A place to make containers."""
    made = await Desk(tmp_path).open()
    yield made
    await made.close()


async def test_the_image_says_what_the_user_did_not(desk: Desk) -> None:
    """Command, environment and labels come from both; the user's word counts."""
    container, _ = await desk.create(Env=["A=1", "PATH=/mine"], Labels={"mine": "1"})
    record = container.record

    assert (record.path, record.args) == ("sh", ())
    assert record.config.env == ["PATH=/mine", "A=1"]
    assert record.config.labels == {"from": "image", "mine": "1"}


@pytest.mark.parametrize(
    ("image", "body", "argv"),
    [
        ({"Cmd": ["sh"]}, {"Cmd": ["ls"]}, ["ls"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {}, ["e", "c"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"Cmd": ["d"]}, ["e", "d"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"Entrypoint": ["f"]}, ["f"]),
        ({"Entrypoint": ["e"]}, {"Entrypoint": [""], "Cmd": ["d"]}, ["d"]),
        ({}, {"Cmd": "ls"}, ["ls"]),
    ],
)
async def test_entrypoint_and_command(
    tmp_path: Path, image: dict[str, Any], body: dict[str, Any], argv: list[str]
) -> None:
    """An image's command only goes with an image's entrypoint."""
    desk = await Desk(tmp_path, image).open()
    container, _ = await desk.create(**body)

    assert [container.record.path, *container.record.args] == argv
    await desk.close()


async def test_inspect_shows_dockers_defaults(desk: Desk) -> None:
    """The documents that are kept are the ones to show."""
    container, _ = await desk.create()
    host = msgspec.to_builtins(container.record.host)

    assert host["NetworkMode"] == "bridge"
    assert host["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert host["ShmSize"] == 64 << 20
    assert host["Binds"] is None
    assert host["Runtime"] == "crun"
    assert "/proc/kcore" in host["MaskedPaths"]
    assert container.record.config.hostname == container.id[:12]


async def test_a_record_survives_the_daemon(desk: Desk) -> None:
    """What is read back is what was written."""
    container, _ = await desk.create(
        "web",
        ExposedPorts={"80/tcp": None},
        HostConfig={
            "Binds": ["data:/d"],
            "NetworkMode": "n1",
            "PortBindings": {"80/tcp": None},
            "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9}}],
        },
        NetworkingConfig={"EndpointsConfig": {"n1": {"IPAMConfig": {"IPv4Address": "10.1.0.9"}}}},
    )
    again = type(desk.shelf)(desk.machine.store)
    again.open()

    assert again.find("web").record == container.record


async def test_names_are_unique_and_come_back(desk: Desk) -> None:
    """Docker's words name the holder."""
    first, _ = await desk.create("web")

    with pytest.raises(Conflict) as caught:
        await desk.create("/web")
    assert caught.value.message == (
        f'Conflict. The container name "/web" is already in use by container "{first.id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    desk.shelf.drop(first)
    await desk.create("web")


async def test_a_refused_request_leaves_nothing(desk: Desk) -> None:
    """Neither the name nor an anonymous volume stays behind."""
    with pytest.raises(Invalid):
        await desk.create("web", HostConfig={"Binds": ["/anon", "/x:/y:zz"]})

    assert desk.volumes.list()[0] == []
    assert desk.shelf.all() == []
    await desk.create("web")


async def test_volumes_are_made_and_named(desk: Desk) -> None:
    """A name is used as it is; without one it is sixty-four digits."""
    container, _ = await desk.create(HostConfig={"Binds": ["data:/a", "/b"]})
    named, anonymous = container.record.mounts

    assert named.name == "data"
    assert Path(named.source).is_dir()
    assert desk.volumes.find(anonymous.name).anonymous


async def test_missing_directories_are_made_for_v_and_not_for_mount(
    desk: Desk, tmp_path: Path
) -> None:
    """The old flag forgives, the new one does not."""
    await desk.create(HostConfig={"Binds": [f"{tmp_path}/made:/a"]})
    assert (tmp_path / "made").is_dir()

    mount = {"Type": "bind", "Source": f"{tmp_path}/missing", "Target": "/a"}
    with pytest.raises(Invalid) as caught:
        await desk.create(HostConfig={"Mounts": [mount]})
    assert caught.value.message == (
        f'invalid mount config for type "bind": bind source path does not exist: {tmp_path}/missing'
    )


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    (
        "static address outside",
        {
            "HostConfig": {"NetworkMode": "n1"},
            "NetworkingConfig": {
                "EndpointsConfig": {"n1": {"IPAMConfig": {"IPv4Address": "10.0.0.1"}}}
            },
        },
        400,
        "invalid config for network n1: invalid endpoint settings:\n"
        "no configured subnet or ip-range contain the IP address 10.0.0.1",
    ),
    (
        "alias on the default bridge",
        {"NetworkingConfig": {"EndpointsConfig": {"default": {"Aliases": ["a"]}}}},
        400,
        "invalid config for network bridge: invalid endpoint settings:\n"
        "network-scoped alias is supported only for containers in user defined networks",
    ),
    (
        "bad MAC",
        {"MacAddress": "zz"},
        400,
        "invalid config for network bridge: invalid MAC address zz",
    ),
    (
        "link to nobody",
        {"HostConfig": {"Links": ["nosuch:a"]}},
        400,
        "could not get container for nosuch: No such container: nosuch",
    ),
    ("no such image", {"Image": "nosuch"}, 404, "No such image: nosuch:latest"),
    (
        "wrong type",
        {"HostConfig": {"Memory": "much"}},
        400,
        "invalid JSON: Expected `int`, got `str` - at `$.Memory`",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_refused_in_dockers_words(
    desk: Desk, body: dict[str, Any], status: int, message: str
) -> None:
    """Programs match these messages and statuses."""
    with pytest.raises(FairleadError) as caught:
        await desk.create(**body)

    assert (caught.value.status, caught.value.message) == (status, message)


@pytest.mark.parametrize(
    "body",
    [
        {"HostConfig": {"NetworkMode": "nosuch"}},
        {"HostConfig": {"NetworkMode": "container:nosuch"}},
        {
            "HostConfig": {"NetworkMode": "n1"},
            "NetworkingConfig": {"EndpointsConfig": {"zz": {}, "n1": None}},
        },
        {
            "HostConfig": {"NetworkMode": "host"},
            "NetworkingConfig": {"EndpointsConfig": {"n1": {}}},
        },
        {"NetworkDisabled": True},
    ],
)
async def test_accepted_until_start(desk: Desk, body: dict[str, Any]) -> None:
    """What is not there yet may be there when the container starts."""
    await desk.create(**body)


async def test_the_main_network_comes_first(desk: Desk) -> None:
    """eth0 is the one that --network named first."""
    container, _ = await desk.create(
        HostConfig={"NetworkMode": "n1"},
        NetworkingConfig={"EndpointsConfig": {"auto": {}, "n1": {"Aliases": ["a"]}}},
    )

    assert list(container.record.networks) == ["n1", "auto"]
    assert container.record.networks["n1"].aliases == ["a"]


async def test_networks_may_be_named_by_id(desk: Desk) -> None:
    """They are kept by name, as inspect shows them."""
    network = desk.controller.network("n1")

    container, _ = await desk.create(HostConfig={"NetworkMode": network.id})

    assert list(container.record.networks) == ["n1"]


async def test_modes_follow_a_rename(desk: Desk) -> None:
    """`container:web` means the container that was called so then."""
    owner, _ = await desk.create("web")

    guest, _ = await desk.create(HostConfig={"NetworkMode": "container:web"})

    assert guest.record.host.network_mode == f"container:{owner.id}"
    assert guest.record.networks == {}


def test_an_empty_request_is_refused() -> None:
    """Not even an image is named."""
    with pytest.raises(Invalid, match="config cannot be empty"):
        creation.decode("", {})
