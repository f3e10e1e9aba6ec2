"""Names as a way out, as a way in, and as a way to stop others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from tests.security import frames, probe
from tests.security.scene import Scene, scene
from tests.security.upstream import FOUND, Upstream, ask, connected
from tests.security.wire import Wire

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """The scene, with one firewall: here it makes no difference."""
    with scene() as made:
        yield made


@pytest.fixture
def upstream(on: Scene) -> Iterator[Upstream]:
    """The host's name server."""
    with Upstream(on.places["neighbour"]) as made:
        yield made


@pytest.mark.parametrize("options", ["", "--dns 192.0.2.2", "--dns 203.0.113.53"])
def test_nothing_leaves_an_internal_network_as_a_name(
    on: Scene, upstream: Upstream, options: str
) -> None:
    """No question of a container that is only on internal networks reaches a server outside."""
    on.network("deep", "--internal")
    on.network("front")
    inner = on.container("inner", f"--network deep {options}")
    witness = on.container("witness", "--network front")
    for protocol in ("udp", "tcp"):
        for kind in ("A", "TXT", "AAAA", "MX"):
            said = ask(inner, f"secret-{kind}.example", kind, protocol)
            assert said in ("SERVFAIL", "REFUSED")
    assert ask(witness, "witness.example") == f"NOERROR {FOUND}"
    assert [name for name in upstream.asked if "secret" in name] == []

    on.daemon.docker("network", "connect", "front", "inner")
    if options != "--dns 203.0.113.53":
        assert ask(inner, "open.example") == f"NOERROR {FOUND}"
        assert "open.example" in upstream.asked
    on.daemon.docker("network", "disconnect", "front", "inner")
    assert ask(inner, "secret-again.example") in ("SERVFAIL", "REFUSED")
    assert ask(witness, "last.example") == f"NOERROR {FOUND}"
    assert "secret-again.example" not in upstream.asked


def test_clients_that_keep_silent(on: Scene, upstream: Upstream) -> None:
    """200 idle connections and half a question delay nobody's answers, and are ended in time."""
    on.network("front")
    web = on.container("web", "--network front")
    idle = [connected(web) for _ in range(200)]
    try:
        half = connected(web)
        idle.append(half)
        half.send(b"\0")
        assert ask(web, "web") == f"NOERROR {on.endpoint('web', 'front')['IPAddress']}"
        assert ask(web, "out.example") == f"NOERROR {FOUND}"
        assert ask(web, "web", protocol="tcp").startswith("NOERROR")
        for sock in idle:
            sock.settimeout(60)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                continue
    finally:
        for sock in idle:
            sock.close()


def test_more_clients_than_there_is_room_for(on: Scene) -> None:
    """Whoever takes every TCP connection of the resolver does not keep others from asking."""
    on.network("front")
    web = on.container("web", "--network front")
    other = on.container("other", "--network front")
    held = [connected(web) for _ in range(400)]
    try:
        assert ask(web, "other").startswith("NOERROR")
        assert ask(other, "web", protocol="tcp").startswith("NOERROR")
    finally:
        for sock in held:
            sock.close()


def test_the_resolver_serves_its_own_container_only(on: Scene) -> None:
    """Nobody else reaches it: by the container's address, by routes, or by forged frames."""
    bridge = on.network("front")
    web = on.container("web", "--network front", 80)
    other = on.container("other", "--network front")
    address = ip_address(on.endpoint("web", "front")["IPAddress"])
    resolver = ip_address("127.0.0.11")
    sockets = web.there(lambda: Path("/proc/thread-self/net/udp").read_text())
    assert "0B00007F" in sockets  # it is there at all
    for place in (other, on.places["host"]):
        questions = [
            probe.Question(place.name, address, protocol, port)
            for protocol in ("tcp", "udp")
            for port in (53, 61053)
        ]
        assert set(probe.ask({place.name: place}, questions).values()) == {""}
    query = dns.message.make_query("web", "A").to_wire()
    with Wire(other) as wire, Wire(on.places["host"], bridge) as bridged:
        own = ip_address(on.endpoint("other", "front")["IPAddress"])
        for sender, source in (
            (wire, own),
            (bridged, ip_address(on.endpoint("web", "front")["Gateway"])),
        ):

            def attack(sender: Wire = sender, source: probe.IP = source) -> None:
                for port in (53, 61053):
                    forged = frames.udp(source, resolver, (4444, port), query)
                    sender.send_ip(web.mac("eth0"), forged)
                    sender.send_ip(web.mac("eth0"), frames.tcp(source, resolver, (4444, port)))
                sender.send_ip(web.mac("eth0"), frames.ping(source, address))

            sender.until(lambda s: s.source == address and s.protocol == frames.ICMP, attack)
            assert [s for s in sender.heard if s.source == resolver] == []
            assert [
                s for s in sender.heard if 4444 in s.ports and s.source_mac == web.mac("eth0")
            ] == []


def test_a_flood_of_questions_hurts_only_who_makes_it(on: Scene, upstream: Upstream) -> None:
    """While one container asks for names that nobody answers, another gets every answer."""
    on.network("front")
    flooder = on.container("flooder", "--network front")
    quiet = on.container("quiet", "--network front")
    stop, refused = threading.Event(), threading.Event()
    # What is sent costs next to nothing here, so that it is not us who have no time for others.
    before, after = dns.message.make_query("x0000000.dead.example", "A").to_wire().split(b"0000000")

    def flood() -> None:
        with flooder.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.11", 53))
            sock.setblocking(False)
            number = 0
            while not stop.is_set():
                try:
                    for _ in range(100):
                        number += 1
                        sock.send(b"%b%07d%b" % (before, number, after))
                except BlockingIOError:
                    pass  # it has enough to do: that is what we are here for
                if _heard(sock, dns.rcode.REFUSED):
                    refused.set()
                stop.wait(0.02)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert refused.wait(60)
        for number in range(30):
            assert ask(quiet, "flooder").startswith("NOERROR")
            assert ask(quiet, f"q{number}.example") == f"NOERROR {FOUND}"
    finally:
        stop.set()
        thread.join()
    assert upstream.dead


def _heard(sock: socket.socket, rcode: dns.rcode.Rcode) -> bool:
    """Whether such an answer is among those that have come."""
    found = False
    while True:
        try:
            found = sock.recv(4096)[3] & 0xF == rcode or found
        except BlockingIOError:
            return found
