"""Names in a sandbox, asked of a real process as containers ask them."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from tests.dataplane.conftest import addresses, descriptors, fails, named, says, silent

from fairlead.dataplane.burst import Burst
from fairlead.dataplane.change import Change, DropNames, DropResolver, SetView
from fairlead.dataplane.forward import Outstanding
from fairlead.dataplane.resolver import Resolver
from fairlead.dns.answer import Upstream, View
from fairlead.dns.zone import Zones

if TYPE_CHECKING:
    from tests.dataplane.conftest import Sandbox, ServerMaker

    from fairlead.dataplane.client import Dataplane

WEB, TWIN, THIRD = (ip_address(f"172.18.0.{number}") for number in (2, 3, 4))
NAMES = (
    named("e1", "web", "all", WEB),
    named("e2", "twin", "all", TWIN),
    named("e3", "third", "all", THIRD),
    named("e4", "many", *(ip_address(f"10.0.{number}.1") for number in range(100))),
)
VIEW = View(zones=("n1",))


async def serve(dataplane: Dataplane, sandbox: Sandbox, view: View) -> None:
    """Let a sandbox on n1 be served."""
    await dataplane.apply([*NAMES, sandbox.resolver(view)])


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
            stream.settimeout(10)
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
        assert addresses(await sandbox.ask("web", tcp=True, timeout=3)) == ["172.18.0.2"]
        assert addresses(await sandbox.ask("web", timeout=3)) == ["172.18.0.2"]
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


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_names_are_forwarded(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """Another name's answer comes from the upstream, asked the way the client asked."""
    upstream = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    reply = await sandbox.ask("ExAmple.com", tcp=tcp)

    assert addresses(reply) == ["192.0.2.80"]
    assert [(how, str(asked.question[0].name)) for how, asked in upstream.asked] == [
        ("tcp" if tcp else "udp", "ExAmple.com.")
    ]


async def test_forwarded_questions_are_hard_to_forge(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Each goes out under an id and from a port of its own, not the client's."""
    upstream = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    for _ in range(8):
        await sandbox.ask("example.com", id=77)

    assert len({asked.id for _, asked in upstream.asked}) > 4
    assert len(upstream.ports) > 4


async def test_wrong_replies_do_not_count(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """A reply to another question or with another id is passed over for the right one."""

    def forge(question: dns.message.Message) -> None:
        _, asked = forger.asked[-1]
        other = says("192.0.2.66")(dns.message.make_query("other.com", "A", id=asked.id))
        stray = says("192.0.2.66")(question)
        assert other is not None
        assert stray is not None
        stray.id ^= 1
        for wrong in (other, stray):
            forger.send(wrong, max(forger.ports))

    forger = await server(forge)
    honest = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(forger.upstream, honest.upstream)))
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("first", ["closed", "silent", "slow", "SERVFAIL", "REFUSED"])
async def test_a_bad_first_upstream_is_no_matter(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, first: str, tcp: bool
) -> None:
    """Whatever is wrong with the first server, the second one's answer is given."""
    if first == "closed":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            bad = Upstream(ip_address("127.0.0.1"), sock.getsockname()[1])
    elif first == "silent":
        bad = (await server(silent)).upstream
    elif first == "slow":
        bad = (await server(says("192.0.2.1"), delay_seconds=3.0)).upstream
    else:
        bad = (await server(fails(dns.rcode.from_text(first)))).upstream
    good = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(bad, good.upstream)))

    assert addresses(await sandbox.ask("example.com", tcp=tcp)) == ["192.0.2.80"]


async def test_a_slow_only_upstream_is_waited_for(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """An answer that takes longer than the head start of the next server still counts."""
    slow = await server(says("192.0.2.80"), delay_seconds=0.8)
    dead = await server(silent)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(slow.upstream, dead.upstream)))
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]


async def test_a_lost_question_is_asked_again(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """One lost packet to the only upstream is not the end of a question."""

    def second_time(question: dns.message.Message) -> dns.message.Message | None:
        return says("192.0.2.80")(question) if len(lossy.asked) > 1 else None

    lossy = await server(second_time)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(lossy.upstream,)))
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]


async def test_without_any_answer_it_fails_in_time(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Nobody there, or nobody answering, is SERVFAIL before a stub gives up."""
    dead = await server(silent)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(dead.upstream,)))
    reply = await sandbox.ask("example.com", timeout=4.9)
    assert reply.rcode() == dns.rcode.SERVFAIL


async def test_a_sandbox_cannot_ask_without_end(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """With 256 questions out the next is refused, and own names are still answered."""
    dead = await server(silent)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(dead.upstream,)))
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.settimeout(3)
        for number in range(257):
            wire = dns.message.make_query(f"n{number}.example", "A").to_wire()
            client.sendto(wire, (sandbox.address, sandbox.port))
        reply = dns.message.from_wire(await asyncio.to_thread(client.recv, 4096))
    assert reply.rcode() == dns.rcode.REFUSED
    assert addresses(await sandbox.ask("web", timeout=3)) == ["172.18.0.2"]


async def test_many_questions_share_ports(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Of questions asked at once each gets its own answer, and the sockets are closed after."""

    def echo(question: dns.message.Message) -> dns.message.Message:
        number = int(question.question[0].name.labels[0][1:])
        found = says(f"192.0.{number // 250}.{number % 250}")(question)
        assert found is not None
        return found

    upstream = await server(echo)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))
    await sandbox.ask("n0.example")
    pid = (await dataplane.state()).pid
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    heard = {}
    with client:
        client.settimeout(5)
        for start in range(0, 1000, 100):
            for number in range(start, start + 100):
                wire = dns.message.make_query(f"n{number}.example", "A", id=number).to_wire()
                client.sendto(wire, (sandbox.address, sandbox.port))
            for _ in range(100):
                reply = dns.message.from_wire(await asyncio.to_thread(client.recv, 4096))
                heard[reply.id] = addresses(reply)
    assert heard == {number: [f"192.0.{number // 250}.{number % 250}"] for number in range(1000)}
    assert len(upstream.ports) >= 1000 // 64
    busy = descriptors(pid)
    for _ in range(100):
        if descriptors(pid) < busy - 4:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("sockets to the server stay open")


async def test_a_server_that_goes_is_noticed_by_all(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Many questions to a closed port are all answered by the second server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = Upstream(ip_address("127.0.0.1"), sock.getsockname()[1])
    good = await server(says("192.0.2.80"))
    # Named twice it is still one server, and each question gets one reply.
    view = replace(VIEW, upstreams=(closed, closed, good.upstream))
    await serve(dataplane, sandbox, view)
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        client.settimeout(3)
        for number in range(100):
            wire = dns.message.make_query(f"n{number}.example", "A", id=number).to_wire()
            client.sendto(wire, (sandbox.address, sandbox.port))
        replies = [await asyncio.to_thread(client.recv, 4096) for _ in range(100)]
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(4096)
    assert {dns.message.from_wire(reply).id for reply in replies} == set(range(100))
    assert {str(addresses(dns.message.from_wire(reply))) for reply in replies} == {"['192.0.2.80']"}


async def test_cut_answers_stay_cut(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """An upstream's TC reaches a UDP client, and one by TCP gets the whole."""
    many = [f"192.0.2.{number}" for number in range(100)]
    upstream = await server(says(*many, flags=dns.flags.TC))
    whole = await server(says(*many))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))
    assert (await sandbox.ask("example.com", use_edns=0, payload=4096)).flags & dns.flags.TC

    await dataplane.apply([SetView("s1", replace(VIEW, upstreams=(whole.upstream,)))])
    short = await sandbox.ask("example.com")
    assert short.flags & dns.flags.TC
    assert short.answer == []
    assert len(addresses(await sandbox.ask("example.com", tcp=True))) == 100


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_closed_sandbox_sends_nothing_out(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """On an internal network a strange name is SERVFAIL, and no server hears of it."""
    upstream = await server(says("192.0.2.80"))
    closed = replace(VIEW, forward=False, upstreams=(upstream.upstream,))
    await serve(dataplane, sandbox, closed)

    reply = await sandbox.ask("secret.example", tcp=tcp)

    assert reply.rcode() == dns.rcode.SERVFAIL
    assert upstream.asked == []


@pytest.mark.root
@pytest.mark.parametrize("tcp", [False, True])
async def test_own_servers_are_asked_from_inside(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """A server the user named is reached as the container would reach it, on its loopback."""
    within = await server(says("192.0.2.80"), within=sandbox)
    upstream = replace(within.upstream, inside=True)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream,)))
    assert addresses(await sandbox.ask("example.com", tcp=tcp)) == ["192.0.2.80"]

    outside = replace(VIEW, upstreams=(within.upstream,))
    await dataplane.apply([SetView("s1", outside)])
    assert (await sandbox.ask("example.com", tcp=tcp)).rcode() == dns.rcode.SERVFAIL


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

    for _ in range(100):
        if "outside" not in {name for _, name in socket.if_nameindex()}:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the namespace is still there")
