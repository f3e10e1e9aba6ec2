"""docker-compose 1.29, the last one in Python: projects as people write them, up and down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.docker.images import PYTHON, TALK
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine
from tests.tools.project import Project

pytestmark = pytest.mark.root

Make = Callable[[str, str], Project]

SHOP = """
version: "3.8"
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 80 -h /www'
    stop_grace_period: 0s
    networks:
      front: {ipv4_address: 10.60.0.10, aliases: [www]}
      back: {}
    ports: ["8080:80", "127.0.0.1:8081:80"]
    depends_on: [db]
  db:
    image: busybox
    command: sh -c 'echo db is up; exec sleep 1000000'
    stop_grace_period: 0s
    volumes: ["stuff:/stuff"]
    networks: {back: {ipv4_address: 10.61.0.20}}
volumes: {stuff: {}}
networks:
  front: {ipam: {config: [{subnet: 10.60.0.0/24}]}}
  back: {internal: true, ipam: {config: [{subnet: 10.61.0.0/24}]}}
"""


def fetch(machine: Machine, url: str) -> str:
    """A page as a machine sees it, waiting for its server to be up."""
    words = [PYTHON, str(TALK), "fetch", url]
    eventually(lambda: machine.run(words, check=False).returncode == 0)
    return machine.run(words).stdout


def test_two_services_on_two_networks(project: Make, daemon: Daemon, neighbour: Machine) -> None:
    """Addresses, names, ports and logs are as the file says; down takes it all back."""
    shop = project("shop", SHOP)
    shop("up", "-d")
    shown = shop("ps").stdout
    assert "shop_db_1" in shown
    assert "0.0.0.0:8080->80/tcp" in shown
    addresses = shop.ask("web", "ip", "-4", "addr")
    assert "inet 10.60.0.10/24" in addresses
    assert "inet 10.61.0.2/24" in addresses
    assert "10.61.0.20" in shop.ask("web", "ping", "-c1", "db")
    assert "10.61.0.2" in shop.ask("db", "ping", "-c1", "web")
    assert not shop.ask("db", "nslookup", "www"), "an alias is of its network alone"
    page = fetch(neighbour, f"http://{daemon.machine.address}:8080/")
    assert page == fetch(daemon.machine, "http://127.0.0.1:8081/")
    assert shop("port", "web", "80").stdout.strip() == "0.0.0.0:8080"
    assert "db is up" in shop("logs", "db").stdout
    again = shop("up", "-d").stderr
    assert again.count("is up-to-date") == 2
    shop("down", "-v")
    assert daemon.api("GET", "/volumes").json["Volumes"] in (None, [])
    assert len(daemon.api("GET", "/networks").json) == 3


def test_a_life_of_a_project(project: Make, daemon: Daemon) -> None:
    """Stop, start, restart, pause, kill and run; a static address is kept throughout."""
    shop = project("shop", SHOP)
    shop("up", "-d")
    for verbs in (("stop", "start"), ("pause", "unpause"), ("restart",), ("kill", "start")):
        for verb in verbs:
            shop(verb)
        assert "10.61.0.20" in shop.ask("web", "ping", "-c1", "db")
    # A one-off container takes its service's networks, and here its static address.
    shop("stop", "db")
    assert shop("run", "--rm", "db", "hostname", "-i").stdout.strip() == "10.61.0.20"
    shop("start", "db")
    assert "sleep 1000000" in shop("top", "db").stdout
    shop("rm", "-fs", "db")
    assert "shop_db_1" not in shop("ps").stdout
    shop("down")
    assert [v["Name"] for v in daemon.api("GET", "/volumes").json["Volumes"]] == ["shop_stuff"]
    shop("down", "-v")


def test_a_file_that_changes(project: Make, daemon: Daemon, neighbour: Machine) -> None:
    """What changed is made anew, what did not stays; a service that is gone goes."""
    shop = project("shop", SHOP)
    shop("up", "-d")
    before = {c["Names"][0]: c["Id"] for c in daemon.api("GET", "/containers/json").json}
    shop.write(SHOP.replace("8080:80", "9090:80"))
    shop("up", "-d")
    after = {c["Names"][0]: c["Id"] for c in daemon.api("GET", "/containers/json").json}
    assert after["/shop_db_1"] == before["/shop_db_1"]
    assert after["/shop_web_1"] != before["/shop_web_1"]
    assert fetch(neighbour, f"http://{daemon.machine.address}:9090/")
    words = [PYTHON, str(TALK), "ask", "tcp", str(daemon.machine.address), "8080"]
    assert neighbour.run(words).stdout.strip() == "refused"
    shop("down", "-v")


SCALED = """
version: "3.8"
services:
  worker:
    image: busybox
    command: sh -c 'mkdir -p /www && hostname >/www/index.html && exec httpd -f -p 80 -h /www'
    stop_grace_period: 0s
    ports: ["8100-8110:80"]
  asker:
    image: busybox
    command: sleep 1000000
    stop_grace_period: 0s
"""


def test_scale(project: Make, daemon: Daemon, neighbour: Machine) -> None:
    """Four of one service: one name with all their addresses, each with a port of the range."""
    farm = project("farm", SCALED)
    farm("up", "-d", "--scale", "worker=4")
    found = farm.ask("asker", "nslookup", "worker")
    addresses = [line.split()[-1] for line in found.splitlines() if "Address" in line][1:]
    assert len(set(addresses)) == 4, found
    pages = {
        fetch(neighbour, f"http://{daemon.machine.address}:{port}/") for port in range(8100, 8104)
    }
    assert len(pages) == 4
    farm("scale", "worker=1")
    found = farm.ask("asker", "nslookup", "worker")
    assert found.count("Address") == 2, found
    farm("down")


STACK = """
version: "2.4"
services:
  pod:
    image: busybox
    command: sleep 1000000
    stop_grace_period: 0s
    hostname: pod
    networks: [shared]
    extra_hosts: ["printer:192.0.2.99"]
    dns_search: [example.org]
    sysctls: {net.ipv4.ip_unprivileged_port_start: "0"}
  sidecar:
    image: busybox
    command: sh -c 'mkdir -p /www && echo side >/www/index.html && exec httpd -f -p 80 -h /www'
    stop_grace_period: 0s
    network_mode: service:pod
    depends_on: {pod: {condition: service_started}}
  old:
    image: busybox
    command: sleep 1000000
    stop_grace_period: 0s
    networks: [shared]
    links: ["pod:friend"]
    external_links: ["stranger:alien"]
  alone:
    image: busybox
    command: sleep 1000000
    stop_grace_period: 0s
    network_mode: none
  of_host:
    image: busybox
    command: sleep 1000000
    stop_grace_period: 0s
    network_mode: host
networks:
  shared: {external: true, name: meeting}
"""


def test_modes_links_and_external_networks(project: Make, daemon: Daemon) -> None:
    """A sidecar shares its owner's network; links are names; what is external is left alone."""
    stack = project("stack", STACK)
    missing = stack("up", "-d", check=False)
    assert "declared as external, but could not be found" in missing.stderr
    daemon.docker("network", "create", "--subnet", "10.62.0.0/24", "meeting")
    words = ["--name", "stranger", "--network", "meeting", "busybox", "sleep", "1000000"]
    daemon.docker("run", "-d", *words)
    stack("up", "-d")
    assert stack.ask("sidecar", "hostname") == "pod"
    fetched = "for i in $(seq 50); do wget -qO- http://127.0.0.1 && exit; sleep 0.1; done"
    assert stack.ask("pod", "sh", "-c", fetched) == "side"
    for name in ("friend", "alien", "pod", "stranger", "old"):
        assert stack.ask("old", "ping", "-c1", name), name
    assert not stack.ask("pod", "ping", "-c1", "friend"), "a link is its owner's alone"
    assert "192.0.2.99" in stack.ask("pod", "cat", "/etc/hosts")
    assert "search example.org" in stack.ask("pod", "cat", "/etc/resolv.conf")
    assert stack.ask("alone", "ls", "/sys/class/net") == "lo"
    assert str(daemon.machine.address) in stack.ask("of_host", "ip", "addr")
    stack("down")
    assert daemon.api("GET", "/networks/meeting").status == 200


DUAL = """
version: "3.8"
services:
  one: {image: busybox, command: sleep 1000000, stop_grace_period: 0s}
networks:
  default:
    driver: bridge
    driver_opts: {com.docker.network.driver.mtu: "1400", com.docker.network.bridge.name: shopbr}
    labels: {colour: red}
"""


def test_the_default_network_of_a_project(project: Make, daemon: Daemon) -> None:
    """Its options reach the interface, its labels are found."""
    one = project("lone", DUAL)
    one("up", "-d")
    assert one.ask("one", "cat", "/sys/class/net/eth0/mtu") == "1400"
    assert daemon.machine.run(["ip", "link", "show", "shopbr"]).returncode == 0
    filters = "%7B%22label%22:%5B%22colour%3Dred%22%5D%7D"
    (network,) = daemon.api("GET", f"/networks?filters={filters}").json
    assert network["Name"] == "lone_default"
    one("down")


JOB = """
version: "3.8"
services:
  job: {image: busybox, command: "sh -c 'echo from the job; exit 3'"}
  helper: {image: busybox, command: sleep 1000000, stop_grace_period: 0s}
"""


def test_in_the_foreground(project: Make) -> None:
    """What containers print is shown as they print it, and the end of one is the end of all."""
    jobs = project("jobs", JOB)
    done = jobs("up", "--exit-code-from", "job", check=False)
    assert done.returncode == 3
    assert "from the job" in done.stdout
    jobs("down")


def test_an_address_that_is_taken(project: Make, daemon: Daemon) -> None:
    """The refusal is the daemon's, in Docker's words, and down still works."""
    text = SHOP.replace("10.61.0.20", "10.61.0.1")
    shop = project("shop", text)
    done = shop("up", "-d", check=False)
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    shop("down", "-v")
