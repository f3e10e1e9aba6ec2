"""Names that somebody else must answer: who is asked, when, and who hears what."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.dataplane.conftest import (
    VIEW,
    addresses,
    descriptors,
    fails,
    says,
    serve,
    silent,
)

from fairlead.dataplane.change import SetView
from fairlead.dataplane.lane import address
from fairlead.dns.answer import Upstream

if TYPE_CHECKING:
    from tests.dataplane.conftest import Sandbox, ServerMaker

    from fairlead.dataplane.client import Dataplane


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_names_are_forwarded(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """Another name's answer comes from the upstream, asked the way the client asked."""
    upstream = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    reply = await sandbox.ask("ExAmple.com", tcp=tcp)

    assert addresses(reply) == ["192.0.2.80"]
    assert reply.question[0].name.to_text() == "ExAmple.com."
    assert [(how, str(asked.question[0].name).lower()) for how, asked in upstream.asked] == [
        ("tcp" if tcp else "udp", "example.com.")
    ]


async def test_forwarded_questions_are_hard_to_forge(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Each goes out under an id, from a port and in a spelling of its own, not the client's."""
    upstream = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    for number in range(8):
        await sandbox.ask(f"{number}.example.com", id=77)

    assert len({asked.id for _, asked in upstream.asked}) > 4
    assert len(upstream.ports) > 4
    ends = {asked.question[0].name.to_text()[1:] for _, asked in upstream.asked}
    assert len(ends) > 4
    assert {end.lower() for end in ends} == {".example.com."}


async def test_a_server_that_changes_the_case_is_believed_by_tcp(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Its replies by UDP could be anybody's who guessed the rest; by TCP they are its own."""

    def lower(question: dns.message.Message) -> dns.message.Message:
        small = dns.message.make_query(question.question[0].name.to_text().lower(), "A")
        small.id = question.id
        found = says("192.0.2.80")(small)
        assert found is not None
        return found

    upstream = await server(lower)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    for number in range(5):
        name = f"a-rather-long-name-{number}.example.com"
        assert addresses(await sandbox.ask(name)) == ["192.0.2.80"]

    assert "tcp" in {how for how, _ in upstream.asked}
    # It has shown that this is its way, so the last ones were believed at once.
    assert upstream.asked[-1][0] == "udp"


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
    for number in range(5):
        try:
            reply = await sandbox.ask(f"n{number}.example.com", timeout=4.9)
        except dns.exception.Timeout:
            # A machine that is busy may be late once, and is not each time.
            continue
        assert reply.rcode() == dns.rcode.SERVFAIL
        return
    pytest.fail("it is always too late")


async def test_a_sandbox_cannot_ask_without_end(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """With 1024 questions out the next is refused, and own names are still answered."""
    dead = await server(silent)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(dead.upstream,)))
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sent, refused = 0, None
    with client:
        client.setblocking(False)
        while refused is None and sent < 100_000:
            for _ in range(50):
                wire = dns.message.make_query(f"n{sent}.example", "A").to_wire()
                client.sendto(wire, (sandbox.address, sandbox.port))
                sent += 1
            await asyncio.sleep(0.005)
            refused = _first(client, dns.rcode.REFUSED)
    assert refused is not None
    assert sent > 1024
    assert addresses(await sandbox.ask("web")) == ["172.18.0.2"]


async def test_a_flood_does_not_keep_others_from_asking(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """One sandbox has asked a dead server all that it may; another one's names are found."""
    good = await server(says("192.0.2.80"))
    view = replace(VIEW, upstreams=(good.upstream,))
    await dataplane.apply([other.resolver(view, "s2")])
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        # Nobody reads what it hears: that would be work for whoever answers the other one.
        dead.bind(("127.0.0.1", 0))
        upstream = Upstream(ip_address("127.0.0.1"), dead.getsockname()[1])
        await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream,)))
        client.setblocking(False)
        for turn in range(40):
            for number in range(100):
                wire = dns.message.make_query(f"n{turn}-{number}.example", "A").to_wire()
                client.sendto(wire, (sandbox.address, sandbox.port))
            found = await other.ask(f"name{turn}.example.com")
            assert addresses(found) == ["192.0.2.80"]
            assert addresses(await other.ask("web")) == ["172.18.0.2"]


async def test_a_flood_is_not_repeated(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """Each of very many questions goes out once, also on a server that others are heard by again."""

    asked: Counter[str] = Counter()

    def deaf(question: dns.message.Message) -> dns.message.Message | None:
        # Questions are spelt at random.
        name = str(question.question[0].name).lower()
        asked[name] += 1
        return None if "flood" in name or asked[name] < 2 else says("192.0.2.80")(question)

    both = await server(deaf)
    view = replace(VIEW, upstreams=(both.upstream,))
    await serve(dataplane, sandbox, view)
    await dataplane.apply([other.resolver(view, "s2")])
    # Where it takes longer than the time after which one asks again, few are out by then.
    for turn in range(5):
        names = await _flood(sandbox, asked, turn)
        found = await other.ask(f"lost{turn}.example")
        assert addresses(found) == ["192.0.2.80"]
        if all(asked[name] == 1 for name in names[-100:]):
            return
        await asyncio.sleep(5)
    pytest.fail("they are asked again")


async def _flood(sandbox: Sandbox, asked: Counter[str], turn: int) -> list[str]:
    """Has a sandbox ask for names without an answer until the server heard 500; these names."""
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    names: list[str] = []
    with client:
        client.setblocking(False)
        for number in range(100_000):
            wire = dns.message.make_query(f"flood{turn}-{number}.example", "A").to_wire()
            client.sendto(wire, (sandbox.address, sandbox.port))
            if number % 50 == 0:
                await asyncio.sleep(0.005)
                names = [name for name in asked if name.startswith(f"flood{turn}-")]
                if len(names) >= 500:
                    break
    return names


def _first(client: socket.socket, rcode: dns.rcode.Rcode) -> dns.message.Message | None:
    """The first reply of this kind among those that have come."""
    while True:
        try:
            reply = dns.message.from_wire(client.recv(4096))
        except BlockingIOError:
            return None
        if reply.rcode() == rcode:
            return reply


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
    pid = (await dataplane.state()).pid
    idle = descriptors(pid)
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    heard = {}
    with client:
        client.settimeout(60)
        for start in range(0, 1000, 100):
            for number in range(start, start + 100):
                wire = dns.message.make_query(f"n{number}.example", "A", id=number).to_wire()
                client.sendto(wire, (sandbox.address, sandbox.port))
            for _ in range(100):
                reply = dns.message.from_wire(await asyncio.to_thread(client.recv, 4096))
                heard[reply.id] = addresses(reply)
    assert heard == {number: [f"192.0.{number // 250}.{number % 250}"] for number in range(1000)}
    assert len(upstream.ports) >= 1000 // 64
    for _ in range(1000):
        if descriptors(pid) <= idle:
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
        client.settimeout(60)
        for number in range(100):
            wire = dns.message.make_query(f"n{number}.example", "A", id=number).to_wire()
            client.sendto(wire, (sandbox.address, sandbox.port))
        replies = [await asyncio.to_thread(client.recv, 4096) for _ in range(100)]
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(4096)
    assert {dns.message.from_wire(reply).id for reply in replies} == set(range(100))
    assert {str(addresses(dns.message.from_wire(reply))) for reply in replies} == {"['192.0.2.80']"}


MANY = [f"192.0.2.{number}" for number in range(60)]


@pytest.mark.parametrize("how", ["udp", "tcp"])
async def test_cut_answers_are_fetched_whole(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, how: str
) -> None:
    """What a server cuts for UDP we fetch by TCP, and give to each client what it can take."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        by_tcp = upstream.asked[-1][0] == "tcp"
        found = says(*MANY)(question) if by_tcp else says(flags=dns.flags.TC)(question)
        assert found is not None
        return found

    upstream = await server(reply)
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))

    if how == "tcp":
        assert set(addresses(await sandbox.ask("example.com", tcp=True))) == set(MANY)
        assert {way for way, _ in upstream.asked} == {"tcp"}
        return
    large = await sandbox.ask("example.com", use_edns=0, payload=4096)
    assert set(addresses(large)) == set(MANY)
    assert not large.flags & dns.flags.TC
    small = await sandbox.ask("other.example.com")
    assert small.flags & dns.flags.TC
    assert small.answer == []
    before = len(upstream.asked)
    whole = await sandbox.ask("other.example.com", tcp=True)
    assert set(addresses(whole)) == set(MANY)
    assert len(upstream.asked) == before


async def test_what_cannot_be_fetched_whole_stays_cut(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """A server that cuts answers, and by TCP as well: the client hears that there is more."""
    upstream = await server(says("192.0.2.80", flags=dns.flags.TC))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))
    reply = await sandbox.ask("example.com", use_edns=0, payload=4096)
    assert reply.flags & dns.flags.TC


async def test_a_silent_server_comes_last_until_it_speaks(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """A server that is dead is soon asked now and then only, and first again when it is back."""
    dead = True

    def perhaps(question: dns.message.Message) -> dns.message.Message | None:
        return None if dead else says("192.0.2.1")(question)

    first = await server(perhaps)
    second = await server(says("192.0.2.2"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(first.upstream, second.upstream)))
    for number in range(60):
        assert addresses(await sandbox.ask(f"n{number}.example")) == ["192.0.2.2"]
    assert len(first.asked) < 30

    dead = False
    for number in range(1000):
        if addresses(await sandbox.ask(f"m{number}.example")) == ["192.0.2.1"]:
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the first server is not asked any more")


async def test_a_denial_waits_for_servers_named_before(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """The first server knows names that the second denies, and takes a little longer."""
    inner = await server(says("10.1.1.1"), delay_seconds=0.15)
    outer = await server(fails(dns.rcode.NXDOMAIN))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(inner.upstream, outer.upstream)))
    assert addresses(await sandbox.ask("printer.corp.example")) == ["10.1.1.1"]
    assert outer.asked, "it was not even a question of who is quicker"


async def test_names_of_ours_are_not_carried_out(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """A name under a network of Compose's that nobody has is denied, and nobody hears of it."""
    upstream = await server(says("192.0.2.80"))
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))
    for type_ in ("A", "AAAA", "TXT"):
        reply = await sandbox.ask("gone.shop_default", type_)
        assert reply.rcode() == dns.rcode.NXDOMAIN
    assert upstream.asked == []


async def test_single_labels_that_stay_here(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Are denied as long as the view says so, and nobody hears of them; other names are asked."""
    upstream = await server(says("192.0.2.80"))
    asks = replace(VIEW, upstreams=(upstream.upstream,))
    await serve(dataplane, sandbox, replace(asks, single_labels=False))
    for type_, tcp in (("A", False), ("TXT", False), ("A", True)):
        assert (await sandbox.ask("db", type_, tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
    assert upstream.asked == []
    assert addresses(await sandbox.ask("db.example.com")) == ["192.0.2.80"]
    await dataplane.apply([SetView("s1", asks)])
    assert addresses(await sandbox.ask("db")) == ["192.0.2.80"]


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
async def test_a_zone_is_one_of_the_sandbox(sandbox: Sandbox) -> None:
    """A link-local server is behind an interface in there, which the host may have as well."""
    upstream = Upstream(ip_address("fe80::1%inside"), inside=True)
    with sandbox.inside(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
        index = sandbox.inside(lambda: socket.if_nametoindex("inside"))
        assert address(upstream, sock) == ("fe80::1", 53, 0, index)
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="No such device"),
    ):
        address(upstream, sock)
