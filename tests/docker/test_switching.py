"""A daemon that comes back with another firewall, or with or without a proxy, finds its containers.

They run on; their ports go on being reached; of the other firewall nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from subprocess import PIPE

import pytest

from tests.docker.family import DUAL, HOST6, IPV4, NEIGHBOUR6, Family, wired
from tests.docker.images import PYTHON, TALK, make_tools
from tests.docker.published import BOTH, WEB, Ports
from tests.lab import Daemon, Machine, Switch
from tests.lab.process import Process

pytestmark = pytest.mark.root

NFTABLES = "--firewall-backend=nftables"
UNPROXIED = "--userland-proxy=false"
FORWARDS = """
    sysctl -qw net.ipv4.ip_forward=0
    sysctl -qw net.ipv6.conf.all.forwarding=0
"""


@pytest.fixture
def begin() -> Iterator[Callable[..., Ports]]:
    """Starts a daemon with flags on a machine that did not forward before."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        host = wired(switch.machine("host"), HOST6)
        neighbour = wired(switch.machine("neighbour"), NEIGHBOUR6)
        host.shell(FORWARDS)

        def begun(*flags: str) -> Ports:
            daemon = stack.enter_context(Daemon(host))
            if daemon.running:
                daemon.stop()
            daemon.start(*flags)
            daemon.import_busybox()
            make_tools(daemon)
            return Ports(daemon, host, neighbour, DUAL, "red")

        yield begun


def settled(ports: Ports) -> None:
    """A published server, a client on its network and one on another, both of both families."""
    ports.network("red")
    ports.network("blue")
    ports.serve("web", options=WEB)
    ports.idle("friend")
    ports.idle("away", "--network blue")


def works(ports: Ports) -> None:
    """Everybody reaches the published port; nobody else's own address."""
    web = ports.lan.endpoints("web")["red"]
    for family in (IPV4, DUAL):
        for asker in (ports.neighbour, ports.host, "web", "friend", "away"):
            assert ports.reach(asker, family.host) == ["web", "web"], (asker, family.name)
        assert ports.reach(ports.host, family.loopback) == ["web", "web"], family.name
        assert ports.reach("friend", family.of(web), 80) == ["web", "web"]
        assert "web" not in ports.reach("away", family.of(web), 80)
        seen = [ports.ask(ports.neighbour, p, family.host, 8080)[0] for p in BOTH]
        assert seen == [family.neighbour] * 2
        # Who refuses has been reached.
        assert ports.reach("away", family.neighbour, 9) == ["refused", "refused"]


def rules(host: Machine) -> str:
    """All that iptables and nft know of ours."""
    saved = host.shell("iptables-save; ip6tables-save").stdout
    # The rest of what nft lists is what iptables wrote.
    tables = host.shell("nft list tables").stdout
    return "".join(f"{line}\n" for line in (saved + tables).splitlines() if ours(line))


def ours(line: str) -> bool:
    """Whether a line tells of us, or of a policy that is not the kernel's own."""
    return any(word in line for word in ("DOCKER", "FAIRLEAD", "fairlead", "br-", " DROP "))


@pytest.mark.parametrize("backends", [("iptables", "nftables"), ("nftables", "iptables")])
def test_another_firewall(begin: Callable[..., Ports], backends: tuple[str, str]) -> None:
    """New connections work after it, and back, and those go on that were made under either.

    Nothing of the other is left either time.
    """
    first, second = (f"--firewall-backend={name}" for name in backends)
    ports = begin(first)
    settled(ports)
    works(ports)
    before = rules(ports.host)
    with ExitStack() as stack:
        for flag, name in ((second, backends[1]), (first, backends[0])):
            quiet = [talking(stack, ports, host, "converse") for host in (HOST6, IPV4.host)]
            busy = [talking(stack, ports, host, "chatter") for host in (HOST6, IPV4.host)]
            ports.daemon.stop()
            ports.daemon.start(flag)
            for talk in quiet:
                assert talk.communicate("goes on\n", 60)[0] == "goes on\n", (name, talk.args)
            for talk in busy:
                assert talk.communicate("", 90)[0] == "answered True\n", (name, talk.args)
            works(ports)
            found = rules(ports.host)
            assert ("DOCKER" in found) == (name == "iptables")
            assert ("table ip fairlead" in found) == (name == "nftables")
            # A router that was none before lets nothing pass that is not ours, either way.
            assert (":FORWARD DROP" in found) == (name == "iptables")
        # In which order networks masquerade decides nothing.
        assert sorted(rules(ports.host).splitlines()) == sorted(before.splitlines())


def talking(stack: ExitStack, ports: Ports, host: str, how: str) -> Process:
    """The neighbour with a connection to the published port."""
    talk = ports.neighbour.popen([PYTHON, "-u", str(TALK), how, host, "8080"], stdin=PIPE)
    stack.callback(talk.communicate)
    stack.callback(talk.kill)
    assert talk.stdout is not None
    assert talk.stdout.readline().split()[-1] == "web"
    return talk


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_without_the_proxy_and_with_it(begin: Callable[..., Ports], backend: str) -> None:
    """The same containers are reached alike, and the settings of the kernel follow."""
    flag = f"--firewall-backend={backend}"
    ports = begin(flag)
    settled(ports)
    bridge = ports.lan.bridge("red")

    def settings() -> list[str]:
        local = f"cat /proc/sys/net/ipv4/conf/{bridge}/route_localnet"
        hairpin = f"cat /sys/class/net/{bridge}/brif/*/hairpin_mode"
        return ports.host.shell(f"{local}; {hairpin}").stdout.split()

    assert set(settings()) == {"0"}
    for more, value in ((UNPROXIED, "1"), ("--userland-proxy=true", "0"), (UNPROXIED, "1")):
        ports.daemon.stop()
        ports.daemon.start(flag, more)
        assert set(settings()) == {value}
        works(ports)
    thief = ports.host.run([PYTHON, str(TALK), "serve", "tcp:8080"], check=False)
    assert "Address already in use" in thief.stderr, "the port is held without a proxy, too"
    ports.daemon.docker("rm", "-f", "web")
    assert ports.reach(ports.neighbour, IPV4.host) == ["refused", "refused"]


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize(("setting", "family"), [("iptables", IPV4), ("ip6tables", DUAL)])
def test_one_family_without_rules(
    begin: Callable[..., Ports], backend: str, setting: str, family: Family
) -> None:
    """--iptables=false and --ip6tables=false take the rules of that family away, not the other's."""
    flag = f"--firewall-backend={backend}"
    ports = begin(flag)
    settled(ports)
    ports.daemon.stop()
    ports.daemon.start(flag, f"--{setting}=false")
    saved = ports.host.run([f"{setting}-save"]).stdout
    table = f"table ip{'6' if family.version == 6 else ''} fairlead\n"
    assert [line for line in saved.splitlines() if ours(line)] == []
    assert table not in ports.host.run(["nft", "list", "tables"]).stdout
    # Without rules it is the proxy that leads there.
    assert ports.reach(ports.host, family.host) == ["web", "web"]
    other = DUAL if family is IPV4 else IPV4
    assert ports.ask(ports.neighbour, "tcp", other.host, 8080)[0] == other.neighbour
    ports.daemon.stop()
    ports.daemon.start(flag)
    works(ports)


def test_a_family_that_came_and_went(begin: Callable[..., Ports]) -> None:
    """What forwarding dropped for a network that is gone since is let go with the firewall, too."""
    ports = begin()
    ports.network("red")
    assert ":FORWARD DROP" in ports.host.shell("ip6tables-save -t filter").stdout
    ports.daemon.docker("network", "rm", "red")
    ports.daemon.stop()
    ports.daemon.start(NFTABLES)
    assert ":FORWARD DROP" not in ports.host.shell("iptables-save; ip6tables-save").stdout
