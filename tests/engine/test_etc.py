"""The files under /etc as they are on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fairlead.engine import etc
from fairlead.engine.settings import Settings
from tests.engine.bench import Desk


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A place to make containers, on a host with a server at 10.9.9.9."""
    resolv = tmp_path / "host-resolv.conf"
    resolv.write_text("nameserver 10.9.9.9\n")
    monkeypatch.setattr(etc, "RESOLV_CONF", resolv)
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
    assert (
        Path(record.hosts_path).read_text().endswith("172.17.0.1\tup\n172.17.0.2\tapp.ex.org app\n")
    )
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


async def test_a_file_that_the_user_edited_is_left_alone(desk: Desk) -> None:
    """Until the next start, which begins afresh."""
    container, _ = await desk.create("web", HostConfig={"NetworkMode": "n1"})
    await desk.run(container)
    hosts = Path(container.record.hosts_path)
    edited = hosts.read_text() + "1.2.3.4\tmine\n"
    hosts.write_text(edited)

    await desk.membership.connect("auto", container, None)
    assert hosts.read_text() == edited

    desk.etc.write(container)
    assert "mine" not in hosts.read_text()


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
