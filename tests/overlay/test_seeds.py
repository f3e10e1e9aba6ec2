"""A tutorial on containers of two hosts, followed command by command as it prints them.

Consul runs as the text has it: as a container of the very daemon that needs it, behind
published ports. The tests run in their order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.overlay import images
from tests.overlay.tutorial import (
    PATIENCE_SECONDS,
    Hosts,
    edit_unit,
    found,
    registered,
    restart_services,
    rows,
    tutorial,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="class", params=["docker", "fairlead"])
def hosts(request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """172.16.1.56 and 172.16.1.57, with Docker's client or ours under its name."""
    yield from tutorial(("56", "57"), images.PROGRIUM, request.param)


class TestOverlay:
    """172.16.1.56 and 172.16.1.57; the latter has consul behind published ports."""

    def test_the_unit_and_the_restart(self, hosts: Hosts) -> None:
        """ExecStart=… --cluster-store= --cluster-advertise=; the store is not there yet."""
        store = f"--cluster-store=consul://{hosts['57'].host.address}:8500"
        for stage in hosts.stages.values():
            edit_unit(stage, f"{store} --cluster-advertise=eth0:2376")
        restart_services(hosts)
        for stage in hosts.stages.values():
            assert "centos" in stage.sh("docker images")

    def test_without_the_store(self, hosts: Hosts) -> None:
        """A network of all hosts cannot be made, in one line; one of this host can."""
        said = hosts["56"].sh("docker network create -d overlay too_early", check=False)
        assert len(said.splitlines()) <= 2, said
        assert "store" in said or "8500" in said
        hosts["56"].sh("docker network create local1 && docker network rm local1")

    def test_run_consul(self, hosts: Hosts) -> None:
        """docker run -d -p 8400:8400 -p 8500:8500 -p 8600:53/udp -h consul …: its page."""
        said = hosts["57"].sh(
            "docker run -d -p 8400:8400 -p 8500:8500 -p 8600:53/udp -h consul"
            " progrium/consul -server -bootstrap -ui-dir /ui"
        )
        assert re.fullmatch(r"[0-9a-f]{64}\n", said)
        page = f"http://{hosts['57'].host.address}:8500/v1/status/leader"
        eventually(
            lambda: ":8300" in hosts["56"].sh(f"busybox wget -qO- {page}", check=False),
            PATIENCE_SECONDS,
        )

    def test_hosts_register(self, hosts: Hosts) -> None:
        """Both hosts are in consul, though it came after them."""
        eventually(lambda: registered(hosts, hosts["57"].host), PATIENCE_SECONDS)

    def test_network_ls(self, hosts: Hosts) -> None:
        """docker network ls: the three that always are."""
        shown = rows(hosts["57"].sh("docker network ls"))
        assert [row[1:] for row in shown] == [
            ["bridge", "bridge", "local"],
            ["host", "host", "local"],
            ["none", "null", "local"],
        ]

    def test_network_create(self, hosts: Hosts) -> None:
        """docker network create -d overlay ov_net1: of global scope."""
        made = hosts["57"].sh("docker network create -d overlay ov_net1")
        assert re.fullmatch(r"[0-9a-f]{64}\n", made)
        hosts.ids["network"] = made.strip()
        row = [made[:12], "ov_net1", "overlay", "global"]
        assert row in rows(hosts["57"].sh("docker network ls"))

    def test_network_ls_elsewhere(self, hosts: Hosts) -> None:
        """docker network ls on the other machine: the same network is there."""
        row = [hosts.ids["network"][:12], "ov_net1", "overlay", "global"]
        eventually(lambda: row in rows(hosts["56"].sh("docker network ls")), PATIENCE_SECONDS)

    def test_network_inspect(self, hosts: Hosts) -> None:
        """docker network inspect ov_net1: the same on both, with Docker's first pool."""
        (there,) = json.loads(hosts["57"].sh("docker network inspect ov_net1"))
        (here,) = json.loads(hosts["56"].sh("docker network inspect ov_net1"))
        assert there == here
        assert here["Scope"] == "global"
        assert here["Driver"] == "overlay"
        assert here["IPAM"]["Config"] == [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]

    def test_run(self, hosts: Hosts) -> None:
        """docker run -it --net=ov_net1 centos /bin/bash, on both hosts."""
        for number, name in enumerate(("57", "56"), start=2):
            shell = hosts[name].terminal("shell", "docker run -it --net=ov_net1 centos /bin/bash")
            hosts.ids[name] = shell.type("hostname").strip()
            assert f"inet 10.0.0.{number}/24" in shell.type("ip addr show eth0")

    def test_ping(self, hosts: Hosts) -> None:
        """ping across hosts, both ways, by address and by the other's short id."""
        one, two = (hosts[name].terminals["shell"] for name in ("57", "56"))
        assert " 0% packet loss" in one.type("ping -c 2 10.0.0.3")
        assert " 0% packet loss" in two.type("ping -c 2 10.0.0.2")
        assert " 0% packet loss" in one.type(f"ping -c 1 {hosts.ids['56']}")
        assert " 0% packet loss" in two.type(f"ping -c 1 {hosts.ids['57']}")

    def test_the_other_card(self, hosts: Hosts) -> None:
        """One more interface leads to docker_gwbridge, the host and the world."""
        shell = hosts["56"].terminals["shell"]
        assert "inet 172.18.0.2/16" in shell.type("ip addr show eth1")
        assert "default via 172.18.0.1 dev eth1" in shell.type("ip route")
        assert " 0% packet loss" in shell.type("ping -c 1 172.18.0.1")
        assert " 0% packet loss" in shell.type(f"ping -c 1 {hosts['57'].host.address}")
        shown = rows(hosts["56"].sh("docker network ls"))
        assert ["docker_gwbridge", "bridge", "local"] in [row[1:] for row in shown]

    def test_inspect_pid(self, hosts: Hosts) -> None:
        """docker inspect adaea943f075 | grep Pid; ln -s /proc/26398/ns/net …; ip netns exec."""
        name = hosts.ids["56"]
        pid = found(r'"Pid": (\d+),', hosts["56"].sh(f"docker inspect {name} | grep Pid"))
        hosts["56"].sh("mkdir -p /var/run/netns")
        hosts["56"].sh(f"ln -s /proc/{pid}/ns/net /var/run/netns/{name}")
        said = hosts["56"].sh(f"ip netns exec {name} ip addr")
        assert "inet 10.0.0.3/24" in said
        assert "inet 172.18.0.2/16" in said
        hosts["56"].sh("rm -r /var/run/netns")

    def test_the_network_s_namespace(self, hosts: Hosts) -> None:
        """ln -s /var/run/docker/netns /var/run/netns; ip netns exec 1-46663fb66b ip addr."""
        space = f"1-{hosts.ids['network'][:10]}"
        hosts["56"].sh("ln -s /var/run/docker/netns /var/run/netns")
        assert space in hosts["56"].sh("ip netns list").split()
        said = hosts["56"].sh(f"ip netns exec {space} ip -d addr")
        assert re.search(r"\d+: br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450", said)
        assert "inet 10.0.0.1/24" in said
        assert re.search(r"vxlan0\S*: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450", said)
        assert re.search(r"vxlan id 256 .*dstport 4789", said)
        assert re.search(r"veth\w+@if\d+: .* master br0 state UP", said)

    def test_brctl_show(self, hosts: Hosts) -> None:
        """ip netns exec 1-46663fb66b brctl show: br0 with the tunnel and the container's cable."""
        space = f"1-{hosts.ids['network'][:10]}"
        said = hosts["56"].sh(f"ip netns exec {space} brctl show").split()
        assert "br0" in said
        assert "vxlan0" in said
        assert len([word for word in said if word.startswith("veth")]) == 1

    def test_the_forwarding_table(self, hosts: Hosts) -> None:
        """bridge fdb: a fixed entry leads to the other container's host, and only that one."""
        space = f"1-{hosts.ids['network'][:10]}"
        mac = found(r"link/ether (\S+)", hosts["57"].terminals["shell"].type("ip link show eth0"))
        said = hosts["56"].sh(f"ip netns exec {space} bridge fdb show dev vxlan0")
        leading = [line for line in said.splitlines() if " dst " in line]
        assert len(leading) == 1, said
        assert leading[0].startswith(f"{mac} dst {hosts['57'].host.address}")
        assert re.search(r"\b(static|permanent)$", leading[0])

    def test_network_connect(self, hosts: Hosts) -> None:
        """docker network connect ov_net1 containId, of a container that is elsewhere."""
        name = hosts["56"].sh("docker run -d centos sleep 600").strip()
        hosts["56"].sh(f"docker network connect ov_net1 {name}")
        said = hosts["56"].sh(f"docker exec {name} ip addr")
        assert "inet 172.17.0.2/16" in said
        assert "inet 10.0.0.4/24" in said
        assert " 0% packet loss" in hosts["56"].sh(f"docker exec {name} ping -c 1 10.0.0.2")
        shell = hosts["57"].terminals["shell"]
        assert " 0% packet loss" in shell.type("ping -c 1 10.0.0.4")
        hosts["56"].sh("rm /var/run/netns")
