"""The files under /etc as they are on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.engine import resolv
from fairlead.engine.settings import Settings
from tests.engine.bench import Desk


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A place to make containers, on a host with a server at 10.9.9.9."""
    hosts = tmp_path / "host-resolv.conf"
    hosts.write_text("nameserver 10.9.9.9\n")
    monkeypatch.setattr(resolv, "RESOLV_CONF", hosts)
    made = await Desk(tmp_path).open()
    yield made
    await made.close()


async def test_the_three_files(desk: Desk) -> None:
    """On the default bridge a container asks the host's servers itself."""
    container, _ = await desk.create(
        Hostname="app", Domainname="ex.org", HostConfig={"ExtraHosts": ["up:host-gateway"]}
    )
    await desk.run(container)
    record = container.record

    assert Path(record.hostname_path).read_text() == "app.ex.org\n"
    assert Path(record.hosts_path).read_text().splitlines()[6:] == [
        "172.17.0.1\tup",
        "172.17.0.1\thost.docker.internal gateway.docker.internal",
        "172.17.0.2\tapp.ex.org app",
    ]
    assert "nameserver 10.9.9.9\n" in Path(record.resolv_conf_path).read_text()


async def test_connecting_brings_the_resolver(desk: Desk) -> None:
    """From the first user-defined network on, names come from 127.0.0.11."""
    container, _ = await desk.create("web")
    await desk.run(container)

    await desk.membership.connect("n1", container, None)
    assert "nameserver 127.0.0.11\n" in Path(container.record.resolv_conf_path).read_text()

    await desk.membership.disconnect("n1", "web")
    assert "nameserver 10.9.9.9\n" in Path(container.record.resolv_conf_path).read_text()


async def test_files_are_rewritten_in_place(desk: Desk) -> None:
    """The container has them mounted: another file would not be seen."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)
    before = Path(container.record.hosts_path).stat().st_ino

    await desk.membership.connect("auto", container, None)

    assert Path(container.record.hosts_path).stat().st_ino == before


async def test_a_hosts_file_that_the_user_edited(desk: Desk) -> None:
    """Their lines stay where they are, ours come and go; the next start begins afresh."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)
    hosts = Path(container.record.hosts_path)
    first = hosts.read_text()
    hosts.write_text("1.2.3.4\tmine\n" + first + "1.2.3.5\tmy own")

    await desk.membership.connect("auto", container, None)
    assert hosts.read_text() == (
        f"1.2.3.4\tmine\n{first}1.2.3.5\tmy own\n172.18.0.2\t{container.id[:12]}\n"
    )
    await desk.membership.disconnect("auto", "web")
    assert hosts.read_text() == f"1.2.3.4\tmine\n{first}1.2.3.5\tmy own\n"

    desk.etc.write(container)
    assert hosts.read_text() == first


async def test_a_resolv_conf_that_the_user_edited(desk: Desk) -> None:
    """It is theirs until the next start."""
    container, _ = await desk.create("web")
    await desk.run(container)
    resolv = Path(container.record.resolv_conf_path)
    first = resolv.read_text()
    resolv.write_text("nameserver 1.2.3.4\n")

    await desk.membership.connect("n1", container, None)
    assert resolv.read_text() == "nameserver 1.2.3.4\n"
    await desk.membership.disconnect("n1", "web")
    assert resolv.read_text() == "nameserver 1.2.3.4\n"

    desk.etc.write(container)
    assert resolv.read_text() == first


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (
            ["host.docker.internal:10.0.0.1"],
            ["10.0.0.1\thost.docker.internal", "172.17.0.1\tgateway.docker.internal"],
        ),
        (
            ["host.docker.internal:10.0.0.1", "gateway.docker.internal:10.0.0.2"],
            ["10.0.0.1\thost.docker.internal", "10.0.0.2\tgateway.docker.internal"],
        ),
    ],
)
async def test_the_users_word_for_the_host(desk: Desk, given: list[str], lines: list[str]) -> None:
    """What --add-host says counts, and is said once."""
    container, _ = await desk.create("web", HostConfig={"ExtraHosts": given})
    await desk.run(container)
    found = Path(container.record.hosts_path).read_text().splitlines()
    assert [line for line in found if "docker.internal" in line] == lines


async def test_with_a_resolver_it_tells_the_hosts_name(desk: Desk) -> None:
    """On a network with names of its own the file is as ever."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)
    assert "docker.internal" not in Path(container.record.hosts_path).read_text()


async def test_the_daemons_settings_count_where_the_container_says_nothing(
    tmp_path: Path,
) -> None:
    """dns, dns-search and host-gateway-ip of daemon.json."""
    settings = Settings(dns=("1.1.1.1",), dns_search=("ex.org",), host_gateway=("192.0.2.1",))
    desk = await Desk(tmp_path, settings=settings).open()
    container, _ = await desk.create(HostConfig={"ExtraHosts": ["up:host-gateway"]})
    await desk.run(container)

    resolv = Path(container.record.resolv_conf_path).read_text()
    assert "nameserver 1.1.1.1\nsearch ex.org\n" in resolv
    assert "192.0.2.1\tup\n" in Path(container.record.hosts_path).read_text()
    await desk.close()
