"""How the daemon behaves as a service: started by a manager, told to reload, its log read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.images import PYTHON
from tests.docker.stage import eventually
from tests.lab import Daemon, Machine
from tests.lab.daemon import PROGRAM, SOCKET, DaemonFailed

pytestmark = pytest.mark.root

MANAGER = Path(__file__).with_name("manager.py")
NOTES = "/run/notes"
FILE = "/etc/docker/daemon.json"


def configure(machine: Machine, settings: object) -> None:
    """Writes daemon.json, as JSON or as it is."""
    text = settings if isinstance(settings, str) else json.dumps(settings)
    machine.run(["sh", "-c", f"cat >{FILE}"], stdin=text)


def reload(daemon: Daemon) -> None:
    """Sends the signal and waits until the daemon has said what came of it."""
    before = daemon.log.count("reloaded")
    daemon.machine.run(["kill", "-HUP", str(daemon.pid)])
    eventually(lambda: daemon.log.count("reloaded") > before)


def refused(machine: Machine, *flags: str) -> str:
    """What a daemon that does not start says on its last line."""
    with pytest.raises(DaemonFailed, match="ended with"):
        Daemon(machine, *flags).start()
    return Daemon(machine).log.strip().splitlines()[-1].removeprefix("fairlead: ")


class TestStart:
    """What stops a start, and what only looks like it."""

    def test_a_bad_file_stops_it_in_one_line(self, machine: Machine) -> None:
        """The line names file, key and value."""
        configure(machine, {"mtu": "big"})
        line = f'unable to configure the daemon with file {FILE}: mtu must be a number, not "big"'
        assert refused(machine) == line
        assert len(Daemon(machine).log.strip().splitlines()) == 1

    def test_a_bad_flag_stops_it_in_one_line(self, machine: Machine) -> None:
        """Without a file in it."""
        assert refused(machine, "--bip", "10.0.0.1").startswith(
            "invalid flag: invalid bip '10.0.0.1'"
        )

    def test_validate_says_and_does_no_more(self, machine: Machine) -> None:
        """--validate judges the configuration as a start would, and leaves nothing behind."""
        before = machine.snapshot()
        configure(machine, {"bip": "10.9.0.1/24"})
        done = machine.run([PROGRAM, "daemon", "--validate"])
        assert (done.stdout, done.stderr) == ("", "configuration OK\n")
        configure(machine, {"bip": "10.9.0.1/24", "fixed-cidr": "10.8.0.0/24"})
        done = machine.run([PROGRAM, "daemon", "--validate"], check=False)
        assert done.returncode == 1
        assert "fixed-cidr 10.8.0.0/24 is not in 10.9.0.0/24" in done.stderr
        assert machine.snapshot() == before
        assert machine.run(["ls", "/run/fairlead"], check=False).returncode != 0


def test_default_network_opts(machine: Machine) -> None:
    """Networks get the options that the daemon was given for their driver, unless they say."""
    mtu = "com.docker.network.driver.mtu"
    configure(machine, {"default-network-opts": {"bridge": {mtu: "1337"}}})
    with Daemon(machine) as daemon:
        daemon.import_busybox()
        daemon.docker("network", "create", "plain")
        daemon.docker("network", "create", "-o", f"{mtu}=1400", "own")
        for network, wanted in (("plain", "1337"), ("own", "1400")):
            words = ["--network", network, "busybox", "cat", "/sys/class/net/eth0/mtu"]
            assert daemon.docker("run", "--rm", *words).stdout.strip() == wanted
            shown = daemon.api("GET", f"/networks/{network}").json["Options"]
            assert shown[mtu] == wanted


def test_default_network_opts_say_which_families(machine: Machine) -> None:
    """A network has them unless whoever makes it says otherwise; what is no answer is refused."""
    six = "com.docker.network.enable_ipv6"
    configure(machine, {"default-network-opts": {"bridge": {six: "true"}}})
    with Daemon(machine) as daemon:
        for name, flags in (("both", ()), ("one", ("--ipv6=false",)), ("own", ("-o", f"{six}=0"))):
            daemon.docker("network", "create", *flags, name)
            shown = daemon.api("GET", f"/networks/{name}").json
            assert shown["EnableIPv6"] == (name == "both")
            assert (six in shown["Options"]) == (name != "one")
        said = daemon.docker("network", "create", "-o", f"{six}=no", "none", check=False)
        assert f'driver-opt "{six}" is not a valid bool' in said.stdout + said.stderr


def test_ipv6_on_the_default_bridge(machine: Machine) -> None:
    """daemon.json's subnet is where containers get their second address, and its firewall shows."""
    settings = {"ipv6": True, "fixed-cidr-v6": "2001:db8:9::/64", "firewall-backend": "nftables"}
    configure(machine, settings)
    machine.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    with Daemon(machine) as daemon:
        daemon.import_busybox()
        done = daemon.docker("run", "--rm", "busybox", "ip", "-6", "addr", "show", "eth0")
        assert "inet6 2001:db8:9::2/64" in done.stdout
        assert daemon.api("GET", "/info").json["FirewallBackend"]["Driver"] == "nftables"


def test_host_gateway_ips(machine: Machine) -> None:
    """What host-gateway stands for is as the file says, in both families."""
    configure(machine, {"host-gateway-ips": ["192.0.2.77", "2001:db8::77"]})
    with Daemon(machine) as daemon:
        daemon.import_busybox()
        words = ["--add-host", "host.docker.internal:host-gateway", "busybox", "cat", "/etc/hosts"]
        hosts = daemon.docker("run", "--rm", *words).stdout
    assert "192.0.2.77\thost.docker.internal" in hosts
    assert "2001:db8::77\thost.docker.internal" in hosts


class TestReload:
    """SIGHUP."""

    @pytest.fixture
    def daemon(self, machine: Machine) -> Iterator[Daemon]:
        """A daemon with a file."""
        configure(machine, {"labels": ["colour=red"]})
        with Daemon(machine) as running:
            yield running

    def test_what_changes_and_what_waits(self, daemon: Daemon) -> None:
        """Labels, debug and pools change at once; a bip is named as waiting."""
        assert daemon.api("GET", "/info").json["Labels"] == ["colour=red"]
        configure(
            daemon.machine,
            {
                "labels": ["colour=blue"],
                "debug": True,
                "default-address-pools": [{"base": "10.77.0.0/16", "size": 24}],
                "bip": "10.5.0.1/24",
            },
        )
        reload(daemon)
        info = daemon.api("GET", "/info").json
        assert (info["Labels"], info["Debug"]) == (["colour=blue"], True)
        network = daemon.api("POST", "/networks/create", {"Name": "late"}).json["Id"]
        config = daemon.api("GET", f"/networks/{network}").json["IPAM"]["Config"]
        assert config[0]["Subnet"] == "10.77.0.0/24"
        assert "keys=bip" in daemon.log
        shown = daemon.machine.run(["ip", "-4", "addr", "show", "docker0"]).stdout
        assert "10.5.0.1" not in shown
        assert "/networks/late" not in daemon.log
        daemon.api("GET", "/networks/late")
        assert "/networks/late" in daemon.log, "debug shows each request"

    def test_the_event(self, daemon: Daemon) -> None:
        """Whoever listens hears of it, as from dockerd."""
        reload(daemon)
        query = "since=0&until=9999999999&filters=%7B%22type%22:%5B%22daemon%22%5D%7D"
        query = query.replace("9999999999", daemon.machine.run(["date", "+%s.%N"]).stdout.strip())
        lines = daemon.api("GET", f"/events?{query}").body.splitlines()
        (event,) = [json.loads(line) for line in lines]
        assert (event["Action"], event["Actor"]["ID"]) == (
            "reload",
            daemon.api("GET", "/info").json["ID"],
        )
        attributes = event["Actor"]["Attributes"]
        assert attributes["labels"] == '["colour=red"]'
        assert attributes["name"] == "host"

    def test_a_bad_file_changes_nothing(self, daemon: Daemon) -> None:
        """The line says why, and the daemon goes on as it was."""
        for bad, words in (
            ({"labels": ["colour=blue"], "mtu": "big"}, "mtu must be a number"),
            ("{", "Expecting property name"),
        ):
            configure(daemon.machine, bad)
            reload(daemon)
            assert words in daemon.log.strip().splitlines()[-1]
            assert daemon.api("GET", "/info").json["Labels"] == ["colour=red"]


class TestService:
    """Started by a service manager, with its socket."""

    @pytest.fixture
    def daemon(self, machine: Machine) -> Iterator[Daemon]:
        """A daemon that a manager started."""
        words = [PYTHON, str(MANAGER), NOTES, SOCKET, str(PROGRAM), "daemon", "-H", "fd://"]
        with Daemon(machine, command=words) as running:
            yield running

    def notes(self, daemon: Daemon) -> str:
        """What the manager heard."""
        return daemon.machine.path(NOTES).read_text()

    def test_it_tells_how_it_goes(self, daemon: Daemon) -> None:
        """Ready, reloading and ready again, stopping; the socket stays the manager's."""
        eventually(lambda: "READY=1" in self.notes(daemon))
        reload(daemon)
        eventually(lambda: self.notes(daemon).count("READY=1") == 2)
        assert "RELOADING=1\nMONOTONIC_USEC=" in self.notes(daemon)
        assert daemon.stop() == 0
        eventually(lambda: "STOPPING=1" in self.notes(daemon))
        assert daemon.machine.path(SOCKET).is_socket()

    def test_nobody_else_can_speak_for_it(self, daemon: Daemon) -> None:
        """Neither the dataplane nor what runs containers has the manager's variables."""
        daemon.import_busybox()
        daemon.docker("run", "-d", "busybox", "sleep", "1000")
        script = "for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' <$f 2>/dev/null; done || true"
        seen = [
            line
            for line in daemon.machine.shell(script).stdout.splitlines()
            if line.startswith(("NOTIFY_SOCKET", "LISTEN_"))
        ]
        # The daemon's own /proc entry shows what it was started with.
        assert len(seen) == 3

    def test_without_a_manager(self, machine: Machine) -> None:
        """fd:// by hand is one line of explanation."""
        line = refused(machine, "-H", "fd://")
        assert line.startswith("no sockets found via socket activation")


class TestLog:
    """What the log says."""

    def test_json(self, machine: Machine) -> None:
        """Every line is an object; a change has its network, container and duration."""
        with Daemon(machine, "--log-format", "json") as daemon:
            daemon.import_busybox()
            daemon.docker("network", "create", "front")
            words = ["--name", "web", "--network", "front", "-e", "TOKEN=hunter2"]
            daemon.docker("run", "--rm", *words, "busybox", "true")
            daemon.docker("network", "rm", "nosuch", check=False)
            lines = [json.loads(line) for line in daemon.log.splitlines()]
        (opened,) = [line for line in lines if line["event"] == "sandbox-open"]
        assert (opened["networks"], opened["name"]) == ("front", "web")
        assert opened["ms"] > 0
        assert {"container create", "container start", "container die"} <= {
            line["event"] for line in lines
        }
        (told,) = [line for line in lines if line["event"] == "request refused"]
        assert told["reason"] == "network nosuch not found"
        assert "hunter2" not in daemon.log

    def test_level(self, machine: Machine) -> None:
        """At error, a day without errors leaves no line."""
        with Daemon(machine, "--log-level", "error") as daemon:
            daemon.docker("network", "create", "front")
            daemon.docker("network", "rm", "front")
            assert daemon.stop() == 0
            assert daemon.log == ""
