"""Encrypted overlays, whole: two daemons and an etcd, on a kernel that has IPsec.

::

    store 192.0.2.1 ── switch ── one 192.0.2.2, two 192.0.2.3
                                  a                b

a and b are sandboxes: what concerns networks is as with containers, and starts much quicker
on an emulated processor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.lab import Daemon, Machine, Switch
from tests.lab.stores import Server, etcd
from tests.overlay.cluster import eventually
from tests.security.frames import UDP, Seen
from tests.security.place import of_machine
from tests.security.wire import Wire

pytestmark = [pytest.mark.vm("qemu"), pytest.mark.root]

ESP = 50
SLOW_SECONDS = 120.0
"""An emulated processor is slow, and may be one of two that others use as well."""
PINGS = 40


class Host:
    """A machine with a daemon, and an ear on its wire."""

    def __init__(self, machine: Machine, url: str, stack: ExitStack) -> None:
        self.machine = machine
        where = f"--cluster-advertise={machine.address}:2376"
        self.daemon = Daemon(machine, f"--cluster-store={url}", where, "--iptables=false")
        self.up()
        stack.callback(self.daemon.kill9)
        self.ear = stack.enter_context(Wire(of_machine(machine), outgoing=True))

    def up(self) -> None:
        """Starts the daemon."""
        self.daemon.start(patience_seconds=SLOW_SECONDS)

    def sandbox(self, name: str) -> str:
        """Makes a sandbox on the network; its address there."""
        made = self.daemon.api(
            "POST", "/fairlead/sandboxes", {"Name": name, "Networks": {"secret": {}}}
        )
        assert made.status == 201, made.body
        found = self.daemon.api("GET", f"/fairlead/sandboxes/{name}").json
        address: str = found["Networks"]["secret"]["IPv4"]["Address"]
        return address.partition("/")[0]

    def within(self, name: str, *words: str) -> list[str]:
        """A command, as it is run in a sandbox."""
        found = self.daemon.api("GET", f"/fairlead/sandboxes/{name}").json
        return ["nsenter", f"--net={found['SandboxKey']}", *words]

    def pings(self, name: str, target: str, count: int = 1) -> bool:
        """Whether a sandbox hears from a target, each time."""
        words = self.within(name, "ping", "-c", str(count), "-W", "5", target)
        done = self.machine.run(words, check=False)
        return done.returncode == 0 and " 0% packet loss" in done.stdout

    def keys(self) -> dict[str, str]:
        """The SAs of its kernel: what they lead to with their SPIs, and their secrets."""
        said = self.machine.run(["ip", "xfrm", "state"]).stdout
        rows = re.findall(
            r"src (\S+) dst (\S+)\n\s+proto esp spi (\S+) .*?aead \S+ (\S+)", said, re.DOTALL
        )
        return {f"{source} {target} {spi}": secret for source, target, spi, secret in rows}

    def sends_by(self) -> str:
        """The SPI of what it sends to the other host."""
        said = self.machine.run(["ip", "xfrm", "policy"]).stdout
        found = re.search(r"proto esp spi (\S+)", said)
        return found[1] if found else ""

    def heard(self) -> list[Seen]:
        """What was on its wire since the last time."""
        self.ear.listen()
        found, self.ear.heard = self.ear.heard, []
        return found


@dataclass
class Pair:
    """Two hosts with a sandbox each on one encrypted network."""

    server: Server
    one: Host
    two: Host
    a: str
    b: str

    def reach(self) -> bool:
        """Whether each hears the other."""
        return self.one.pings("a", self.b) and self.two.pings("b", self.a)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """All that takes long to make."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        server = stack.enter_context(etcd(switch.machine("store")))
        one, two = (Host(switch.machine(name), server.url, stack) for name in ("one", "two"))
        words = ("-d", "overlay", "--opt", "encrypted", "secret")
        one.daemon.docker("network", "create", *words, timeout=SLOW_SECONDS)
        eventually(lambda: two.daemon.api("GET", "/networks/secret").status == 200, SLOW_SECONDS)
        found = Pair(server, one, two, one.sandbox("a"), two.sandbox("b"))
        eventually(lambda: found.one.keys() and found.two.keys(), SLOW_SECONDS)
        eventually(found.reach, SLOW_SECONDS)
        yield found


def plain(seen: Seen) -> bool:
    """Whether it is VXLAN that anybody could read."""
    return seen.protocol == UDP and seen.ports[1] == 4789


def test_only_esp_is_between_the_hosts(pair: Pair) -> None:
    """From the first packet on; and both have the same keys."""
    assert pair.reach()
    heard = pair.one.heard() + pair.two.heard()
    assert any(seen.protocol == ESP for seen in heard)
    assert not any(map(plain, heard))
    one, two = pair.one.keys(), pair.two.keys()
    assert len(one) == len(two) == 5
    assert len({*one.values(), *two.values()}) == 6
    assert all(one[name] == two[name] for name in one.keys() & two.keys())


def test_new_keys_lose_nothing(pair: Pair) -> None:
    """While packets go to and fro; then they go by another SA."""
    before = pair.one.sends_by()
    words = ("ping", "-c", str(PINGS), "-i", "0.2", "-W", "10", pair.b)
    with pair.one.machine.popen(pair.one.within("a", *words)) as pinging:
        done = pair.two.daemon.fairlead("cluster", "rotate-keys", timeout=SLOW_SECONDS)
        assert re.fullmatch(r"networks: generation \d+, on 2 hosts\n", done.stdout)
        said, _ = pinging.communicate(timeout=SLOW_SECONDS)
    assert " 0% packet loss" in said
    eventually(lambda: pair.one.sends_by() != before, SLOW_SECONDS)
    assert pair.reach()


def test_a_restart_keeps_them(pair: Pair) -> None:
    """With the store, and while that is away: packets go on by the same SAs, and are counted on."""
    pair.server.stop()
    before = pair.one.keys()
    pair.one.daemon.stop(SLOW_SECONDS)
    assert pair.reach()
    pair.one.up()
    assert pair.one.keys() == before
    assert pair.reach()
    pair.server.start()


def test_who_lost_them_is_born_again(pair: Pair) -> None:
    """Nothing is in the clear meanwhile, and no key is used again."""
    before = {*pair.one.keys().values()}
    pair.one.heard()
    pair.one.machine.run(["ip", "xfrm", "state", "flush"])
    assert not pair.one.pings("a", pair.b)
    assert pair.one.daemon.api("POST", "/fairlead/doctor", timeout=SLOW_SECONDS).status == 200
    eventually(pair.reach, SLOW_SECONDS)
    assert not any(map(plain, pair.one.heard()))
    assert not before & {*pair.one.keys().values()}


def test_secrets_are_nobodys_business(pair: Pair) -> None:
    """Neither in the log, nor in an explanation, nor for others to read on the disk."""
    secrets = {secret.removeprefix("0x")[:16] for secret in pair.one.keys().values()}
    said = pair.one.daemon.log
    said += pair.one.daemon.fairlead("explain", "secret", timeout=SLOW_SECONDS).stdout
    said += str(pair.one.daemon.api("GET", "/info").json)
    assert not any(secret in said for secret in secrets)
    for path in pair.one.machine.path("/var/lib/fairlead").glob("fairlead.db*"):
        assert path.stat().st_mode & 0o777 == 0o600
