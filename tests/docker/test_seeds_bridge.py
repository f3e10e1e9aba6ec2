"""A long tutorial about bridge networks, followed command by command as it prints them.

The tests of the class run in their order and share one machine, as the reader would.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.docker.stage import Stage, eventually
from tests.docker.terminal import INTERRUPT, Terminal
from tests.lab import Daemon, Switch

pytestmark = pytest.mark.root

ID = re.compile(r"[0-9a-f]{64}\n")


@pytest.fixture(scope="class", params=["docker", "fairlead"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The reader's machine, with Docker's client or ours under its name."""
    with Switch() as switch:
        host, neighbour = switch.machine("host"), switch.machine("neighbour")
        with Daemon(host) as daemon:
            daemon.import_busybox()
            made = Stage(daemon, neighbour, request.param)
            with made.stack:
                yield made


def rows(table: str) -> list[list[str]]:
    """Splits a table as commands print them, without its heading."""
    return [line.split() for line in table.splitlines()[1:]]


def bridges(stage: Stage) -> dict[str, list[str]]:
    """Returns what `brctl show` shows: the interfaces of each bridge."""
    found: dict[str, list[str]] = {}
    for line in stage.sh("brctl show").splitlines()[1:]:
        words = line.split()
        if line[0].isspace():
            found[list(found)[-1]].append(words[0])
        else:
            assert words[1].startswith("8000.0242"), line
            assert words[2] == "no"
            found[words[0]] = words[3:]
    return found


def lost(terminal: Terminal, command: str, seconds: float = 1.3) -> str:
    """Types a ping, watches it for a while, interrupts it, returns its last words."""
    terminal.begin(command)
    time.sleep(seconds)
    terminal.send(INTERRUPT)
    return terminal.prompt()


class TestBridges:
    """From the three networks after installation to containers without any."""

    def test_network_ls(self, stage: Stage) -> None:
        """$ docker network ls: three networks."""
        table = stage.sh("docker network ls")
        assert table.splitlines()[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
        shown = rows(table)
        assert [row[1:] for row in shown] == [
            ["bridge", "bridge", "local"],
            ["host", "host", "local"],
            ["none", "null", "local"],
        ]
        assert all(re.fullmatch("[0-9a-f]{12}", row[0]) for row in shown)

    def test_ifconfig(self, stage: Stage) -> None:
        """$ docker run --rm -it --network=bridge busybox: eth0 and lo."""
        shell = stage.terminal("first", "docker run --rm -it --network=bridge busybox")
        said = shell.type("ifconfig")
        eth0, lo = said.split("\nlo ")
        assert eth0.startswith("eth0 ")
        assert "HWaddr 02:42:AC:11:00:02" in eth0
        assert "inet addr:172.17.0.2  Bcast:172.17.255.255  Mask:255.255.0.0" in eth0
        assert "UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1" in eth0
        assert "inet addr:127.0.0.1  Mask:255.0.0.0" in lo
        assert "UP LOOPBACK RUNNING  MTU:65536  Metric:1" in lo
        assert len(re.findall(r"(?m)^\S", said)) == 2

    def test_ifindex(self, stage: Stage) -> None:
        """/ # cat /sys/class/net/eth0/ifindex and iflink: two different numbers."""
        shell = stage.terminals["first"]
        for name in ("ifindex", "iflink"):
            stage.ids[name] = shell.type(f"cat /sys/class/net/eth0/{name}").strip()
            assert stage.ids[name].isdigit()

    def test_ip_link_inside(self, stage: Stage) -> None:
        """/ # ip link: eth0@if75, numbered as the files say."""
        said = stage.terminals["first"].type("ip link")
        eth0 = rf"{stage.ids['ifindex']}: eth0@if{stage.ids['iflink']}: "
        assert re.search(rf"(?m)^{eth0}<BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1500", said)
        assert re.search(r"(?m)^1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536", said)
        assert "link/ether 02:42:ac:11:00:02 brd ff:ff:ff:ff:ff:ff" in said

    def test_ip_link_outside(self, stage: Stage) -> None:
        """# ip link: the other end is a veth of docker0, numbered the other way round."""
        said = stage.sh("ip link")
        found = re.search(
            rf"(?m)^{stage.ids['iflink']}: (veth\w+)@if{stage.ids['ifindex']}: "
            r"<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 .* master docker0 state UP",
            said,
        )
        assert found is not None, said
        stage.ids["veth"] = found[1]
        assert re.search(r"(?m)^\d+: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> .*state UP", said)

    def test_brctl_show(self, stage: Stage) -> None:
        """# brctl show: docker0 and the veth in it."""
        assert bridges(stage) == {"docker0": [stage.ids["veth"]]}

    def test_network_inspect(self, stage: Stage) -> None:
        """# docker network inspect bridge: each key with its value."""
        (shown,) = json.loads(stage.sh("docker network inspect bridge"))
        assert re.fullmatch(r"[0-9a-f]{64}", shown["Id"])
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)$", shown["Created"])
        assert shown["Name"] == "bridge"
        assert shown["Scope"] == "local"
        assert shown["Driver"] == "bridge"
        assert shown["EnableIPv6"] is False
        assert shown["IPAM"] == {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}],
        }
        assert (shown["Internal"], shown["Attachable"], shown["Ingress"]) == (False, False, False)
        assert shown["ConfigFrom"] == {"Network": ""}
        assert shown["ConfigOnly"] is False
        assert shown["Options"] == {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
            "com.docker.network.bridge.name": "docker0",
            "com.docker.network.driver.mtu": "1500",
        }
        assert shown["Labels"] == {}
        ((container, endpoint),) = shown["Containers"].items()
        assert container == stage.sh("docker ps -q --no-trunc").strip()
        assert endpoint["Name"] == stage.sh("docker ps --format '{{.Names}}'").strip()
        assert re.fullmatch(r"[0-9a-f]{64}", endpoint["EndpointID"])
        assert endpoint["MacAddress"] == "02:42:ac:11:00:02"
        assert endpoint["IPv4Address"] == "172.17.0.2/16"
        assert endpoint["IPv6Address"] == ""

    def test_addresses_of_bridges(self, stage: Stage) -> None:
        """# ip addr show type bridge: docker0 has the gateway's address."""
        said = stage.sh("ip addr show type bridge")
        assert re.search(r"(?m)^\d+: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500", said)
        assert "inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0" in said
        assert len(re.findall(r"(?m)^\d+: ", said)) == 1

    def test_leaving(self, stage: Stage) -> None:
        """/ # exit: --rm leaves nothing, and the bridge is empty."""
        assert stage.terminals["first"].leave() == 0
        eventually(lambda: not stage.sh("docker ps -aq"))
        eventually(lambda: bridges(stage) == {"docker0": []})

    def test_bip(self, stage: Stage) -> None:
        """$ vi /etc/docker/daemon.json, restart docker, ip addr show docker0: another subnet."""
        file = stage.host.path("/etc/docker/daemon.json")
        file.write_text('{\n  "bip": "172.100.0.1/24"\n}\n')
        stage.daemon.restart()
        said = stage.sh("ip addr show docker0")
        assert "<NO-CARRIER,BROADCAST,MULTICAST,UP>" in said
        assert "state DOWN" in said
        assert re.findall(r"inet (\S+ brd \S+) scope global docker0", said) == [
            "172.100.0.1/24 brd 172.100.0.255"
        ]
        assert "172.100.0.2/24" in stage.sh("docker run --rm busybox ip addr")
        file.write_text('{"bip": "172.17.0.1/16"}\n')
        stage.daemon.restart()
        assert "inet 172.17.0.1/16" in stage.sh("ip addr show docker0")

    def test_network_create(self, stage: Stage) -> None:
        """$ docker network create --driver=bridge test: prints its id."""
        said = stage.sh("docker network create --driver=bridge test")
        assert ID.fullmatch(said)
        stage.ids["test"] = f"br-{said[:12]}"

    def test_brctl_show_two(self, stage: Stage) -> None:
        """$ brctl show: a second bridge, named after the network's id."""
        assert bridges(stage) == {stage.ids["test"]: [], "docker0": []}

    def test_network_create_with_subnet(self, stage: Stage) -> None:
        """$ docker network create … --subnet=172.200.0.0/24 --gateway=172.200.0.1 test2."""
        said = stage.sh(
            "docker network create --driver=bridge"
            " --subnet=172.200.0.0/24 --gateway=172.200.0.1 test2"
        )
        assert ID.fullmatch(said)
        stage.ids["test2"] = f"br-{said[:12]}"

    def test_run_on_it(self, stage: Stage) -> None:
        """$ docker run --rm -it --network=test2 busybox: an address of that subnet."""
        stage.terminal("first", "docker run --rm -it --network=bridge busybox")
        stage.ids["first"] = stage.sh("docker ps -q").strip()
        shell = stage.terminal("second", "docker run --rm -it --network=test2 busybox")
        said = shell.type("ip addr")
        assert re.search(r"(?m)^\d+: eth0@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> ", said)
        assert "link/ether 02:42:ac:c8:00:02 brd ff:ff:ff:ff:ff:ff" in said
        assert "inet 172.200.0.2/24 brd 172.200.0.255 scope global eth0" in said
        assert "inet 127.0.0.1/8 scope host lo" in said

    def test_ping_to_another_network(self, stage: Stage) -> None:
        """/ # ping 172.17.0.2: nothing comes back."""
        said = lost(stage.terminals["second"], "ping 172.17.0.2")
        assert "0 packets received, 100% packet loss" in said

    def test_isolation_rules(self, stage: Stage) -> None:
        """$ iptables-save | grep ISOLATION: these lines in this order."""
        test, test2 = stage.ids["test"], stage.ids["test2"]
        one, two = "DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"
        names = ("docker0", test, test2)
        assert stage.sh("iptables-save | grep ISOLATION").splitlines() == [
            f":{one} - [0:0]",
            f":{two} - [0:0]",
            f"-A FORWARD -j {one}",
            *(f"-A {one} -i {name} ! -o {name} -j {two}" for name in names),
            f"-A {one} -j RETURN",
            *(f"-A {two} -o {name} -j DROP" for name in names),
            f"-A {two} -j RETURN",
        ]

    def test_opening(self, stage: Stage) -> None:
        """$ iptables -R DOCKER-ISOLATION-STAGE-2 1 … -j ACCEPT, three times: ping works."""
        self._replace(stage, "ACCEPT")
        shell = stage.terminals["second"]
        shell.begin("ping 172.17.0.2")
        said = shell.until(r"64 bytes from 172\.17\.0\.2: seq=1 ttl=63 time=\S+ ms")
        assert "seq=0 ttl=63" in said
        shell.send(INTERRUPT)
        assert " 0% packet loss" in shell.prompt()

    def test_closing(self, stage: Stage) -> None:
        """$ iptables -R DOCKER-ISOLATION-STAGE-2 1 … -j DROP, three times: ping fails again."""
        self._replace(stage, "DROP")
        assert "100% packet loss" in lost(stage.terminals["second"], "ping 172.17.0.2")

    def _replace(self, stage: Stage, verdict: str) -> None:
        for number, name in enumerate(("docker0", stage.ids["test"], stage.ids["test2"]), 1):
            stage.sh(f"iptables -R DOCKER-ISOLATION-STAGE-2 {number} -o {name} -j {verdict}")

    def test_network_connect(self, stage: Stage) -> None:
        """$ docker network connect test2 8f358828cec2: eth1 is there."""
        assert stage.sh(f"docker network connect test2 {stage.ids['first']}") == ""
        said = stage.terminals["first"].type("ip addr")
        eth0, eth1 = re.split(r"(?m)^\d+: eth1@if\d+: ", said)
        assert "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0" in eth0
        assert eth1.startswith("<BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1500")
        assert "link/ether 02:42:ac:c8:00:03 brd ff:ff:ff:ff:ff:ff" in eth1
        assert "inet 172.200.0.3/24 brd 172.200.0.255 scope global eth1" in eth1

    def test_ping_to_the_new_address(self, stage: Stage) -> None:
        """/ # ping 172.200.0.3: answers, as neighbours do."""
        shell = stage.terminals["second"]
        shell.begin("ping 172.200.0.3")
        shell.until(r"64 bytes from 172\.200\.0\.3: seq=1 ttl=64 time=\S+ ms")
        shell.send(INTERRUPT)
        assert "2 packets transmitted, 2 packets received, 0% packet loss" in shell.prompt()

    def test_ping_to_the_old_address(self, stage: Stage) -> None:
        """/ # ping 172.17.0.2: still nothing."""
        assert "100% packet loss" in lost(stage.terminals["second"], "ping 172.17.0.2")

    def test_container_mode(self, stage: Stage) -> None:
        """$ docker run --rm -it --network=container:9bd busybox: the other's interfaces."""
        short = stage.ids["first"][:3]
        shell = stage.terminal("third", f"docker run --rm -it --network=container:{short} busybox")
        stage.ids["shared"] = shell.type("ip addr")
        assert "link/ether 02:42:ac:11:00:02" in stage.ids["shared"]
        assert "inet 172.17.0.2/16" in stage.ids["shared"]

    def test_exec(self, stage: Stage) -> None:
        """# docker exec -it 9bd sh: the same addresses and the same MAC."""
        shell = stage.terminal("fourth", f"docker exec -it {stage.ids['first'][:3]} sh")
        assert shell.type("ip addr") == stage.ids["shared"]
        assert shell.leave() == 0

    def test_loopback_is_shared(self, stage: Stage) -> None:
        """The two containers reach each other at 127.0.0.1."""
        stage.terminals["first"].type("httpd -p 127.0.0.1:8000 -h /var/www")
        said = stage.terminals["third"].type("wget -qO- http://127.0.0.1:8000/")
        assert said == "hello from busybox\n"
        assert stage.terminals["third"].leave() == 0

    def test_host_mode(self, stage: Stage) -> None:
        """> docker run --rm -it --network=host busybox: the host's interfaces and name."""
        shell = stage.terminal("host", "docker run --rm -it --network=host busybox")
        said = shell.type("ifconfig")
        docker0 = re.search(r"(?ms)^docker0 .*?\n\n", said)
        assert docker0 is not None
        assert "inet addr:172.17.0.1  Bcast:172.17.255.255  Mask:255.255.0.0" in docker0[0]
        assert f"inet addr:{stage.host.address} " in said
        assert len(re.findall(r"(?m)^veth", said)) == 3
        assert shell.type("hostname") == stage.sh("hostname")
        assert shell.leave() == 0

    def test_none_mode(self, stage: Stage) -> None:
        """$ docker run --rm -it --network=none busybox: nothing but lo."""
        shell = stage.terminal("none", "docker run --rm -it --network=none busybox")
        said = shell.type("ifconfig")
        assert re.findall(r"(?m)^\S+", said) == ["lo"]
        assert "inet addr:127.0.0.1  Mask:255.0.0.0" in said
        assert shell.leave() == 0
