"""Encrypted networks by whole daemons and the docker command line: what goes by wire.

`test_encrypted.py` shows more of it, with the core alone; here is the way from a command to
packets. Daemons are slow to start where the processor is emulated, so `make test-crash` runs this.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.model.tunnel import PORT, SEALED_PORT
from tests.docker.images import PYTHON, TALK
from tests.lab.vm import VM
from tests.overlay.cluster import eventually
from tests.overlay.emulated import MODULES, PATIENCE_SECONDS, Emulated, begin, captured
from tests.security.frames import UDP

pytestmark = pytest.mark.root

ESP = 50
A, B = "10.77.0.11", "10.77.0.12"


class Wire:
    """Two hosts, a container of an encrypted network on each, and all that was on the wire."""

    def __init__(self, one: Emulated, two: Emulated, capture: Path) -> None:
        self.one, self.two = one, two
        self.capture = capture

    def esp(self) -> int:
        """How many packets went encrypted."""
        return sum(seen.protocol == ESP for seen in captured(self.capture))

    def clear(self) -> list[int]:
        """The ports of tunnels to which something went that anybody could read."""
        packets = (seen for seen in captured(self.capture) if seen.protocol == UDP)
        return [seen.ports[1] for seen in packets if seen.ports[1] in (PORT, SEALED_PORT)]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The machine: what stands in it takes longer than the tests."""
    folder = tmp_path_factory.mktemp("wire")
    capture = folder / "wire"
    with VM("qemu", writable=[folder], memory="1536M", modules=MODULES) as vm:
        one, two = begin(vm)
        one.leave("tcpdump.log", "tcpdump", "-i", "eth0", "-U", "-w", str(capture))
        for host in (one, two):
            host.give_busybox(folder)
        one.docker("network", "create", "-d", "overlay", "--opt", "encrypted",
                   "--subnet", "10.77.0.0/24", "secret")  # fmt: skip
        one.run("ann", "--net", "secret", "--ip", A, "-p", "8080:80/sctp")
        # It is known there within moments.
        two.run("bob", "--net", "secret", "--ip", B)
        yield Wire(one, two, capture)


def test_only_esp_is_on_the_wire(wire: Wire) -> None:
    """Of what containers say to each other; and who listens would have seen what is not."""
    assert wire.one.hears("ann", B)
    eventually(lambda: wire.esp() >= 2, PATIENCE_SECONDS)
    assert not wire.clear()
    wire.one.shell(f"bash -c 'echo x >/dev/udp/{wire.two.address}/{PORT}'")
    eventually(lambda: wire.clear() == [PORT], PATIENCE_SECONDS)


def test_without_keys_nothing_passes(wire: Wire) -> None:
    """Somebody takes them: it fails closed, until the host is born again."""
    before = wire.clear()
    wire.two.shell("/bin/ip xfrm state flush; /bin/ip xfrm policy flush")
    assert wire.two.hears("bob", A, 300)
    assert wire.clear() == before


def test_a_published_port_of_sctp(wire: Wire) -> None:
    """Led by nftables: who asks from outside is answered by the container, and seen as he is."""
    wire.one.serve("ann", PYTHON, str(TALK), "serve", "sctp:80")
    ask = f"{PYTHON} {TALK} ask sctp {wire.one.address} 8080 60"
    heard = wire.two.shell(f"for _ in 1 2 3; do {ask} | grep '^192' && break; sleep 5; done")
    assert heard.split()[0] == wire.two.address


def test_its_end(wire: Wire) -> None:
    """It goes on one host, and is gone on the other."""
    wire.one.docker("rm", "-f", "ann")
    wire.two.docker("rm", "-f", "bob")
    wire.one.docker("network", "rm", "secret")
    eventually(lambda: "secret" not in wire.two.docker("network", "ls"), PATIENCE_SECONDS)
