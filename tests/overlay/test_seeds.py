"""Tutorials on containers of several hosts, followed command by command as they print them.

Each class is one tutorial on machines of its own; its tests run in their order. Consul runs as
the texts have it: as a container of the very daemon that needs it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.stage import Stage, eventually
from tests.lab import Daemon, Switch
from tests.overlay import images

pytestmark = pytest.mark.root

UNIT = "/etc/systemd/system/docker.service"
PATIENCE_SECONDS = 60


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


def restart_service(stage: Stage) -> None:
    """Stops the daemon and starts what ExecStart says: no systemd runs in a pretend machine."""
    said = re.search(r"(?m)^ExecStart=\S+ (.*)$", stage.host.path(UNIT).read_text())
    assert said is not None
    stage.daemon.restart(*shlex.split(said[1]))


def rows(table: str) -> list[list[str]]:
    """Splits a table as commands print them, without its heading."""
    return [line.split() for line in table.splitlines()[1:]]


def found(pattern: str, text: str) -> str:
    """What a pattern found in a text."""
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern!r} in {text!r}"
    return match[1]


class TestOverlay:
    """172.16.1.56 and 172.16.1.57; the latter has consul behind published ports."""

    @pytest.fixture(scope="class", params=["docker", "fairlead"])
    def hosts(self, request: pytest.FixtureRequest) -> Iterator[Hosts]:
        yield from tutorial(("56", "57"), images.PROGRIUM, request.param)

    def test_the_unit_and_the_restart(self, hosts: Hosts) -> None:
        """ExecStart=… --cluster-store= --cluster-advertise=; the store is not there yet."""
        store = f"--cluster-store=consul://{hosts['57'].host.address}:8500"
        for stage in hosts.stages.values():
            edit_unit(stage, f"{store} --cluster-advertise=eth0:2376")
            restart_service(stage)
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
        url = f"http://{hosts['57'].host.address}:8500/v1/kv/docker/nodes?keys"
        own = {f"docker/nodes/{stage.host.address}:2376" for stage in hosts.stages.values()}

        def registered() -> bool:
            said = hosts["56"].sh(f"busybox wget -qO- '{url}'", check=False)
            return said.startswith("[") and own <= set(json.loads(said))

        eventually(registered, PATIENCE_SECONDS)

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
        assert re.search(r"veth\w+@if\d+: .* master br0 state UP .*link-netns", said)

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
        assert "permanent" in leading[0]

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


class TestOverlayExperiment:
    """Two hosts of CentOS; the second runs consul in a container on the host's network."""

    @pytest.fixture(scope="class")
    def hosts(self) -> Iterator[Hosts]:
        yield from tutorial(("host1", "host2"), images.CONSUL)

    def test_the_unit(self, hosts: Hosts) -> None:
        """docker.service points to consul; systemctl daemon-reload && systemctl restart docker."""
        for stage in hosts.stages.values():
            store = f"consul://{hosts['host2'].host.address}:8500"
            edit_unit(stage, f"--cluster-store={store} --cluster-advertise=eth0:2376")
            restart_service(stage)

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
        url = f"http://{hosts['host2'].host.address}:8500/v1/kv/docker/nodes?keys"
        own = {f"docker/nodes/{stage.host.address}:2376" for stage in hosts.stages.values()}

        def registered() -> bool:
            said = hosts["host1"].sh(f"busybox wget -qO- '{url}'", check=False)
            return said.startswith("[") and own <= set(json.loads(said))

        eventually(registered, PATIENCE_SECONDS)

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
        assert " 0% packet loss" in hosts["host1"].sh("docker exec c1 ping -c 1 c2")
        assert " 0% packet loss" in hosts["host2"].sh("docker exec c2 ping -c 1 c1")

    def test_the_whole_host_starts_again(self, hosts: Hosts) -> None:
        """--restart=always: consul ends with its host's daemon stopped, and is back with it."""
        pid = hosts["host2"].sh("docker inspect -f '{{.State.Pid}}' consul").strip()
        hosts["host2"].daemon.stop()
        hosts["host2"].sh(f"kill -9 {pid}")
        restart_service(hosts["host2"])
        state = "docker inspect -f '{{.State.Running}} {{.State.Pid}}' consul"
        eventually(lambda: hosts["host2"].sh(state).split()[0] == "true", PATIENCE_SECONDS)
        assert hosts["host2"].sh(state).split()[1] != pid
        assert " 0% packet loss" in hosts["host1"].sh("docker exec c1 ping -c 1 c2")
