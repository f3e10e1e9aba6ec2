"""Answers from upstream are kept as long as they live, and for nobody else than they are for."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.dataplane.conftest import VIEW, Reply, addresses, fails, says, serve

from fairlead.dataplane.change import DropResolver, SetView

if TYPE_CHECKING:
    from tests.dataplane.conftest import Sandbox, Server, ServerMaker

    from fairlead.dataplane.client import Dataplane

SOA = "ns.example. root.example. 1 3600 600 86400 "


def living(ttl_seconds: int, *found: str) -> Reply:
    """A server whose answers live so long."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        made = says(*found)(question)
        assert made is not None
        made.answer[0].ttl = ttl_seconds
        return made

    return reply


def denies(rcode: dns.rcode.Rcode, minimum_seconds: int | None) -> Reply:
    """A server that says there is no such thing, and for how long that is so."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        made = fails(rcode)(question)
        assert made is not None
        if minimum_seconds is not None:
            text = f"{SOA}{minimum_seconds}"
            made.authority = [dns.rrset.from_text("example.", 3600, "IN", "SOA", text)]
        return made

    return reply


async def asking(dataplane: Dataplane, sandbox: Sandbox, upstream: Server) -> None:
    """Let a sandbox ask this server."""
    await serve(dataplane, sandbox, replace(VIEW, upstreams=(upstream.upstream,)))


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_answer_is_kept_while_its_ttl_runs_down(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """Nobody is asked again; each client has its id and spelling, and the TTL that is left."""
    upstream = await server(living(300, "192.0.2.80", "192.0.2.81"))
    await asking(dataplane, sandbox, upstream)
    assert len(addresses(await sandbox.ask("example.com", tcp=tcp))) == 2

    for _ in range(200):
        reply = await sandbox.ask("EXAMPLE.com", tcp=tcp)
        assert reply.question[0].name.to_text() == reply.answer[0].name.to_text() == "EXAMPLE.com."
        assert set(addresses(reply)) == {"192.0.2.80", "192.0.2.81"}
        if reply.answer[0].ttl < 299:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the TTL stays as it was")
    assert reply.answer[0].ttl > 200
    assert len(upstream.asked) == 1


async def test_a_failure_is_kept_for_a_moment(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Who asks again at once hears the same, and nobody is asked; a little later somebody is."""
    replies = [fails(dns.rcode.SERVFAIL)]

    def reply(question: dns.message.Message) -> dns.message.Message | None:
        return replies[-1](question)

    upstream = await server(reply)
    await asking(dataplane, sandbox, upstream)

    async def reaches() -> bool:
        before = len(upstream.asked)
        assert (await sandbox.ask("example.com")).rcode() == dns.rcode.SERVFAIL
        return len(upstream.asked) > before

    assert await reaches()
    for _ in range(50):
        if not await reaches():
            break
    else:
        pytest.fail("each question went out")
    for _ in range(1500):
        if await reaches():
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it stays a failure")
    replies.append(says("192.0.2.80"))
    for _ in range(1500):
        if addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("a server that is well again is not asked")


async def test_kept_addresses_take_turns(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Clients that take the first of several addresses spread over all of them."""
    found = ["192.0.2.80", "192.0.2.81", "192.0.2.82"]
    await asking(dataplane, sandbox, await server(living(300, *found)))
    first = {addresses(await sandbox.ask("example.com"))[0] for _ in range(12)}
    assert first == set(found)


@pytest.mark.parametrize("tcp", [False, True])
async def test_what_must_not_be_kept_is_asked_each_time(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, tcp: bool
) -> None:
    """A TTL of nought, a denial without a SOA, and refusals hold for one question only."""
    for reply in (living(0, "192.0.2.80"), denies(dns.rcode.NXDOMAIN, None)):
        upstream = await server(reply)
        await dataplane.apply([DropResolver("s1")])
        await asking(dataplane, sandbox, upstream)
        for count in range(1, 4):
            await sandbox.ask("example.com", tcp=tcp)
            assert len(upstream.asked) == count


async def test_an_answer_ends_with_its_ttl(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """After its time it is asked for anew, and what is new is told."""

    def reply(question: dns.message.Message) -> dns.message.Message | None:
        return living(1, "192.0.2.2" if len(upstream.asked) > 1 else "192.0.2.1")(question)

    upstream = await server(reply)
    await asking(dataplane, sandbox, upstream)
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.1"]
    for _ in range(1500):
        if addresses(await sandbox.ask("example.com")) == ["192.0.2.2"]:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the old answer stays")


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
async def test_denials_are_kept_as_the_soa_says(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker, rcode: dns.rcode.Rcode
) -> None:
    """No such name, or no such record: kept for the SOA's minimum, and told with its SOA."""
    upstream = await server(denies(rcode, 300))
    await asking(dataplane, sandbox, upstream)
    await sandbox.ask("gone.example")
    for _ in range(3):
        reply = await sandbox.ask("gone.example")
        assert (reply.rcode(), reply.answer) == (rcode, [])
        assert 0 < reply.authority[0].ttl <= 300
    assert len(upstream.asked) == 1
    await sandbox.ask("gone.example", "AAAA")
    assert len(upstream.asked) == 2


async def test_equal_questions_are_asked_once(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """Who asks what is being asked already waits for the same answer, from other sandboxes too."""
    upstream = await server(living(0, "192.0.2.80"), delay_seconds=2.5)
    await asking(dataplane, sandbox, upstream)
    view = replace(VIEW, upstreams=(upstream.upstream,))
    await dataplane.apply([other.resolver(view, "s2")])

    replies = await asyncio.gather(
        *(box.ask(name, id=7) for name in ("a.example", "A.example") for box in (sandbox, other)),
        sandbox.ask("a.EXAMPLE"),
    )

    assert all(addresses(reply) == ["192.0.2.80"] for reply in replies)
    # The same question may go out again, in case it was lost.
    assert len({asked.id for _, asked in upstream.asked}) == 1


async def test_old_answers_are_better_than_none(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """When all servers are dead, what was known is told, to be asked again soon; else SERVFAIL."""
    upstream = await server(living(1, "192.0.2.80"))
    await asking(dataplane, sandbox, upstream)
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]
    await upstream.close()

    for _ in range(1500):
        reply = await sandbox.ask("example.com")
        assert addresses(reply) == ["192.0.2.80"]
        if reply.answer[0].ttl == 30:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it never expired")
    assert (await sandbox.ask("other.example")).rcode() == dns.rcode.SERVFAIL


async def test_old_answers_give_way_to_new_denials(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """A server that says "no such name" is alive: its word counts."""
    gone = False

    def reply(question: dns.message.Message) -> dns.message.Message | None:
        return (denies(dns.rcode.NXDOMAIN, None) if gone else living(1, "192.0.2.80"))(question)

    await asking(dataplane, sandbox, await server(reply))
    await sandbox.ask("example.com")
    gone = True
    for _ in range(1500):
        if (await sandbox.ask("example.com")).rcode() == dns.rcode.NXDOMAIN:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the old answer stays")


async def test_what_is_kept_is_not_for_all(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """A sandbox that may not ask, or asks others, does not hear what was kept for somebody else."""
    ours = await server(living(300, "192.0.2.80"))
    theirs = await server(living(300, "192.0.2.99"))
    await asking(dataplane, sandbox, ours)
    assert addresses(await sandbox.ask("example.com")) == ["192.0.2.80"]
    open_, inside = replace(VIEW, upstreams=(ours.upstream,)), replace(theirs.upstream, inside=True)

    await dataplane.apply([other.resolver(replace(open_, forward=False), "s2")])
    assert (await other.ask("example.com")).rcode() == dns.rcode.SERVFAIL
    await dataplane.apply([SetView("s2", replace(VIEW, upstreams=(inside,)))])
    assert addresses(await other.ask("example.com")) == ["192.0.2.99"]
    await dataplane.apply([SetView("s2", open_)])
    assert addresses(await other.ask("example.com")) == ["192.0.2.80"]
    assert (len(ours.asked), len(theirs.asked)) == (1, 1)

    await dataplane.apply([SetView("s1", replace(open_, forward=False))])
    for tcp in (False, True):
        assert (await sandbox.ask("example.com", tcp=tcp)).rcode() == dns.rcode.SERVFAIL


async def test_two_with_the_same_server_of_their_own_share_nothing(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """The same address, reached from two namespaces, may be two servers."""
    upstream = await server(living(300, "192.0.2.80"))
    view = replace(VIEW, upstreams=(replace(upstream.upstream, inside=True),))
    await dataplane.apply([other.resolver(view, "s1")])
    await other.ask("example.com")
    await dataplane.apply([DropResolver("s1"), other.resolver(view, "s2")])
    await other.ask("example.com")
    assert len(upstream.asked) == 2


async def test_edns_goes_through(
    dataplane: Dataplane, sandbox: Sandbox, server: ServerMaker
) -> None:
    """Clients with and without EDNS, with DNSSEC or options of theirs, each get an answer of
    their kind, and the server hears what they asked for."""

    def reply(question: dns.message.Message) -> dns.message.Message:
        made = living(300, "192.0.2.80")(question)
        assert made is not None
        if question.edns < 0:
            made.use_edns(False)
        return made

    upstream = await server(reply)
    await asking(dataplane, sandbox, upstream)
    subnet = dns.edns.ECSOption("198.51.100.0", 24)
    cookie = dns.edns.CookieOption(b"12345678", b"")
    ways: tuple[dict[str, Any], ...] = (
        {},
        {"use_edns": 0},
        {"want_dnssec": True},
        {"use_edns": 0, "options": [subnet]},
    )
    for way in ways:
        for _ in range(2):
            found = await sandbox.ask("example.com", **way)
            assert addresses(found) == ["192.0.2.80"]
            assert (found.edns >= 0) == bool(way)
    # Cookies are between a client and us, so who sends them may have what is kept.
    await sandbox.ask("example.com", use_edns=0, options=[cookie])
    heard = [asked for _, asked in upstream.asked]
    # What is asked for a part of the network is not kept for the whole of it.
    assert [asked.edns for asked in heard] == [-1, 0, 0, 0, 0]
    assert [bool(asked.ednsflags & dns.flags.DO) for asked in heard[1:]] == [False, True] + 2 * [
        False
    ]
    assert [list(asked.options) for asked in heard[3:]] == [[subnet], [subnet]]
    # What may be signed is not spelt in another way.
    assert {asked.question[0].name.to_text() for asked in heard[3:]} == {"example.com."}


async def test_who_floods_pushes_out_his_own(
    dataplane: Dataplane, sandbox: Sandbox, other: Sandbox, server: ServerMaker
) -> None:
    """A sandbox that asks for thousands of names does not take what others had kept."""
    upstream = await server(living(300, "192.0.2.80"))
    await asking(dataplane, sandbox, upstream)
    view = replace(VIEW, upstreams=(upstream.upstream,))
    await dataplane.apply([other.resolver(view, "s2")])
    await other.ask("mine.example")
    client = sandbox.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with client:
        for number in range(2000):
            wire = dns.message.make_query(f"n{number}.example", "A").to_wire()
            client.sendto(wire, (sandbox.address, sandbox.port))
            if not number % 50:
                await asyncio.sleep(0.01)
    before = len(upstream.asked)
    await other.ask("mine.example")
    asked = [str(question.question[0].name).lower() for _, question in upstream.asked[before:]]
    assert "mine.example." not in asked
