"""Short tutorials on one host's networks, followed command by command as they print them.

Each class is one tutorial on a machine of its own; its tests run in their order. Images that
a registry would give are busybox under their names, with a server where the text needs one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.docker.images import make
from tests.docker.stage import Stage, eventually
from tests.docker.terminal import INTERRUPT
from tests.lab import CommandFailed, Daemon, Switch

pytestmark = pytest.mark.root

MYAPI = "192.168.8.25:5000/myapi"
# busybox has no curl and no bash; the tutorials have.
CURL = '#!/bin/sh\n[ "$1" = -X ] && shift 2\nexec wget -qO- "$1"\n'
BASH = '#!/bin/sh\nexec sh "$@"\n'


def server(*ports: int) -> str:
    """Returns an entry point that serves on each port, whatever arguments it is given."""
    start = "; ".join(f"httpd -h /www -p {port}" for port in ports)
    return f"ENTRYPOINT {json.dumps(['sh', '-c', start + '; exec sleep 1000000'])}"


@pytest.fixture(scope="class", params=["docker", "fairlead"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The reader's machine, with Docker's client or ours under its name.

    What lives until the next boot is in Docker's own folder.
    """
    with Switch() as switch:
        host, neighbour = switch.machine("reader"), switch.machine("neighbour")
        with Daemon(host, "--exec-root", "/var/run/docker") as daemon:
            daemon.import_busybox()
            made = Stage(daemon, neighbour, request.param)
            with made.stack:
                yield made


def nat(stage: Stage) -> str:
    """Returns what `iptables -t nat -L -n` prints, with single spaces and protocols by name."""
    said = re.sub(r"[ \t]+", " ", stage.sh("iptables -t nat -L -n"))
    return re.sub(r"(?m)^(\w+) (?:6|tcp) -- ", r"\1 tcp -- ", said).replace(" 0 --", " all --")


class TestSameHost:
    """Containers that find each other by name on a network of their own."""

    def test_network_create(self, stage: Stage) -> None:
        """docker network create testnet."""
        assert re.fullmatch(r"[0-9a-f]{64}\n", stage.sh("docker network create testnet"))

    def test_network_ls(self, stage: Stage) -> None:
        """docker network ls: it is there, beside the three that always are."""
        shown = [line.split()[1:] for line in stage.sh("docker network ls").splitlines()[1:]]
        assert ["testnet", "bridge", "local"] in shown
        assert len(shown) == 4

    def test_run_consul(self, stage: Stage) -> None:
        """docker run --name consul1 -d -p 8500:8500 --restart=always …: serves the neighbours."""
        page = {"www/index.html": "consul's page\n", "usr/bin/curl": CURL}
        make(stage.daemon, "consul", server(8500), files=page)
        said = stage.sh(
            "docker run --name consul1 -d -p 8500:8500 --restart=always"
            "  --network testnet --network-alias consul1  consul"
        )
        assert re.fullmatch(r"[0-9a-f]{64}\n", said)
        stage.ids["consul1"] = said.strip()
        assert stage.fetch(stage.neighbour, f"http://{stage.host.address}:8500/") == (
            "consul's page\n"
        )

    def test_run_service(self, stage: Stage) -> None:
        """docker run --name myservice1 -d -p 5001:80 … --consulport=8500: arguments and all."""
        page = {"www/api/health": "healthy\n", "usr/bin/curl": CURL}
        make(stage.daemon, MYAPI, server(80, 5001), files=page)
        said = stage.sh(
            "docker run --name myservice1 -d -p 5001:80  --network testnet"
            f" --network-alias myservice1 {MYAPI}  --ip=myservice1 --port=80"
            "  --consulhost=192.168.8.31 --consulport=8500"
        )
        assert re.fullmatch(r"[0-9a-f]{64}\n", said)
        url = f"http://{stage.host.address}:5001/api/health"
        assert stage.fetch(stage.neighbour, url) == "healthy\n"
        (shown,) = json.loads(stage.sh("docker inspect myservice1"))
        assert shown["Args"][-1] == "--consulport=8500"

    def test_exec(self, stage: Stage) -> None:
        """docker exec -it d26e14f6c1df /bin/sh: a shell in the container."""
        shell = stage.terminal("consul", f"docker exec -it {stage.ids['consul1'][:12]} /bin/sh")
        assert shell.type("hostname") == f"{stage.ids['consul1'][:12]}\n"

    def test_ping_by_name(self, stage: Stage) -> None:
        """ping myservice1: the name leads to the other container."""
        shell = stage.terminals["consul"]
        shell.begin("ping myservice1")
        said = shell.until(r"seq=1 ttl=64 time=\S+ ms")
        assert re.match(r"PING myservice1 \(172\.18\.0\.3\): 56 data bytes", said)
        shell.send(INTERRUPT)
        assert " 0% packet loss" in shell.prompt()

    def test_curl_by_name(self, stage: Stage) -> None:
        """curl -X GET 'http://myservice1:5001/api/health': the service answers."""
        said = stage.terminals["consul"].type("curl -X GET 'http://myservice1:5001/api/health'")
        assert said == "healthy\n"

    def test_exit(self, stage: Stage) -> None:
        """exit: the shell ends, the container runs on."""
        assert stage.terminals["consul"].leave() == 0
        assert "consul1" in stage.sh("docker ps --format '{{.Names}}'").split()

    def test_restart_always(self, stage: Stage) -> None:
        """--restart=always: a container whose process dies is back, at its name and its port."""
        pid = stage.sh("docker inspect -f '{{.State.Pid}}' consul1").strip()
        stage.sh(f"kill -9 {pid}")
        eventually(
            lambda: stage.sh(
                "docker inspect -f '{{.State.Pid}} {{.State.Running}} {{.RestartCount}}' consul1"
            ).split()[1:] == ["true", "1"]
        )  # fmt: skip
        assert stage.sh("docker inspect -f '{{.State.Pid}}' consul1").strip() != pid
        url = f"http://{stage.host.address}:8500/"
        assert stage.fetch(stage.neighbour, url) == "consul's page\n"
        said = stage.sh("docker exec myservice1 ping -c 1 consul1")
        assert " 0% packet loss" in said


class TestModes:
    """The modes of a container's network, one after the other, and what the host shows."""

    def test_publish_with_a_name_that_is_none(self, stage: Stage) -> None:
        """docker run … MySQL: an image's name has no capitals, says the client."""
        with pytest.raises(CommandFailed, match="must be lowercase"):
            stage.sh("docker run -tid --name db -p 3306:3306 MySQL")

    def test_publish(self, stage: Stage) -> None:
        """docker run -tid --name db -p 3306:3306 mysql, as it is meant."""
        make(stage.daemon, "mysql", server(3306), files={"www/index.html": "a database\n"})
        said = stage.sh("docker run -tid --name db -p 3306:3306 mysql")
        assert re.fullmatch(r"[0-9a-f]{64}\n", said)
        url = f"http://{stage.host.address}:3306/"
        assert stage.fetch(stage.neighbour, url) == "a database\n"

    def test_the_rule_for_it(self, stage: Stage) -> None:
        """iptables -t nat -L -n: DNAT from the host's port to the container's address."""
        wanted = "DNAT tcp -- 0.0.0.0/0 0.0.0.0/0 tcp dpt:3306 to:172.17.0.2:3306"
        assert wanted in nat(stage).splitlines()

    def test_a_network_of_ones_own(self, stage: Stage) -> None:
        """docker network create bri1: neither it nor docker0 reaches the other."""
        stage.sh("docker network create bri1")
        stage.sh("docker run -d --name there --network bri1 --entrypoint sleep mysql 1000000")
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        for one, other in (("db", "there"), ("there", "db")):
            target = stage.sh(f"docker inspect -f '{address}' {other}").strip()
            said = stage.sh(f"docker exec {one} ping -c 1 -W 1 {target}", check=False)
            assert "100% packet loss" in said

    def test_it_behaves_as_the_default_otherwise(self, stage: Stage) -> None:
        """Its containers reach the outside with the host's address."""
        said = stage.sh(f"docker exec there ping -c 1 -W 1 {stage.neighbour.address}")
        assert " 0% packet loss" in said


class TestNamespaces:
    """Modes by --net=, and a container's namespace entered from the host."""

    def test_host_mode(self, stage: Stage) -> None:
        """docker run -it --net=host centos /bin/bash: the host's interfaces."""
        make(stage.daemon, "centos", 'CMD ["/bin/bash"]', files={"bin/bash": BASH})
        shell = stage.terminal("host", "docker run -it --net=host centos /bin/bash")
        said = shell.type("ip addr")
        assert f"inet {stage.host.address}/24" in said
        assert " docker0: " in said
        assert shell.leave() == 0

    def test_bridge_mode(self, stage: Stage) -> None:
        """docker run -it --net=bridge centos /bin/bash: an address of the host's bridge."""
        shell = stage.terminal("bridge", "docker run -it --net=bridge centos /bin/bash")
        assert "inet 172.17.0.2/16" in shell.type("ip addr")
        assert "inet 172.17.0.1/16" in stage.sh("ip addr show docker0")
        assert " 0% packet loss" in shell.type(f"ping -c 1 {stage.neighbour.address}")
        stage.ids["bridge"] = stage.sh("docker ps -q").strip()

    def test_container_mode(self, stage: Stage) -> None:
        """docker run -it --net=container:169c875f4ba0 centos /bin/bash: the same network."""
        other = stage.ids["bridge"]
        shell = stage.terminal("shared", f"docker run -it --net=container:{other} centos /bin/bash")
        assert shell.type("ip addr") == stage.terminals["bridge"].type("ip addr")
        assert shell.type("echo $$") == "1\n", "its processes are its own"
        assert shell.leave() == 0

    def test_none_mode(self, stage: Stage) -> None:
        """docker run -it --net=none centos /bin/bash: no interface but lo."""
        shell = stage.terminal("none", "docker run -it --net=none centos /bin/bash")
        assert re.findall(r"(?m)^\d+: (\S+?):", shell.type("ip addr")) == ["lo"]
        stage.ids["none"] = stage.sh("docker ps -q --filter network=none").strip()

    def test_consul(self, stage: Stage) -> None:
        """docker run -d -p 8400:8400 -p 8500:8500 -p 8600:53/udp -h consul progrium/consul …"""
        page = {"www/index.html": "consul's page\n"}
        make(stage.daemon, "progrium/consul", server(8400, 8500), files=page)
        name = stage.sh(
            "docker run -d -p 8400:8400 -p 8500:8500 -p 8600:53/udp -h consul"
            " progrium/consul -bootstrap -ui-dir /ui"
        ).strip()
        for port in (8400, 8500):
            url = f"http://{stage.host.address}:{port}/"
            assert stage.fetch(stage.neighbour, url) == "consul's page\n"
        assert stage.sh(f"docker exec {name} hostname") == "consul\n"
        assert "0.0.0.0:8600" in stage.sh(f"docker port {name} 53/udp").splitlines()
        stage.sh(f"docker rm -f {name}")

    def test_the_pid(self, stage: Stage) -> None:
        """docker inspect adaea943f075 | grep Pid: the process as the host counts."""
        said = stage.sh(f"docker inspect {stage.ids['bridge']} | grep Pid")
        found = re.search(r'"Pid": (\d+),', said)
        assert found is not None
        stage.ids["pid"] = found[1]
        assert stage.sh(f"readlink /proc/{found[1]}/ns/net").startswith("net:[")

    def test_the_namespace_by_pid(self, stage: Stage) -> None:
        """ln -s /proc/26398/ns/net /var/run/netns/adaea943f075; ip netns exec …: its links."""
        name = stage.ids["bridge"]
        stage.sh("mkdir -p /var/run/netns")
        stage.sh(f"ln -s /proc/{stage.ids['pid']}/ns/net /var/run/netns/{name}")
        said = stage.sh(f"ip netns exec {name} ip addr")
        assert "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0" in said
        stage.sh("rm -r /var/run/netns")

    def test_the_namespaces_folder(self, stage: Stage) -> None:
        """ln -s /var/run/docker/netns /var/run/netns: all sandboxes by their keys."""
        stage.sh("ln -s /var/run/docker/netns /var/run/netns")
        key = stage.sh(
            f"docker inspect -f '{{{{.NetworkSettings.SandboxKey}}}}' {stage.ids['bridge']}"
        ).strip()
        folder, _, name = key.rpartition("/")
        assert folder in ("/var/run/docker/netns", "/run/docker/netns")
        assert name in stage.sh("ip netns list").split()
        assert "inet 172.17.0.2/16" in stage.sh(f"ip netns exec {name} ip addr")
        stage.sh("rm /var/run/netns")

    def test_none_is_configured_by_hand(self, stage: Stage) -> None:
        """What is put into a container's empty namespace from the host is there for it to use."""
        pid = stage.sh(f"docker inspect -f '{{{{.State.Pid}}}}' {stage.ids['none']}").strip()
        stage.sh(f"ip link add byhand type veth peer name eth0 netns {pid}")
        stage.sh("ip addr add 198.51.100.1/24 dev byhand; ip link set byhand up")
        stage.sh(f"nsenter -t {pid} -n sh -c 'ip addr add 198.51.100.2/24 dev eth0'")
        stage.sh(f"nsenter -t {pid} -n ip link set eth0 up")
        assert " 0% packet loss" in stage.terminals["none"].type("ping -c 1 198.51.100.1")
        assert stage.terminals["none"].leave() == 0


class TestDefaultNetworking:
    """A host before and after: docker0, two containers, out by masquerade, in by a port."""

    def test_the_bridge(self, stage: Stage) -> None:
        """With the daemon comes docker0, which has an address."""
        assert "inet 172.17.0.1/16" in stage.sh("ip addr show docker0")

    def test_two_containers(self, stage: Stage) -> None:
        """Each has a veth in docker0 and the next address, and reaches the other."""
        for name in ("one", "two"):
            stage.sh(f"docker run -d --name {name} busybox sleep 1000000")
        assert stage.sh("brctl show docker0").count("veth") == 2
        said = stage.sh("docker exec two ip addr show eth0")
        assert "inet 172.17.0.3/16" in said
        assert " 0% packet loss" in stage.sh("docker exec two ping -c 1 172.17.0.2")

    def test_masquerade(self, stage: Stage) -> None:
        """iptables -t nat -L -n: MASQUERADE for 172.17.0.0/16."""
        assert "MASQUERADE all -- 172.17.0.0/16 0.0.0.0/0" in [
            line.strip() for line in nat(stage).splitlines()
        ]

    def test_publish(self, stage: Stage) -> None:
        """docker run --publish 1880:1880 cpswan/node-red: the world outside gets in."""
        make(stage.daemon, "cpswan/node-red", server(1880), files={"www/index.html": "red\n"})
        words = ["docker", "run", "--publish", "1880:1880", "cpswan/node-red"]
        running = stage.host.popen(words, env=stage.env)  # in the foreground, as printed
        url = f"http://{stage.host.address}:1880/"
        assert stage.fetch(stage.neighbour, url) == "red\n"
        name = stage.sh("docker ps -q --filter ancestor=cpswan/node-red").strip()
        stage.sh(f"docker kill {name}")
        assert running.wait(90) == 137
        assert running.communicate(timeout=90)[0] == ""


class TestHostService:
    """A service on the host's own network."""

    def test_run(self, stage: Stage) -> None:
        """docker run -d --network host -h consul --name=consul --restart=always … consul:1.5.2."""
        page = {"www/index.html": "consul's page\n"}
        make(stage.daemon, "consul:1.5.2", server(8500), files=page)
        stage.sh(
            "docker run -d --network host -h consul --name=consul   --restart=always"
            " -e CONSUL_BIND_INTERFACE=eth0 consul:1.5.2"
        )
        url = f"http://{stage.host.address}:8500/"
        assert stage.fetch(stage.neighbour, url) == "consul's page\n"

    def test_what_it_was_given(self, stage: Stage) -> None:
        """It has its own host name and variable, and the host's interfaces."""
        assert stage.sh("docker exec consul hostname") == "consul\n"
        assert "CONSUL_BIND_INTERFACE=eth0\n" in stage.sh("docker exec consul env")
        assert stage.sh("hostname") == "reader\n"

    def test_what_listens(self, stage: Stage) -> None:
        """The service's port is one of the host's own."""
        assert re.search(r"(?m)^LISTEN .*:8500\b", stage.sh("ss -ltn"))
        assert stage.sh("docker port consul") == ""
