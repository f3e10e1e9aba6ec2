"""Lists of sources at published ports, and of destinations of networks: packets say what they do.

Whoever is not let through meets silence. In this field nobody serves at the host's own ports,
so that who is let to the host, where a proxy would be, is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.firewall import callers, egress
from fairlead.firewall.backends import BACKENDS, firewall
from fairlead.firewall.policy import Habits, policy
from fairlead.kernel.linux import LinuxKernel
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.network import Network, Pool
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress, Resource, Scope, state
from fairlead.model.world import Change, World
from fairlead.plan.diff import diff
from tests.contract.conftest import CLONE_NEWNET, MARKS, _libc
from tests.firewall.field import BRIDGE, HOST_ADDRESSES, OPEN, SHUT, Field, Probe, ground

pytestmark = pytest.mark.root

NEAR = "192.0.2.0/24;2001:db8:1::/64"
"""Where the outsider is, and not who is trusted elsewhere."""
FAR = "203.0.113.0/24, 2001:db8:9::/64"
MODE = BRIDGE + "gateway_mode_ipv"
ROUTED = {f"{MODE}4": "routed", f"{MODE}6": "routed"}
OPENED = {f"{MODE}4": "nat-unprotected", f"{MODE}6": "nat-unprotected"}
KINDS: tuple[tuple[str, dict[str, str], str, tuple[str, ...]], ...] = (
    ("plain", {}, "", ()),
    ("near", {PUBLISH_FROM: NEAR}, "", ()),
    ("far", {PUBLISH_FROM: FAR}, "", ()),
    ("said", {PUBLISH_FROM: FAR}, NEAR, ()),
    ("port", {PUBLISH_FROM: FAR}, FAR, ("198.51.100.9/32", "2001:db8:2::9/128")),
    ("neighbours", {PUBLISH_FROM: "10.0.0.0/24, fd00:1::/64"}, "", ()),
    ("quiet", {PUBLISH_FROM: FAR, BRIDGE + "enable_icc": "false"}, "", ()),
    ("routed", {PUBLISH_FROM: NEAR, **ROUTED}, "", ()),
    ("opened", {PUBLISH_FROM: NEAR, **OPENED}, "", ()),
    ("limited", {EGRESS: NEAR}, "", ()),
    ("four", {EGRESS: "192.0.2.9,198.51.100.0/24"}, "", ()),
    ("nowhere", {EGRESS: "none"}, "", ()),
    ("both", {EGRESS: "0.0.0.0/0 ::/0", PUBLISH_FROM: "0.0.0.0/0;::/0"}, "", ()),
)
NAMES = [name for name, *_ in KINDS]
OUTSIDER = {4: ip_address("192.0.2.9"), 6: ip_address("2001:db8:1::9")}
TRUSTED = {4: ip_address("198.51.100.9"), 6: ip_address("2001:db8:2::9")}
BOTH = (4, 6)
TALK = 70
"""A port of the container on `plain` at which nobody in the field serves."""


def world() -> World:
    """A published container on each network, and one more."""
    things: list[Network | Sandbox | Endpoint] = []
    for number, (name, options, said, sources) in enumerate(KINDS):
        four, six = ip_network(f"10.{number}.0.0/24"), ip_network(f"fd00:{number + 1:x}::/64")
        pools = tuple(Pool(subnet, subnet[1]) for subnet in (four, six))
        settings = {**options, BRIDGE + "name": f"br-{number}"}
        net = Network(
            f"{number:012x}" * 5, name, "bridge", number, pools, settings, enable_ipv6=True
        )
        things.append(net)
        for place in (2, 3):
            box = f"{number:06x}{place:06x}"
            outside = 0 if name == "routed" else 20000 + number
            own = [n for text in sources if place == 2 for n in (ip_network(text),)]
            ports = tuple(
                Port("tcp", OPEN, ip_address(host), outside, tuple(own))
                for host in ("0.0.0.0", "::")
                if place == 2
            )
            if name == "plain" and ports:
                ports += (Port("tcp", TALK, ip_address("0.0.0.0"), 20000 + TALK),)
            things.append(Sandbox(box, box, f"{name}-{place}", box, ports=ports))
            end = Endpoint(
                f"e{box}", net.id, box, f"v{number}-{place}", "eth0", f"02:42:00:00:{number:02x}:{place:02x}",
                tuple(ip_interface(f"{p.subnet[place]}/{p.subnet.prefixlen}") for p in pools),
                tuple(p.subnet[1] for p in pools),
                options={PUBLISH_FROM: said} if said else {},
            )  # fmt: skip
            things.append(end)
    return World().after(Change(put=tuple(things)))


def lists(field: Field, proxied: bool) -> Iterator[Resource]:
    """What stands beside the backend's rules, as the daemon has it."""
    marks = field.kernel.marks
    yield from callers.base(marks)
    for box in field.world.sandboxes.values():
        yield from callers.of_sandbox(marks, field.world, box)
    yield from egress.base(marks)
    for net in field.world.networks.values():
        yield from egress.of_network(marks, net)
        if not proxied:
            yield from egress.of_bridge(marks, net.ifname)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """The field, in a network namespace of the module's own."""
    folder = tmp_path_factory.mktemp("lists")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    with ExitStack() as stack:
        stack.callback(os.close, home)
        assert _libc.unshare(CLONE_NEWNET) == 0
        stack.callback(_libc.setns, home, CLONE_NEWNET)
        kernel = LinuxKernel(folder / "netns", MARKS)
        stack.callback(kernel.close)
        stack.callback(_drop_all, kernel)
        built = Field(kernel, world(), folder / "neighbours")
        built.build(stack)
        yield built


def _drop_all(kernel: LinuxKernel) -> None:
    for name in kernel.namespaces.names():
        kernel.namespaces.drop(name)


class Fates:
    """What became of all questions under one firewall."""

    def __init__(self, field: Field, backend: str, proxied: bool) -> None:
        self.field = field
        walls = firewall(backend, field.kernel.marks, habits=Habits(proxied=proxied))
        rules = [*walls.resources(policy(field.world)), *lists(field, proxied)]
        want = [*ground(field.world, proxied), *rules]
        field.switch(want)
        assert settled(field, want), "what is read back is what was written"
        self.found = field.ask(list(self._probes()))

    def _probes(self) -> Iterator[Probe]:
        for name in NAMES:
            for version in BOTH:
                host = HOST_ADDRESSES[version]
                for who in ("outsider", "trusted", "host", self.box("plain"), self.box(name, 3)):
                    yield Probe(who, host, 20000 + NAMES.index(name))
                own = self.address(name, version)
                yield from (Probe("outsider", own, p) for p in (OPEN, SHUT))
                yield Probe("trusted", own, OPEN)
                yield Probe(self.box(name, 3), own, OPEN)
                for away in (OUTSIDER, TRUSTED):
                    yield Probe(self.box(name), away[version], OPEN)
                yield Probe(self.box(name), self.address("plain", version), OPEN)
                yield Probe(self.box(name), host, 20000)

    def box(self, name: str, place: int = 2) -> str:
        return f"{NAMES.index(name):06x}{place:06x}"

    def address(self, name: str, version: int) -> IPAddress:
        end = self.field.world.in_sandbox(self.box(name))[0]
        found = end.ipv4 if version == 4 else end.ipv6
        assert found is not None
        return found.ip

    def at_host(self, who: str, name: str, version: int) -> str:
        """Of asking for the published port at the host's address."""
        return self.found[f"{who} -> [{HOST_ADDRESSES[version]}]:{20000 + NAMES.index(name)}"]

    def direct(self, who: str, name: str, version: int, port: int = OPEN) -> str:
        """Of asking a container at its own address."""
        return self.found[f"{who} -> [{self.address(name, version)}]:{port}"]

    def away(self, name: str, target: object) -> str:
        return self.found[f"{self.box(name)} -> [{target}]:{OPEN}"]


def settled(field: Field, want: list[Resource]) -> bool:
    wanted = {item.key: item for item in want}
    scope = Scope(frozenset(key for key, item in wanted.items() if item.LASTING))
    ours = ("nft", "nft-set", "nft-chain", "nft-element", "chain", "rule")
    steps = diff(wanted, field.kernel.observe(scope))
    return not [step for step in steps if step.resource.key[0] in ours]


@pytest.fixture(
    scope="module",
    params=[(backend, proxied) for backend in BACKENDS for proxied in (True, False)],
    ids=lambda found: f"{found[0]}-{'proxied' if found[1] else 'unproxied'}",
)
def fates(request: pytest.FixtureRequest, field: Field) -> tuple[Fates, bool]:
    backend, proxied = request.param
    return Fates(field, backend, proxied), proxied


def test_who_comes_to_a_published_port(fates: tuple[Fates, bool]) -> None:
    """Who is on the list and nobody else, of both families, by the nearest word."""
    found, _ = fates
    served = {
        "plain": {"outsider", "trusted"}, "near": {"outsider"}, "far": set(), "said": {"outsider"},
        "port": {"trusted"}, "neighbours": set(), "quiet": set(), "opened": {"outsider"},
        "limited": {"outsider", "trusted"}, "four": {"outsider", "trusted"},
        "nowhere": {"outsider", "trusted"}, "both": {"outsider", "trusted"},
    }  # fmt: skip
    for name, who in served.items():
        for version in BOTH:
            for caller, address in (("outsider", OUTSIDER), ("trusted", TRUSTED)):
                said = str(address[version]) if caller in who else "silence"
                assert found.at_host(caller, name, version) == said, (name, caller, version)


def test_the_host_is_never_asked(fates: tuple[Fates, bool]) -> None:
    """What this host sends is let through, whoever is on the list."""
    found, _ = fates
    for name in (n for n in NAMES if n != "routed"):
        for version in BOTH:
            assert found.at_host("host", name, version) not in ("silence", "ECONNREFUSED")


def test_containers_are_judged_by_their_own_address(fates: tuple[Fates, bool]) -> None:
    """Those of other networks have to be on the list; those of the same one reach it anyhow."""
    found, proxied = fates
    for version in BOTH:
        for name in ("near", "far", "said", "port", "quiet"):
            assert found.at_host(found.box("plain"), name, version) == "silence", name
        for name in ("neighbours", "both", "limited"):
            assert found.at_host(found.box("plain"), name, version) != "silence", name
        for name in ("near", "far", "neighbours"):
            assert found.at_host(found.box(name, 3), name, version) != "silence", name
            assert found.direct(found.box(name, 3), name, version) != "silence"
        assert found.at_host(found.box("quiet", 3), "quiet", version) == "silence"
        if proxied:
            assert found.at_host(found.box("plain"), "neighbours", version) == "ECONNREFUSED"


def test_a_containers_own_address(fates: tuple[Fates, bool]) -> None:
    """Where that is open the list holds there, too; what is not published is no matter of it."""
    found, _ = fates
    for version in BOTH:
        outsider = str(OUTSIDER[version])
        for name in ("routed", "opened"):
            assert found.direct("outsider", name, version) == outsider, name
            assert found.direct("trusted", name, version) == "silence", name
        assert found.direct("outsider", "opened", version, SHUT) == outsider
        assert found.direct("outsider", "routed", version, SHUT) == "silence"
        assert found.direct("outsider", "near", version) == "silence"


def test_where_a_network_leads(fates: tuple[Fates, bool]) -> None:
    """To what is on the list and nowhere else; a family that is not on it leads nowhere."""
    found, _ = fates
    leads = {
        "plain": {("o", 4), ("o", 6), ("t", 4), ("t", 6)}, "limited": {("o", 4), ("o", 6)},
        "four": {("o", 4), ("t", 4)}, "nowhere": set(),
        "both": {("o", 4), ("o", 6), ("t", 4), ("t", 6)},
    }  # fmt: skip
    for name, there in leads.items():
        for key, target in (("o", OUTSIDER), ("t", TRUSTED)):
            for version in BOTH:
                said = found.away(name, target[version])
                assert (said != "silence") == ((key, version) in there), (name, key, version, said)


def test_a_limited_network_within(fates: tuple[Fates, bool]) -> None:
    """Neighbours and published ports of this host are reached; other networks are not."""
    found, _ = fates
    for version in BOTH:
        for name in ("limited", "nowhere"):
            neighbour = found.direct(found.box(name, 3), name, version)
            assert neighbour not in ("silence", "ECONNREFUSED")
            assert found.at_host(found.box(name), "plain", version) != "silence"
            assert found.direct(found.box(name), "plain", version) == "silence"


def test_what_is_under_way_goes_on(field: Field) -> None:
    """A list that comes later is for those who come then."""
    before = field.world
    box = before.sandboxes[f"{NAMES.index('plain'):06x}{2:06x}"]
    closed = tuple(replace(p, sources=(ip_network("203.0.113.0/24"),)) for p in box.ports)
    Fates(field, "iptables", proxied=True)
    with ExitStack() as stack:
        with field.entered(box.namespace):
            server = stack.enter_context(socket.create_server(("", TALK)))
            server.settimeout(30)
        with field.entered("outsider"):
            caller = socket.create_connection(("192.0.2.1", 20000 + TALK), 30)
        stack.enter_context(caller)
        called, _ = server.accept()
        stack.enter_context(called)
        field.world = before.after(Change(put=(replace(box, ports=closed),)))
        stack.callback(setattr, field, "world", before)

        found = Fates(field, "iptables", proxied=True)

        assert found.at_host("outsider", "plain", 4) == "silence"
        for one, other in ((caller, called), (called, caller)):
            one.sendall(b"still there")
            other.settimeout(30)
            assert other.recv(100) == b"still there"


def test_nothing_is_left(field: Field) -> None:
    """Without lists there is not one rule of theirs."""
    Fates(field, "iptables", proxied=True)
    walls = firewall("nftables", field.kernel.marks)
    field.switch([*ground(field.world), *walls.resources(policy(field.world))])
    found = state(list(field.kernel.observe(Scope()).values()))
    assert [key for key in found if key[0].startswith("nft") and key[1] == "inet"] == []
