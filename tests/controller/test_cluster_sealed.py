"""Encrypted overlays on the hosts of a cluster: who sends by what, and who takes it.

Three rules are looked at all the time, with every step that any kernel takes:

- what a host sends by, the host that it sends to takes;
- no SA that a host sends by is ever made twice;
- no key is that of two SAs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import permutations
from pathlib import Path

import pytest

from fairlead.cluster import keyring
from fairlead.controller.shared.seal import Pace
from fairlead.model.endpoint import EndpointRequest
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.keyring import Keyring
from fairlead.model.network import NetworkRequest
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Key, State
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmPolicy, XfrmState
from fairlead.store.memory import Memory
from tests.controller.bench import Machine
from tests.controller.cluster import Cluster, Host, eventually

RING = "fairlead/v1/keys"
QUICK = Pace(tick_seconds=0.05, linger_seconds=0.3, by_hand_seconds=0, pause_seconds=0.05)
SECRET = NetworkRequest("secret", "overlay", options={"encrypted": ""})


def associations(host: Host) -> dict[Key, XfrmState]:
    """The SAs of a host's kernel."""
    # Its own thread may be changing it meanwhile.
    found: State = host.machine.kernel.state.copy()
    return {key: item for key, item in found.items() if isinstance(item, XfrmState)}


def sends(host: Host, other: Host) -> XfrmState | None:
    """The SA by which a host sends to another."""
    found = host.machine.kernel.state.get(("xfrm-policy", host.place, other.place))
    if not isinstance(found, XfrmPolicy):
        return None
    return associations(host).get(("xfrm-state", other.place, f"{found.spi:#010x}"))


def understood(host: Host, other: Host) -> bool:
    """Whether what a host sends to another is taken there."""
    found = sends(host, other)
    return found is not None and associations(other).get(found.key) == found


def meet(*hosts: Host) -> bool:
    """Whether all of them understand each other."""
    return all(understood(one, two) for one, two in permutations(hosts, 2))


@dataclass
class Sealed(Cluster):
    """A cluster on which an eye is kept."""

    steady: tuple[Host, ...] = ()
    """Those who are to understand each other from now on, at every step."""
    wrong: list[str] = field(default_factory=list)

    def ring(self) -> Keyring:
        """What is in the store."""
        entry = self.memory.read(RING)
        assert entry is not None
        return keyring.decode(entry.value)

    def look(self, step: Step) -> None:
        """Before each step of each kernel."""
        for one, two in permutations(self.steady, 2):
            if not understood(one, two):
                self.wrong.append(f"{one.name} is not understood by {two.name} before {step}")

    def made(self) -> list[XfrmState]:
        """What hosts ever sent by, as often as it was made."""
        taken = ((host, step.after) for host in self.hosts for step in host.machine.kernel.taken)
        return [
            item
            for host, item in taken
            if isinstance(item, XfrmState) and str(item.source) == host.place
        ]

    async def turn(self, host: Host) -> None:
        """New keys, asked for on a host; and all hosts that hear of it have them."""
        await host.member.seal.turn()
        ring = self.ring()
        await eventually(lambda: self.agree(ring.generation, *self.steady))

    def have_it(self) -> bool:
        """Whether all hosts have the keyring that is in the store."""
        found = self.ring()
        return all(host.machine.controller.world.ring == found for host in self.hosts)

    def agree(self, generation: int, *hosts: Host) -> bool:
        """Whether hosts have come so far."""
        rings = [host.machine.controller.world.ring for host in hosts]
        return all(ring is not None and ring.generation == generation for ring in rings)


async def up(folder: Path, memory: Memory, secrets: tuple[bytes | None, ...]) -> Sealed:
    """Three hosts, each with what it has of a file."""
    hosts = []
    for number, (name, secret) in enumerate(zip("abc", secrets, strict=True)):
        (folder / name).mkdir()
        machine = Machine(folder / name, seed=name)
        place = f"192.0.2.{11 + number}"
        hosts.append(Host(name, place, machine, memory, pace=QUICK, secret=secret))
    found = Sealed(memory, tuple(hosts))
    for host in hosts:
        await host.up()
        host.machine.kernel.fault = found.look
    for host in hosts:
        async with asyncio.timeout(90):
            await host.member.ready.wait()
    return found


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Sealed]:
    """Three hosts that know an encrypted network; at the end the rules were kept."""
    found = await up(tmp_path, Memory(), (None, None, None))
    try:
        await found.a.machine.controller.create_network(SECRET)
        await eventually(lambda: all(host.knows("secret") for host in found.hosts))
        yield found
        assert not found.wrong, found.wrong[:3]
        made = found.made()
        assert len({(item.key, item.secret) for item in made}) == len(made), "made twice"
        assert len({item.secret for item in made}) == len(made), "one key for two"
    finally:
        for host in found.hosts:
            await host.down()


async def restart(cluster: Sealed, host: Host, ready: bool = True) -> None:
    """The daemon ends and begins again."""
    await host.down()
    await host.up()
    host.machine.kernel.fault = cluster.look
    if ready:
        await host.member.ready.wait()


async def all_three(cluster: Sealed) -> tuple[Sandbox, ...]:
    """A container on each host; and they understand each other from now on."""
    boxes = [await host.run(host.name, "secret") for host in cluster.hosts]
    # Who came first may yet have to hear of who came last: nobody has anything left to take in.
    for _ in range(2):
        await asyncio.sleep(2 * QUICK.tick_seconds)
        await eventually(lambda: meet(*cluster.hosts) and cluster.have_it())
    cluster.steady = cluster.hosts
    return tuple(boxes)


async def test_hosts_on_a_network_understand_each_other(cluster: Sealed) -> None:
    """Who is on none has no keys; who comes gets them, and nobody else knows them."""
    one, two, three = cluster.hosts
    await one.run("one", "secret")
    await two.run("two", "secret")
    await eventually(lambda: meet(one, two))
    cluster.steady = (one, two)
    assert not associations(three)
    assert three.machine.controller.world.ring is None

    await three.run("three", "secret")
    await eventually(lambda: meet(*cluster.hosts))
    for host in cluster.hosts:
        assert len(associations(host)) == 10
        await host.is_right()
    told = "\n".join(one.machine.controller.explain("secret"))
    told += repr(one.machine.controller.world) + repr(associations(one))
    for secret in (*cluster.ring().secrets, *(i.secret for i in associations(one).values())):
        assert secret.hex() not in told
        assert repr(secret)[2:-1] not in told
    assert one.machine.path.stat().st_mode & 0o777 == 0o600


async def test_turns_lose_nothing(cluster: Sealed) -> None:
    """At no step, on no host; and each sends by another key afterwards."""
    await all_three(cluster)
    for host in cluster.hosts:
        before = sends(cluster.a, cluster.b)
        await cluster.turn(host)
        assert meet(*cluster.hosts)
        assert sends(cluster.a, cluster.b) != before
    for host in cluster.hosts:
        await host.is_right()


async def test_a_host_that_lags_is_understood(cluster: Sealed) -> None:
    """It does not hear of a turn; all go on to understand each other, and it catches up."""
    await all_three(cluster)
    for lagging in cluster.hosts:
        other = next(host for host in cluster.hosts if host is not lagging)
        store = lagging.member._place.store
        store.cut()  # type: ignore[attr-defined]
        await other.member.seal.turn()
        generation = cluster.ring().generation
        rest = [host for host in cluster.hosts if host is not lagging]
        await eventually(lambda rest=rest, to=generation: cluster.agree(to, *rest))  # type: ignore[misc]
        assert cluster.agree(generation - 1, lagging)
        assert meet(*cluster.hosts)
        store.mend()  # type: ignore[attr-defined]
        await eventually(lambda to=generation: cluster.agree(to, *cluster.hosts))  # type: ignore[misc]
        assert meet(*cluster.hosts)


async def test_a_restart_changes_no_key(cluster: Sealed) -> None:
    """Also while the store is away, and whatever was done before."""
    await all_three(cluster)
    await cluster.turn(cluster.a)
    before = dict(cluster.a.machine.kernel.state)
    await restart(cluster, cluster.a)
    assert cluster.a.machine.kernel.state == before
    cluster.memory.stop()
    await restart(cluster, cluster.a, ready=False)
    assert cluster.a.machine.kernel.state == before
    cluster.memory.start()
    await cluster.a.member.ready.wait()
    await cluster.turn(cluster.a)
    assert meet(*cluster.hosts)


@pytest.mark.parametrize("how", ["running", "down", "away"])
async def test_who_lost_keys_is_born_again(cluster: Sealed, how: str) -> None:
    """What was lost is not made again: others would take its packets for old ones."""
    one, two = cluster.a, cluster.b
    await all_three(cluster)
    cluster.steady = (cluster.b, cluster.c)
    lost = associations(one)
    if how == "down":
        await one.down()
    if how == "away":
        cluster.memory.stop()
    for key in lost:
        one.machine.kernel.lose(key)
    if how == "down":
        await one.up()
        await one.member.ready.wait()
    else:
        await one.machine.controller.healer.audit()
    if how == "away":
        await asyncio.sleep(0.2)
        assert not [item for item in associations(one).values() if str(item.source) == one.place]
        cluster.memory.start()
    await eventually(lambda: meet(*cluster.hosts))
    assert not {i.secret for i in lost.values()} & {i.secret for i in associations(one).values()}
    assert understood(two, one)
    for host in cluster.hosts:
        await host.is_right()


@contextlib.contextmanager
def held(host: Host, call: str, part: str) -> Iterator[asyncio.Event]:
    """A call of a host to the store, about some keys, does not return before the block's end.

    Its event says that the call was made.
    """
    store, gate, made = host.member._place.store, asyncio.Event(), asyncio.Event()
    real = getattr(store, call)

    async def slow(key: str, *rest: object) -> object:
        found = await real(key, *rest)
        if part in key and not gate.is_set():
            made.set()
            await gate.wait()
        return found

    setattr(store, call, slow)
    try:
        yield made
    finally:
        gate.set()
        setattr(store, call, real)


async def test_keys_of_others_are_no_birth(cluster: Sealed) -> None:
    """Who lost keys, and takes what others made of the keyring meanwhile, is still born again."""
    one, two, _ = cluster.hosts
    await all_three(cluster)
    cluster.steady = (cluster.b, cluster.c)
    before = cluster.ring().members[ip_address(one.place)]
    with held(one, "get", RING) as read:
        await two.member.seal.turn()
        async with asyncio.timeout(90):
            await read.wait()
        for key in associations(one):
            one.machine.kernel.lose(key)
        await one.machine.controller.healer.audit()
    await eventually(lambda: cluster.ring().members[ip_address(one.place)] != before)
    await eventually(lambda: cluster.have_it() and meet(*cluster.hosts))
    for host in cluster.hosts:
        await host.is_right()


async def test_who_is_about_to_come_keeps_the_keys(cluster: Sealed) -> None:
    """However long the store takes for the container that needs them."""
    one, two, _ = cluster.hosts
    await one.run("one", "secret")
    with held(two, "put", "/endpoint/") as written:
        coming = asyncio.create_task(two.run("two", "secret"))
        async with asyncio.timeout(90):
            await written.wait()
        born = cluster.ring().members[ip_address(two.place)]
        for _ in range(5):
            await asyncio.sleep(QUICK.linger_seconds)
            assert cluster.ring().members.get(ip_address(two.place)) == born
    await coming
    await eventually(lambda: meet(one, two))
    assert cluster.ring().members[ip_address(two.place)] == born


async def test_a_container_that_comes_back_gets_new_keys(cluster: Sealed) -> None:
    """If it was the last one on its host; others have theirs as before."""
    one, two, three = cluster.hosts
    box, *_ = await all_three(cluster)
    cluster.steady = (two, three)
    before = set(associations(two).values())
    await one.machine.controller.close_sandbox(box.id)
    assert not associations(one)
    await one.run("again", "secret")
    await eventually(lambda: meet(*cluster.hosts))
    kept = {item for item in associations(two).values() if item in before}
    assert {str(ip) for item in kept for ip in (item.source, item.destination)} == {
        two.place,
        three.place,
    }


async def test_two_networks_share_their_keys(cluster: Sealed) -> None:
    """Leaving one of them and coming back touches nothing of what goes between two hosts."""
    one, two, _ = cluster.hosts
    await one.machine.controller.create_network(replace(SECRET, name="other"))
    await eventually(lambda: two.knows("other"))
    await one.run("stays", "other")
    box = await one.run("goes", "secret")
    await two.run("two", "secret", "other")
    await eventually(lambda: meet(one, two))
    cluster.steady = (one, two)
    before = associations(one)
    await one.machine.controller.leave(box.id, "secret")
    await one.machine.controller.join(box.id, "secret", EndpointRequest())
    assert associations(one) == before
    await one.is_right()


async def test_who_needs_no_keys_keeps_none(cluster: Sealed) -> None:
    """After a while it is out of the keyring, and its disk has no secret."""
    boxes = await all_three(cluster)
    cluster.steady = (cluster.b, cluster.c)
    await cluster.a.machine.controller.close_sandbox(boxes[0].id)
    host = ip_address(cluster.a.place)
    await eventually(lambda: host not in cluster.ring().members)
    await eventually(lambda: cluster.a.machine.controller.world.ring is None)
    assert cluster.a.machine.store.load("keyring") == {}
    await eventually(lambda: len(associations(cluster.b)) == 5)
    await cluster.a.run("again", "secret")
    await eventually(lambda: meet(*cluster.hosts))


async def test_a_store_that_was_set_back(cluster: Sealed) -> None:
    """To an older keyring, or to none at all: nobody uses a key again."""
    await all_three(cluster)
    old = cluster.memory.read(RING)
    assert old is not None
    await cluster.turn(cluster.b)
    await cluster.turn(cluster.c)
    cluster.steady = ()
    cluster.memory.write(RING, old.value)
    births = {who.birth for who in keyring.decode(old.value).members.values()}
    await eventually(
        lambda: (
            not births & {who.birth for who in cluster.ring().members.values()}
            and meet(*cluster.hosts)
        )
    )
    cluster.memory.remove(RING)
    await eventually(lambda: cluster.memory.read(RING) is not None)
    await eventually(lambda: len(cluster.ring().members) == 3 and meet(*cluster.hosts))


async def test_keys_are_turned_in_time(tmp_path: Path) -> None:
    """By some host, without anybody asking; and who died is not in the next ring."""
    found = await up(tmp_path, Memory(), (None, None, None))
    try:
        for host in found.hosts:
            host.member.seal._pace = replace(QUICK, period_seconds=1)
        await found.a.machine.controller.create_network(SECRET)
        await eventually(lambda: all(host.knows("secret") for host in found.hosts))
        await all_three(found)
        found.steady = (found.a, found.b)
        first = found.ring().generation
        await found.c.down()
        await eventually(lambda: found.ring().generation >= first + 2)
        await eventually(lambda: ip_address(found.c.place) not in found.ring().members)
        assert meet(found.a, found.b)
        await found.c.up()
        await eventually(lambda: meet(*found.hosts))
        assert not found.wrong, found.wrong[:3]
    finally:
        for host in found.hosts:
            await host.down()


async def test_secrets_of_a_file(tmp_path: Path) -> None:
    """Who has the same one takes part; who has another, or none, is refused a container."""
    key, other = b"k" * 32, b"o" * 32
    found = await up(tmp_path, Memory(), (key, key, other))
    try:
        await found.a.machine.controller.create_network(SECRET)
        await eventually(lambda: all(host.knows("secret") for host in found.hosts))
        await found.a.run("one", "secret")
        await found.b.run("two", "secret")
        await eventually(lambda: meet(found.a, found.b))
        await found.a.member.seal.turn()
        await eventually(lambda: found.agree(found.ring().generation, found.a, found.b))
        assert meet(found.a, found.b)
        assert found.ring().secrets == ()
        with pytest.raises(Conflict, match="encrypted with another key"):
            await found.c.run("three", "secret")
        assert not found.c.machine.controller.world.sandboxes
        assert ip_address(found.c.place) not in found.ring().members
    finally:
        for host in found.hosts:
            await host.down()


async def test_a_keyring_that_makes_no_sense(cluster: Sealed) -> None:
    """It is told of and not used, and what was there goes on; nobody can join by it."""
    one, two, three = cluster.hosts
    await one.run("one", "secret")
    await two.run("two", "secret")
    await eventually(lambda: meet(one, two))
    cluster.steady = (one, two)
    good = cluster.memory.read(RING)
    assert good is not None
    cluster.memory.write(RING, b'{"generation": "many"}')
    await eventually(lambda: any("bad value" in w for w in one.machine.controller.warnings))
    with pytest.raises(Invalid, match="bad value"):
        await three.run("three", "secret")
    assert meet(one, two)
    cluster.memory.write(RING, good.value)
    await three.run("three", "secret")
    await eventually(lambda: meet(*cluster.hosts))
