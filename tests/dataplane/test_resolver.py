"""Names in a sandbox, asked of a real process as containers ask them."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from tests.dataplane.conftest import (
    THIRD,
    TWIN,
    VIEW,
    WEB,
    addresses,
    named,
    serve,
    silent,
)

from fairlead.dataplane.burst import Burst
from fairlead.dataplane.change import Change, DropNames, DropResolver, SetView
from fairlead.dataplane.forward import Outstanding
from fairlead.dataplane.resolver import Resolver
from fairlead.dns.answer import View
from fairlead.dns.zone import Zones

if TYPE_CHECKING:
    from tests.dataplane.conftest import Sandbox, ServerMaker

    from fairlead.dataplane.client import Dataplane


@pytest.mark.parametrize("tcp", [False, True])
async def test_names_are_answered(dataplane: Dataplane, sandbox: Sandbox, tcp: bool) -> None:
    """Names, families without an address, and addresses are answered, by UDP and TCP."""
    await serve(dataplane, sandbox, VIEW)

    for _ in range(2):
        assert addresses(await sandbox.ask("WEB", tcp=tcp)) == ["172.18.0.2"]
        empty = await sandbox.ask("web", "AAAA", tcp=tcp)
        assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
        pointer = await sandbox.ask("2.0.18.172.in-addr.arpa", "PTR", tcp=tcp)
        assert addresses(pointer) == ["web.n1."]


@pytest.mark.parametrize("tcp", [False, True])
async def test_several_addresses_take_turns(
    dataplane: Dataplane, sandbox: Sandbox, tcp: bool
) -> None:
    """Clients that take the first address spread over all of them."""
    await serve(dataplane, sandbox, VIEW)

    orders = [addresses(await sandbox.ask("all", tcp=tcp, id=number)) for number in range(9)]

    assert all(set(order) == {str(WEB), str(TWIN), str(THIRD)} for order in orders)
    assert {order[0] for order in orders} == {str(WEB), str(TWIN), str(THIRD)}


async def test_long_answers_are_cut_for_udp(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """UDP gets what fits 512 bytes or the size it names, TCP all."""
    await serve(dataplane, sandbox, VIEW)

    plain = await sandbox.ask("many")
    edns = await sandbox.ask("many", use_edns=0, payload=4096)
    stream = await sandbox.ask("many", tcp=True)

    assert plain.flags & dns.flags.TC
    assert len(addresses(plain)) == (512 - 12 - 10) // 16
    assert not edns.flags & dns.flags.TC
    assert len(addresses(edns)) == len(addresses(stream)) == 100


async def test_a_new_view_holds_at_once(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """What was answered from the old view is not remembered."""
    await serve(dataplane, sandbox, VIEW)
    assert addresses(await sandbox.ask("web")) == ["172.18.0.2"]

    await dataplane.apply([SetView("s1", replace(VIEW, names={"web": (TWIN,)}))])
    assert addresses(await sandbox.ask("web")) == ["172.18.0.3"]

    await dataplane.apply([SetView("s1", View())])
    assert (await sandbox.ask("web")).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("tcp", [False, True])
async def test_names_come_and_go_at_once(dataplane: Dataplane, sandbox: Sandbox, tcp: bool) -> None:
    """A name asked for before it is there, while, after, and again is each time told as it is."""
    await dataplane.apply([sandbox.resolver(replace(VIEW, zones=("n1", "n2")))])

    async def heard() -> list[str] | None:
        reply = await sandbox.ask("web", tcp=tcp)
        return addresses(reply) if reply.rcode() == dns.rcode.NOERROR else None

    async def becomes(change: Change, expected: list[str] | None) -> None:
        await dataplane.apply([change])
        for _ in range(2):
            assert await heard() == expected

    assert await heard() is None
    await becomes(named("e2", "web", TWIN, zone="n2"), [str(TWIN)])
    await becomes(named("e1", "web", WEB), [str(WEB)])
    await becomes(named("e1", "web", THIRD), [str(THIRD)])
    await becomes(DropNames("n1", "e1"), [str(TWIN)])
    await becomes(named("e1", "web", WEB), [str(WEB)])
    await becomes(DropNames("n2", "e2"), [str(WEB)])
    await becomes(DropNames("n1", "e1"), None)
    assert (await dataplane.state()).names == {}


async def test_a_network_of_ones_own(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """Names of a network the sandbox is not on are not told, until it joins."""
    await serve(dataplane, sandbox, VIEW)
    await dataplane.apply([named("e9", "secret", TWIN, zone="n2")])
    assert (await sandbox.ask("secret")).rcode() == dns.rcode.SERVFAIL
    await dataplane.apply([SetView("s1", View(zones=("n1", "n2")))])
    assert addresses(await sandbox.ask("secret")) == [str(TWIN)]
    assert (await dataplane.state()).names == {
        "n1": {"e1", "e2", "e3", "e4"},
        "n2": {"e9"},
    }


async def test_noise_does_no_harm(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """Scraps, responses and broken queries change nothing for the next client."""
    await serve(dataplane, sandbox, VIEW)
    noisy = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with noisy:
        for noise in (b"", b"x", bytes(12), b"\x80" * 40, os.urandom(5000), os.urandom(300)):
            noisy.sendto(noise, (sandbox.address, sandbox.port))
    with sandbox.connect() as stream:
        stream.sendall(b"\x00\x00" + b"\x00\x03abc")
        assert stream.recv(100) == b""

    assert addresses(await sandbox.ask("web")) == ["172.18.0.2"]
    assert addresses(await sandbox.ask("web", tcp=True)) == ["172.18.0.2"]


async def test_one_connection_carries_many_queries(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """Queries sent in one go are all answered, also when the client has ended its side."""
    await serve(dataplane, sandbox, VIEW)
    queries = [dns.message.make_query("web", "A", id=number) for number in range(500)]
    wires = [query.to_wire() for query in queries]

    def work() -> set[int]:
        with sandbox.connect() as stream:
            stream.sendall(b"".join(struct.pack("!H", len(wire)) + wire for wire in wires))
            stream.shutdown(socket.SHUT_WR)
            stream.settimeout(60)
            with stream.makefile("rb") as replies:
                got = set()
                while head := replies.read(2):
                    reply = dns.message.from_wire(replies.read(int.from_bytes(head)))
                    got.add(reply.id)
                return got

    assert await asyncio.to_thread(work) == set(range(500))


async def test_idle_clients_cost_nobody(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """Two hundred silent or dawdling connections keep no other client from its answer."""
    await serve(dataplane, sandbox, VIEW)
    idle = [sandbox.connect() for _ in range(200)]
    for stream in idle[::2]:
        stream.sendall(b"\x00")
    try:
        assert addresses(await sandbox.ask("web", tcp=True, timeout=30)) == ["172.18.0.2"]
        assert addresses(await sandbox.ask("web", timeout=30)) == ["172.18.0.2"]
    finally:
        for stream in idle:
            stream.close()


async def test_connections_have_a_limit(dataplane: Dataplane, sandbox: Sandbox) -> None:
    """One container cannot hold more than 256 connections; places become free again."""
    await serve(dataplane, sandbox, VIEW)
    held = [sandbox.connect() for _ in range(256)]
    try:
        with sandbox.connect() as one_more:
            assert await asyncio.to_thread(_hangs_up, one_more)
    finally:
        for stream in held:
            stream.close()
    for _ in range(100):
        try:
            reply = await sandbox.ask("web", tcp=True)
            break
        except (OSError, EOFError):
            await asyncio.sleep(0.05)
    assert addresses(reply) == ["172.18.0.2"]


@pytest.mark.parametrize("trickle", [False, True])
async def test_silence_ends_a_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, trickle: bool
) -> None:
    """Who asks nothing for the idle time is hung up on, even if bytes trickle in."""
    monkeypatch.setattr("fairlead.dataplane.stream.IDLE_SECONDS", 0.3)
    resolver = Resolver(
        VIEW,
        Zones(),
        sandbox.udp.dup(),
        sandbox.tcp.dup(),
        os.dup(sandbox.namespace),
        Outstanding(),
        Burst(),
    )
    await resolver.start()

    def dawdle() -> bool:
        with sandbox.connect() as stream:
            stream.settimeout(0.1 if trickle else 5)
            for _ in range(50):
                try:
                    stream.sendall(b"\x01" if trickle else b"")
                    return stream.recv(1) == b""
                except TimeoutError:
                    continue
                except (ConnectionResetError, BrokenPipeError):
                    return True
            return False

    assert await asyncio.to_thread(dawdle)
    await resolver.close()


def _hangs_up(stream: socket.socket) -> bool:
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.root
async def test_a_dropped_sandbox_is_free_to_go(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """After the drop nothing keeps the namespace: its end of the link disappears."""
    dead = await server(silent, within=sandbox)
    view = replace(VIEW, upstreams=(replace(dead.upstream, inside=True),))
    await serve(dataplane, sandbox, view)
    await sandbox.ask("web", tcp=True)
    held = sandbox.connect()
    with pytest.raises(dns.exception.Timeout):
        await sandbox.ask("example.com", timeout=0.2)

    await dataplane.apply([DropResolver("s1")])
    held.close()
    await dead.close()
    sandbox.close()

    for _ in range(1500):
        if "outside" not in {name for _, name in socket.if_nameindex()}:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the namespace is still there")
