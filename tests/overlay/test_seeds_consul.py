"""A tutorial on two hosts, with consul in a container on the network of the second.

Its commands are run as it prints them; the tests run in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.overlay import images
from tests.overlay.tutorial import (
    PATIENCE_SECONDS,
    Hosts,
    edit_unit,
    registered,
    restart_service,
    restart_services,
    rows,
    tutorial,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="class")
def hosts() -> Iterator[Hosts]:
    """The second of them runs consul."""
    yield from tutorial(("host1", "host2"), images.CONSUL)


class TestOverlayExperiment:
    """Two hosts of CentOS; the second runs consul in a container on the host's network."""

    def test_the_unit(self, hosts: Hosts) -> None:
        """docker.service points to consul; systemctl daemon-reload && systemctl restart docker."""
        for stage in hosts.stages.values():
            store = f"consul://{hosts['host2'].host.address}:8500"
            edit_unit(stage, f"--cluster-store={store} --cluster-advertise=eth0:2376")
        restart_services(hosts)

    def test_run_consul(self, hosts: Hosts) -> None:
        """docker run -d --network host -h consul --name=consul --restart=always -e … consul."""
        said = hosts["host2"].sh(
            "docker run -d --network host -h consul --name=consul"
            "  --restart=always -e CONSUL_BIND_INTERFACE=eth0 consul:1.5.2"
        )
        assert re.fullmatch(r"[0-9a-f]{64}\n", said)

    def test_its_ports(self, hosts: Hosts) -> None:
        """All that it listens on is on the host."""

        def listening() -> set[str]:
            return set(re.findall(r"(?m)^LISTEN.*?:(\d+) ", hosts["host2"].sh("ss -tln")))

        eventually(lambda: {"8300", "8301", "8500", "8600"} <= listening(), PATIENCE_SECONDS)

    def test_key_value(self, hosts: Hosts) -> None:
        """Under key/value both hosts can be seen."""
        eventually(lambda: registered(hosts, hosts["host2"].host), PATIENCE_SECONDS)

    def test_network_create(self, hosts: Hosts) -> None:
        """docker network create -d overlay ov_net1, on host1; it is on host2 as well."""
        made = hosts["host1"].sh("docker network create -d overlay ov_net1")
        row = [made[:12], "ov_net1", "overlay", "global"]
        for stage in hosts.stages.values():
            eventually(
                lambda stage=stage: row in rows(stage.sh("docker network ls")),  # type: ignore[misc]
                PATIENCE_SECONDS,
            )

    def test_containers_meet(self, hosts: Hosts) -> None:
        """One on either host; they reach each other by name."""
        for number, stage in enumerate(hosts.stages.values(), start=1):
            stage.sh(f"docker run -d --name c{number} --net ov_net1 centos sleep 600")
        # What one host has just started the other one hears of from consul.
        eventually(lambda: answered(hosts, "host1", "c1", "c2"), PATIENCE_SECONDS)
        assert answered(hosts, "host2", "c2", "c1")

    def test_consul_comes_back_empty(self, hosts: Hosts) -> None:
        """--restart=always: killed with its daemon away, it is back, but -dev keeps nothing.

        Whoever runs goes on and is written down again: containers to come find them.
        """
        pid = hosts["host2"].sh("docker inspect -f '{{.State.Pid}}' consul").strip()
        hosts["host2"].daemon.stop()
        hosts["host2"].sh(f"kill -9 {pid}")
        restart_service(hosts["host2"])
        state = "docker inspect -f '{{.State.Running}} {{.State.Pid}}' consul"
        eventually(lambda: hosts["host2"].sh(state).split()[0] == "true", PATIENCE_SECONDS)
        assert hosts["host2"].sh(state).split()[1] != pid
        for name, *who in (("host1", "c1", "c2"), ("host2", "c2", "c1")):
            eventually(lambda name=name, who=who: answered(hosts, name, *who), PATIENCE_SECONDS)  # type: ignore[misc]


def answered(hosts: Hosts, name: str, asker: str, asked: str) -> bool:
    """docker exec asker ping -c 1 asked."""
    said = hosts[name].sh(f"docker exec {asker} ping -c 1 {asked}", check=False)
    return " 0% packet loss" in said
