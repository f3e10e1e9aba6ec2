"""Who reaches the API over TCP: whoever may, and nobody by oversight."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.test_manners import refused
from tests.docker.images import LENT, PYTHON, TALK, make_tools
from tests.lab import Daemon, Machine, Switch
from tests.lab.debian import docker_client

pytestmark = pytest.mark.root

CERTIFICATES = r"""
mkdir -p /etc/docker/tls && cd /etc/docker/tls
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca-key.pem -out ca.pem
for who in server client; do
    openssl req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $who-key.pem -out $who.csr
    printf 'subjectAltName=IP:%s,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' "$1" >ext
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 \
        -extfile ext -out $who.pem
done
mkdir client && cp ca.pem client/ && cp client.pem client/cert.pem && cp client-key.pem client/key.pem
"""


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    """An Ethernet segment."""
    with Switch() as made:
        yield made


@pytest.fixture(scope="module")
def machine(switch: Switch) -> Machine:
    """A machine with certificates."""
    made = switch.machine("host")
    made.run(["sh", "-euc", CERTIFICATES, "sh", str(made.address)])
    return made


@pytest.fixture(scope="module")
def neighbour(machine: Machine, switch: Switch) -> Machine:
    """Another machine, with a client's certificates."""
    made = switch.machine("neighbour")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        text = machine.path(f"/etc/docker/tls/client/{name}").read_text()
        made.run(["sh", "-c", f"cat >/etc/docker/{name}"], stdin=text)
    return made


def docker(machine: Machine, *words: str) -> tuple[int, str]:
    """Runs docker there and returns its status and all that it said."""
    done = machine.run([docker_client(), *words], check=False)
    return done.returncode, done.stdout + done.stderr


VERIFY = (
    "--tlsverify",
    "--tlscacert=/etc/docker/tls/ca.pem",
    "--tlscert=/etc/docker/tls/server.pem",
    "--tlskey=/etc/docker/tls/server-key.pem",
)
PRESENT = (
    "--tlsverify",
    "--tlscacert=/etc/docker/ca.pem",
    "--tlscert=/etc/docker/cert.pem",
    "--tlskey=/etc/docker/key.pem",
)


def test_open_to_the_network_by_oversight(machine: Machine) -> None:
    """Neither an address of the network nor any address, unless it is said in so many words."""
    for host in ("tcp://0.0.0.0:2375", f"tcp://{machine.address}:2375", "tcp://[::]:2375"):
        line = refused(machine, "-H", host)
        assert line.startswith(f"listening on {host} without --tlsverify gives root access")


def test_a_missing_certificate(machine: Machine) -> None:
    """The line names the file."""
    words = ("-H", "tcp://0.0.0.0:2376", "--tlsverify", "--tlscert=/etc/docker/none.pem")
    assert "invalid TLS configuration: tlscert /etc/docker/none.pem" in refused(machine, *words)


def test_clients_with_certificates(machine: Machine, neighbour: Machine) -> None:
    """With one, another machine does all; without one, nothing; without TLS, nothing."""
    where = f"tcp://{machine.address}:2376"
    with Daemon(machine, "-H", "tcp://0.0.0.0", *VERIFY) as daemon:
        daemon.import_busybox()
        run = ("run", "--rm", "busybox", "echo", "hi")
        assert docker(neighbour, "-H", where, *PRESENT, *run) == (0, "hi\n")
        command = [str(docker_client()), "-H", where, *PRESENT, "run", "-i", "--rm", "busybox"]
        # The end of the input is one of its own: what is counted comes back after it.
        done = neighbour.run([*command, "wc", "-c"], stdin="x" * 300_000)
        assert done.stdout == "300000\n"
        assert neighbour.run([*command, "seq", "100000"]).stdout.endswith("\n100000\n")
        stranger = [word for word in PRESENT if "tlscert" not in word and "tlskey" not in word]
        status, said = docker(neighbour, "-H", where, *stranger, "ps")
        assert status == 1
        assert "certificate" in said
        assert docker(neighbour, "-H", where, "ps")[0] == 1


def test_containers_are_turned_away(machine: Machine, neighbour: Machine) -> None:
    """Asked for open, it is open to the network, and not to containers by any address."""
    with Daemon(machine, "-H", "tcp://0.0.0.0:2375", "--tls=false") as daemon:
        make_tools(daemon)
        assert docker(neighbour, "-H", f"tcp://{machine.address}:2375", "ps")[0] == 0
        daemon.docker("network", "create", "front")
        for network in ("bridge", "front"):
            config = daemon.api("GET", f"/networks/{network}").json["IPAM"]["Config"]
            for address in (config[0]["Gateway"], str(machine.address)):
                url = f"http://{address}:2375/version"
                assert machine.run([PYTHON, str(TALK), "fetch", url]).returncode == 0
                words = [*LENT, "--rm", "--network", network, "tools"]
                done = daemon.docker("run", *words, PYTHON, str(TALK), "fetch", url, check=False)
                assert done.returncode != 0
                assert "Version" not in done.stdout


def test_a_port_that_is_taken(machine: Machine) -> None:
    """The line says which listener it was."""
    words = ("-H", "tcp://127.0.0.1:2375", "--metrics-addr", "127.0.0.1:2375")
    assert refused(machine, *words).startswith("cannot listen on tcp://127.0.0.1:2375: ")


def test_the_loopback_needs_no_words(machine: Machine) -> None:
    """tcp:// alone is the loopback, where this machine reaches it and others do not."""
    with Daemon(machine, "-H", "tcp://127.0.0.1:2375"):
        assert docker(machine, "-H", "tcp://127.0.0.1:2375", "ps")[0] == 0
