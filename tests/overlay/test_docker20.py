"""A Docker 20.10 daemon and fairlead daemons are members of one cluster.

Whatever is asked of one side is looked at from the other: who made a network, and who is on
it, makes no difference to containers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.overlay.cluster import Host, eventually
from tests.overlay.mixed import STORELESS, WEB, DockerHost, Mixed, mixed_cluster
from tests.plugins.driver import Wires

pytestmark = pytest.mark.root

MAKERS = ("one", "two", "three")


@pytest.fixture(scope="module")
def mixed() -> Iterator[Mixed]:
    """Docker on `one`, fairlead with serf on `two`, without on `three`."""
    with mixed_cluster() as made:
        yield made


class Net:
    """A network with a container on each host, called as its host."""

    def __init__(self, cluster: Mixed, maker: str, *options: str) -> None:
        self.cluster = cluster
        self.name = f"net-{maker}"
        try:
            self.id = cluster.host(maker).docker(
                "network", "create", "-d", "overlay", *options, self.name
            )
            for host in cluster.hosts:
                eventually(lambda host=host: shown(host, self.name))  # type: ignore[misc]
            self.addresses = {
                host.machine.name: self.start(host, number)
                for number, host in enumerate(cluster.hosts, 1)
            }
        except BaseException:
            self.close()
            raise

    def start(self, host: Host, number: int) -> str:
        """Starts the container of a host; its address."""
        name = host.machine.name
        host.docker(
            "run", "-d", "--name", name, "--hostname", f"h-{name}", "--net", self.name,
            "--network-alias", f"alias-{name}", "-p", f"{8080 + number}:80",
            "busybox", "sh", "-c", WEB, name,
        )  # fmt: skip
        return host.address(name, self.name)

    def others(self) -> Iterator[tuple[Host, str]]:
        """Each host, and the name of each other one."""
        for host in self.cluster.hosts:
            for other in self.cluster.hosts:
                if other is not host:
                    yield host, other.machine.name

    def close(self) -> None:
        """Removes the containers, then the network."""
        for host in self.cluster.hosts:
            host.docker("rm", "-f", host.machine.name, check=False)
        remove(self.cluster.one, self.name)


@pytest.fixture(scope="class", params=MAKERS)
def net(mixed: Mixed, request: pytest.FixtureRequest) -> Iterator[Net]:
    """A network that one of the hosts made."""
    made = Net(mixed, request.param)
    yield made
    made.close()


def shown(host: Host, network: str, driver: str = "overlay") -> str:
    """A network's id as a host shows it, if it is of the cluster and a driver; else nothing."""
    form = "{{.Name}} {{.Driver}} {{.Scope}} {{.ID}}"
    for line in host.docker("network", "ls", "--no-trunc", "--format", form).splitlines():
        if line.startswith(f"{network} {driver} global "):
            return line.rpartition(" ")[2]
    return ""


def remove(host: Host, network: str) -> None:
    """Removes a network as soon as it may be, and it is."""

    said = ""

    def gone() -> bool:
        nonlocal said
        said = host.docker("network", "rm", network, check=False)
        return not shown(host, network)

    eventually(gone, else_say=lambda: said)


def heard(host: Host, name: str, target: str) -> None:
    """A container hears from a target sooner or later."""
    eventually(lambda: host.pings(name, target), else_say=lambda: unheard(host, name, target))


def unheard(host: Host, name: str, target: str) -> str:
    """What a host knows of a target that a container on it does not hear from."""
    pid = host.docker("inspect", "-f", "{{.State.Pid}}", name)
    seen = host.shell(
        f"nsenter -n -t {pid} ip -4 neigh; for it in /run/docker/netns/1-* /run/docker/netns/*-*;"
        ' do echo "$it"; nsenter --net="$it" bridge fdb; nsenter --net="$it" ip -4 neigh; done',
        check=False,
    )
    words = ("exec", name, "ping", "-c", "1", "-W", "2", target)
    said = host.docker(*words, check=False)
    networks = host.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    return f"{host.machine.name}: {name} does not hear from {target}: {said}\n{seen}\n{networks}"


def lookup(host: Host, name: str, asked: str) -> str:
    """The address of a name, as a container is told; nothing if there is none."""
    said = host.docker("exec", name, "nslookup", asked, "127.0.0.11", check=False)
    found = [line.split() for line in said.splitlines() if line.startswith("Address")]
    return next((words[-1] for words in found if "127.0.0.11" not in "".join(words)), "")


def page(host: Host, name: str, target: str, port: int) -> str:
    """What a container gets from a web server."""
    get = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 20 {target} {port} | tail -n 1"
    return host.docker("exec", name, "sh", "-c", get)


def on(host: Host, network: str) -> dict[str, tuple[str, str]]:
    """Who is on a network as a host shows it: names with their keys and addresses."""
    (plain,) = json.loads(host.docker("network", "inspect", network))
    containers: dict[str, dict[str, str]] = plain["Containers"]
    return {each["Name"]: (key, each["IPv4Address"]) for key, each in containers.items()}


class TestOneNetwork:
    """A network that any of them made, with a container on each."""

    def test_it_is_everywhere(self, net: Net) -> None:
        """Every host shows the network of any, with one id."""
        assert {shown(host, net.name) for host in net.cluster.hosts} == {net.id}

    def test_by_address(self, net: Net) -> None:
        """Everybody reaches everybody."""
        for host, other in net.others():
            heard(host, host.machine.name, net.addresses[other])

    def test_by_name(self, net: Net) -> None:
        """Names, aliases, host names and names with the network lead to the same container."""
        for host, other in net.others():
            own, there = host.machine.name, net.addresses[other]
            for name in (other, f"alias-{other}", f"{other}.{net.name}"):
                eventually(
                    lambda host=host, own=own, name=name, there=there: (  # type: ignore[misc]
                        lookup(host, own, name) == there
                    )
                )

    def test_by_published_port(self, net: Net) -> None:
        """A port that one host publishes is open to containers of the others."""
        for host, other in net.others():
            number = MAKERS.index(other) + 1
            there = str(net.cluster.host(other).machine.address)
            assert page(host, host.machine.name, there, 8080 + number) == other

    def test_by_stream(self, net: Net) -> None:
        """A connection on the network works, by name."""
        for host, other in net.others():
            assert page(host, host.machine.name, other, 80) == other

    def test_inspect(self, net: Net) -> None:
        """Each host shows all three, those of others by their endpoints."""
        for host in net.cluster.hosts:
            eventually(lambda host=host: len(on(host, net.name)) == 3)  # type: ignore[misc]
            for name, (key, address) in on(host, net.name).items():
                assert address == f"{net.addresses[name]}/24"
                assert key.startswith("ep-") == (name != host.machine.name)

    def test_mtu(self, net: Net) -> None:
        """Packets may have 1450 bytes, and those that have arrive."""
        for host in net.cluster.hosts:
            mtu = host.docker("exec", host.machine.name, "cat", "/sys/class/net/eth0/mtu")
            assert mtu == "1450"
        for host, other in net.others():
            full = ("ping", "-c", "1", "-W", "10", "-s", str(1450 - 28), net.addresses[other])
            host.docker("exec", host.machine.name, *full)


def test_several_subnets(mixed: Mixed) -> None:
    """On a network of two subnets all reach each other, whatever subnet and host they are on."""
    name = "wide"
    subnets = ("--subnet", "10.91.0.0/24", "--subnet", "10.92.0.0/24")
    made = mixed.one.docker("network", "create", "-d", "overlay", *subnets, name)
    placed: list[tuple[Host, str, str]] = []
    for number, host in enumerate(mixed.hosts, 10):
        eventually(lambda host=host: shown(host, name))  # type: ignore[misc]
        for subnet in (91, 92):
            address = f"10.{subnet}.0.{number}"
            container = f"w{subnet}-{number}"
            assert host.run(container, name, "--ip", address) == address
            placed.append((host, container, address))
    # A namespace begins with what the machine's own kernel has; Docker sets that, on a real host.
    span = f"$(echo /run/docker/netns/*-{made[:10]})"
    mixed.one.shell(f'nsenter --net="{span}" sysctl -qw net.ipv4.ip_forward=1')
    try:
        for host, container, own in placed:
            for _, _, address in placed:
                if address != own:
                    heard(host, container, address)
    finally:
        for host, container, _ in placed:
            host.docker("rm", "-f", container)
        remove(mixed.two, name)


def test_networks_of_a_plugin(mixed: Mixed) -> None:
    """A plugin that is on both, of scope global: whoever makes its network, all have it."""
    with ExitStack() as stack:
        shared = Path(stack.enter_context(TemporaryDirectory(dir="/dev/shm"))) / "state"
        for host in (mixed.one, mixed.two):
            stack.enter_context(Wires(host.machine, scope="global", shared=shared))
        for maker, other in ((mixed.one, mixed.two), (mixed.two, mixed.one)):
            name = f"wired-{maker.machine.name}"
            maker.docker("network", "create", "-d", "wires", "--opt", "way=none", name)
            for host in mixed.hosts:
                eventually(lambda host=host, name=name: shown(host, name, "wires"))  # type: ignore[misc]
            first, second = maker.run("pp", name), other.run("qq", name)
            heard(maker, "pp", second)
            heard(other, "qq", first)
            heard(maker, "pp", "qq")
            heard(other, "qq", "pp")
            eventually(lambda name=name: len(on(mixed.three, name)) == 2)  # type: ignore[misc]
            maker.docker("rm", "-f", "pp")
            other.docker("rm", "-f", "qq")
            remove(other, name)
            for host in mixed.hosts:
                eventually(lambda host=host, name=name: not shown(host, name, "wires"))  # type: ignore[misc]


def test_addresses_are_given_once(mixed: Mixed) -> None:
    """Hosts that start, remove and restart containers at once never share an address."""
    name, each = "busy", 6
    mixed.two.docker("network", "create", "-d", "overlay", "--subnet", "10.93.0.0/24", name)
    for host in mixed.hosts:
        eventually(lambda host=host: shown(host, name))  # type: ignore[misc]

    def busy(host: Host) -> list[str]:
        names = [f"b{number}-{host.machine.name}" for number in range(each)]
        for one in names:
            host.run(one, name)
        host.docker("rm", "-f", *names[:2])
        restart(host, names[2:4], name)
        for one in names[:2]:
            host.run(one, name)
        return [host.address(one, name) for one in names]

    try:
        with ThreadPoolExecutor() as pool:
            found = [address for part in pool.map(busy, mixed.hosts) for address in part]
        assert len(set(found)) == len(found) == 3 * each
        for host in mixed.hosts:
            eventually(
                lambda host=host: len(on(host, name)) == 3 * each,  # type: ignore[misc]
                else_say=lambda host=host: on(host, name),  # type: ignore[misc]
            )
        taken = mixed.one.address("b0-one", name), mixed.two.address("b0-two", name)
        words = ("run", "-d", "--net", name, "--ip")
        assert "in use" in mixed.two.docker(*words, taken[0], "busybox", "true", check=False)
        assert "in use" in mixed.one.docker(*words, taken[1], "busybox", "true", check=False)
    finally:
        cleared(mixed, name)


def restart(host: Host, names: list[str], network: str) -> None:
    """Restarts containers; one that Docker lost its store for is begun anew."""
    if not isinstance(host, DockerHost):
        host.docker("restart", "-t", "0", *names)
        return
    for one in names:
        done = host.daemon.docker("restart", "-t", "0", one, check=False)
        if done.returncode != 0:
            assert any(fault in done.stderr for fault in STORELESS), done.stderr
            host.clear(one, network)
            host.run(one, network)


def cleared(mixed: Mixed, network: str) -> None:
    """Removes all containers everywhere, then a network."""
    for host in mixed.hosts:
        if names := host.docker("ps", "-aq").split():
            host.docker("rm", "-f", *names)
    for left in on(mixed.one, network):
        if left.endswith("-one"):
            # Docker's own: what it could not take out of its store then it can now.
            mixed.one.docker("network", "disconnect", "-f", network, left, check=False)
    remove(mixed.one, network)


@pytest.mark.parametrize("leaver", MAKERS)
def test_who_leaves_is_gone(mixed: Mixed, leaver: str) -> None:
    """Who is taken off a network is reached no more, and its name is nobody's; then back."""
    name = f"leave-{leaver}"
    mixed.two.docker("network", "create", "-d", "overlay", name)
    for host in mixed.hosts:
        eventually(lambda host=host: shown(host, name))  # type: ignore[misc]
        host.run(f"c-{host.machine.name}", name, "--cap-add", "NET_ADMIN")
    there, gone = mixed.host(leaver), f"c-{leaver}"
    stay = [host for host in mixed.hosts if host is not there]
    address = there.address(gone, name)
    try:
        for host in stay:
            heard(host, f"c-{host.machine.name}", gone)
        there.docker("network", "disconnect", name, gone)
        for host in stay:
            own = f"c-{host.machine.name}"
            eventually(lambda host=host, own=own: not lookup(host, own, gone))  # type: ignore[misc]
            eventually(lambda host=host, own=own: not host.pings(own, address, wait=1))  # type: ignore[misc]
            eventually(lambda host=host: gone not in on(host, name))  # type: ignore[misc]
        there.docker("network", "connect", "--ip", address, name, gone, check=False)
        for host in stay:
            own = f"c-{host.machine.name}"
            eventually(lambda host=host, own=own: lookup(host, own, gone))  # type: ignore[misc]
            # It has another MAC now, which a container on Docker asks for when it likes.
            heard_anew(host, own, address)
            heard(host, own, gone)
            heard(there, gone, own)
        # In use on other hosts alone, it stays.
        there.docker("rm", "-f", gone)
        assert "active endpoints" in there.docker("network", "rm", name, check=False)
    finally:
        for host in mixed.hosts:
            host.docker("rm", "-f", f"c-{host.machine.name}", check=False)
        remove(there, name)
    for host in mixed.hosts:
        eventually(lambda host=host: not shown(host, name))  # type: ignore[misc]


def test_an_address_moves(mixed: Mixed) -> None:
    """An address that was one host's leads to whoever has it now, from every host.

    Not from a Docker host to one without serf if it was that Docker's own: it asks itself.
    """
    name = "moves"
    one, two, three = mixed.hosts
    moves = [("10.94.0.50", place) for place in (one, two, one, two)]
    moves += [("10.94.0.60", place) for place in (two, three, two, three)]
    mixed.one.docker("network", "create", "-d", "overlay", "--subnet", "10.94.0.0/24", name)
    for host in mixed.hosts:
        eventually(lambda host=host: shown(host, name))  # type: ignore[misc]
        host.run(f"m-{host.machine.name}", name, "--cap-add", "NET_ADMIN")
    try:
        for address, place in moves:
            assert place.run("mover", name, "--ip", address) == address
            for host in mixed.hosts:
                heard_anew(host, f"m-{host.machine.name}", address)
            place.docker("rm", "-f", "mover")
    finally:
        cleared(mixed, name)


def heard_anew(host: Host, name: str, address: str) -> None:
    """A container that may do so forgets which MAC an address had, and hears from it."""

    def reached() -> bool:
        host.docker("exec", name, "ip", "neigh", "flush", "dev", "eth0")
        return host.pings(name, address)

    eventually(reached)


class TestRestarts:
    """Whoever is started anew finds the others, and is found."""

    @pytest.fixture
    def net(self, mixed: Mixed) -> Iterator[Net]:
        """A network with a container on each host."""
        made = Net(mixed, "two")
        for host, other in made.others():
            heard(host, host.machine.name, made.addresses[other])
        yield made
        made.close()

    def test_docker(self, net: Net) -> None:
        """Docker forgets all it was told, and asks; what it learns so does not outlive its use."""
        cluster = net.cluster
        cluster.one.daemon.restart()
        cluster.one.docker("start", "one")
        net.addresses["one"] = cluster.one.address("one", net.name)
        all_reached(net)
        for host in (cluster.two, cluster.three):
            name = host.machine.name
            gone = net.addresses[name]
            host.docker("rm", "-f", name)
            assert host.run(name, net.name, "--ip", gone) == gone
            # One that never spoke to it: what is kept of it is Docker's, not a container's.
            cluster.one.run("late", net.name)
            heard(cluster.one, "late", gone)
            cluster.one.docker("rm", "-f", "late")

    def test_fairlead(self, net: Net) -> None:
        """Containers go on, and new ones are found."""
        for host in (net.cluster.two, net.cluster.three):
            host.daemon.restart()
        all_reached(net)
        started_and_reached(net)

    def test_store(self, net: Net) -> None:
        """Containers go on without it, and new ones are found when it is back."""
        net.cluster.server.stop()
        all_reached(net)
        net.cluster.server.start()
        started_and_reached(net)


def all_reached(net: Net) -> None:
    """Everybody on a network reaches everybody, by address and by name."""
    for host, other in net.others():
        heard(host, host.machine.name, net.addresses[other])
        heard(host, host.machine.name, other)


def started_and_reached(net: Net) -> None:
    """One more container on each host, which all others reach."""
    for host in net.cluster.hosts:
        late = f"late-{host.machine.name}"

        def up(host: Host = host, late: str = late) -> bool:
            host.docker("rm", "-f", late, check=False)
            words = ("run", "-d", "--name", late, "--net", net.name, "busybox", "sleep", "600")
            return host.daemon.docker(*words, check=False).returncode == 0

        try:
            eventually(up)
            for other in net.cluster.hosts:
                if other is not host:
                    heard(other, other.machine.name, late)
        finally:
            host.docker("rm", "-f", late)


def test_without_serf_people_are_warned(mixed: Mixed) -> None:
    """Who has no serf hears that Docker does not find its containers by itself."""
    words = f"host {mixed.one.machine.address} runs Docker 20.10"
    assert words in mixed.three.daemon.log
    assert words not in mixed.two.daemon.log


def test_nothing_is_left(mixed: Mixed) -> None:
    """When all networks are gone, so is what the store had of them."""

    def left() -> set[str]:
        keys = {key for key in mixed.stored() if "/nodes/" not in key}
        return {key for key in keys if not key.endswith(("/GlobalDefault", "/vxlan-id"))}

    eventually(lambda: not left(), else_say=left)
    (config,) = [text for key, text in mixed.stored().items() if key.endswith("/GlobalDefault")]
    assert json.loads(config)["Subnets"] == {}
