"""What every kernel does, real or fake.

::

    host                      sandbox "aaaaaaaaaaaa"
    br-one 10.9.0.1/24 ─ va ═ eth0 10.9.0.2/24, default via 10.9.0.1
"""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.port import Kernel
from fairlead.model.iptables import Chain, Policy, Rule
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    DnsRedirect,
    Namespace,
    Neighbour,
    Resource,
    Route,
    Scope,
    State,
    Sysctl,
    Veth,
    state,
)
from fairlead.model.step import Step
from fairlead.model.tunnel import Fdb, Vxlan
from fairlead.plan.diff import diff

BOX = "aaaaaaaaaaaa"
EVERYTHING = Scope()

bridge = Bridge(HOST, "br-one", "02:42:0a:09:00:01", 1500)
gateway = Address(HOST, "br-one", ip_interface("10.9.0.1/24"))
box = Namespace(BOX)
veth = Veth("va", "br-one", BOX, "eth0", "02:42:0a:09:00:02", 1500)
inside = Address(BOX, "eth0", ip_interface("10.9.0.2/24"))
default = Route(BOX, ip_network("0.0.0.0/0"), ip_address("10.9.0.1"), "eth0")
onlink = Route(BOX, ip_network("10.8.0.0/16"), None, "eth0")
peer = Neighbour(BOX, "eth0", ip_address("10.9.0.7"), "02:42:0a:09:00:07")
redirect = DnsRedirect(BOX)
marker = Chain("ip", "filter", "FAIRLEAD-c0ffee00", ())
forward = Chain("ip", "filter", "TEST", ("-i br-one -o br-one -j ACCEPT", "-o br-one -j DROP"))
user = Chain("ip", "filter", "TEST-USER", ("-j RETURN",), theirs=True)
jump = Rule("ip", "filter", "FORWARD", "-j TEST", 1)
marker_nat = Chain("ip", "nat", "FAIRLEAD-c0ffee00", ())
masquerade = Rule("ip", "nat", "POSTROUTING", "-s 10.9.0.0/24 ! -o br-one -j MASQUERADE")

table = NftTable("ip", "fairlead-test", "fairlead:c0ffee00")
doors = NftSet("ip", "fairlead-test", "s_doors", "set", "type inet_proto . inet_service")
ports = NftSet(
    "ip", "fairlead-test", "m_ranges", "map", "type inet_service : ipv4_addr; flags interval"
)
ways = NftSet("ip", "fairlead-test", "m_to", "map", "type ifname : verdict")
hooked = NftChain(
    "ip",
    "fairlead-test",
    "c_forward",
    ("oifname vmap @m_to", "meta l4proto . th dport @s_doors accept"),
    "type filter hook forward priority filter; policy accept;",
)
called = NftChain("ip", "fairlead-test", "c_to_br-one", ("drop",))
empty = NftChain("ip", "fairlead-test", "c_empty", ())
door = NftElement("ip", "fairlead-test", "s_doors", "tcp . 80")
second = NftElement("ip", "fairlead-test", "s_doors", "udp . 53")
span = NftElement("ip", "fairlead-test", "m_ranges", "9000-9010", "10.9.0.2")
way = NftElement("ip", "fairlead-test", "m_to", '"br-one"', "jump c_to_br-one")
NFT: list[Resource] = [table, doors, ports, ways, hooked, called, empty, door, second, span, way]

SPAN = "1-0123456789"
through = Namespace(SPAN)
br0 = Bridge(SPAN, "br0", "02:42:0a:0a:00:01", 1450)
span_gateway = Address(SPAN, "br0", ip_interface("10.10.0.1/24"))
vxlan = Vxlan(SPAN, "vxlan0", "br0", 256, ip_address("192.0.2.11"), 1450)
across = Veth("vs", "br0", BOX, "eth1", "02:42:0a:0a:00:02", 1450, namespace=SPAN)
across_inside = Address(BOX, "eth1", ip_interface("10.10.0.2/24"))
afar = Neighbour(SPAN, "vxlan0", ip_address("10.10.0.3"), "02:42:0a:0a:00:03")
ipv6 = Sysctl(SPAN, "net/ipv6/conf/vxlan0/disable_ipv6", "0", "vxlan0")
afar6 = Neighbour(SPAN, "vxlan0", ip_address("fd00:10::3"), "02:42:0a:0a:00:03")
there = Fdb(SPAN, "vxlan0", "02:42:0a:0a:00:03", ip_address("192.0.2.12"))

toward = Veth("vh", "br0", HOST, "fl-012345678901", "02:42:0a:0a:00:04", 1450, namespace=SPAN)
on_host = Address(HOST, "fl-012345678901", ip_interface("10.10.0.4/24"))
strict = Sysctl(HOST, "net/ipv4/conf/fl-012345678901/rp_filter", "1", "fl-012345678901")

NETWORK: list[Resource] = [bridge, gateway]
SPANNED: list[Resource] = [through, br0, span_gateway, vxlan, afar, there]
ACROSS: list[Resource] = [*SPANNED, box, across, across_inside]
JOINED: list[Resource] = [*NETWORK, box, redirect, veth, inside, default, onlink, peer]
FIREWALL: list[Resource] = [marker, forward, user, jump, marker_nat, masquerade, *NFT]


def reach(kernel: Kernel, want: list[Resource], scope: Scope = EVERYTHING) -> State:
    """Take the kernel to a state; what it reports then."""
    kernel.apply(diff(state(want), kernel.observe(scope)))
    return kernel.observe(scope)


def converge(kernel: Kernel, want: State) -> State:
    """Look and act until there is nothing to do: a change can shake what stands on it."""
    for _ in range(3):
        steps = diff(want, kernel.observe(EVERYTHING))
        if not steps:
            break
        kernel.apply(steps)
    return kernel.observe(EVERYTHING)


def test_what_is_made_is_seen(kernel: Kernel) -> None:
    """Every field that we set comes back as we set it."""
    assert reach(kernel, JOINED + FIREWALL) == state(JOINED + FIREWALL)


def test_leaving_undoes_joining(kernel: Kernel) -> None:
    """Whatever a join programmed, leaving removes, and nothing else."""
    before = reach(kernel, NETWORK)

    reach(kernel, JOINED)

    assert reach(kernel, NETWORK) == before == state(NETWORK)


def test_nothing_is_left(kernel: Kernel) -> None:
    """A host that wants nothing has nothing of ours."""
    reach(kernel, JOINED + FIREWALL)

    assert reach(kernel, []) == {}


def test_a_state_reached_needs_no_steps(kernel: Kernel) -> None:
    """What was applied compares equal with what is wanted: a second plan is empty."""
    reach(kernel, JOINED + FIREWALL)

    assert diff(state(JOINED + FIREWALL), kernel.observe(EVERYTHING)) == ()


@pytest.mark.parametrize(
    "changed",
    [
        Veth("va", "br-one", BOX, "eth0", "02:42:0a:09:00:02", 1400),
        Veth("va", "br-one", BOX, "eth0", "02:42:0a:09:00:99", 1500),
        Veth("va", "br-one", BOX, "eth0", "02:42:0a:09:00:02", 1500, hairpin=True),
        Bridge(HOST, "br-one", "02:42:0a:09:00:01", 1300),
        Neighbour(BOX, "eth0", ip_address("10.9.0.7"), "02:42:0a:09:00:08"),
        Chain("ip", "filter", "TEST", ("-o br-one -j DROP",)),
        Chain("ip", "filter", "TEST", ("-i lo -j ACCEPT", *forward.rules, "-o lo -j RETURN")),
        NftChain("ip", "fairlead-test", "c_to_br-one", ("accept",)),
        NftElement("ip", "fairlead-test", "m_ranges", "9000-9010", "10.9.0.3"),
        NftSet("ip", "fairlead-test", "s_doors", "set", "type inet_service"),
        Veth("va", "br-one", BOX, "eth7", "02:42:0a:09:00:02", 1500),
        Address(BOX, "eth0", ip_interface("10.9.0.2/16")),
    ],
    ids=lambda item: str(item)[:60],
)
def test_a_change_arrives(kernel: Kernel, changed: Resource) -> None:
    """In place or by making anew, the kernel ends where it should."""
    start = state(JOINED + FIREWALL)
    reach(kernel, list(start.values()))
    want = {**start, changed.key: changed}
    if isinstance(changed, Veth) and changed.peer != "eth0":
        want = {k: v for k, v in want.items() if getattr(v, "link", "") != "eth0"}
    if isinstance(changed, NftSet):
        # What was in it and what asks it is of another type.
        want = {k: v for k, v in want.items() if v not in (door, second, hooked)}

    assert converge(kernel, want) == want


def test_ipv6_inside_a_sandbox(kernel: Kernel) -> None:
    """An interface gets IPv6 where it is asked for, its address and a way out; and lets them go."""
    enabled = Sysctl(BOX, "net/ipv6/conf/eth0/disable_ipv6", "0", "eth0")
    want: list[Resource] = [
        *JOINED,
        Address(HOST, "br-one", ip_interface("fd09::1/64")),
        Address(BOX, "eth0", ip_interface("fd09::2/64")),
        Route(BOX, ip_network("::/0"), ip_address("fd09::1"), "eth0"),
    ]
    asked = Scope(settings=frozenset({enabled.key}))

    found = reach(kernel, [*want, enabled], asked)

    assert found == state([*want, enabled])
    assert diff(state(want), found) == ()
    assert reach(kernel, JOINED) == state(JOINED)


def test_what_somebody_set_down_comes_up(kernel: Kernel) -> None:
    """Linux drops routes with the interface that goes down; all of it comes back."""
    start = reach(kernel, JOINED)
    kernel.apply([Step(veth, replace(veth, up=False)), Step(bridge, replace(bridge, up=False))])

    assert converge(kernel, start) == start


def test_a_cable_moves_to_another_bridge(kernel: Kernel) -> None:
    """The master of a port is changed in place: addresses inside stay."""
    other = Bridge(HOST, "br-two", "02:42:0a:09:01:01", 1500)
    moved = Veth("va", "br-two", BOX, "eth0", "02:42:0a:09:00:02", 1500)
    reach(kernel, [*JOINED, other])
    want = state([*(r for r in JOINED if r is not veth), other, moved])

    steps = diff(want, kernel.observe(EVERYTHING))
    kernel.apply(steps)

    assert steps == (Step(veth, moved),)
    assert kernel.observe(EVERYTHING) == want


def test_what_stands_on_the_removed_is_made_anew(kernel: Kernel) -> None:
    """A namespace that must go takes its cable along; the plan brings both back."""
    reach(kernel, JOINED)
    other = Namespace("bbbbbbbbbbbb")
    moved: list[Resource] = [
        Veth("va", "br-one", "bbbbbbbbbbbb", "eth0", "02:42:0a:09:00:02", 1500),
        Address("bbbbbbbbbbbb", "eth0", ip_interface("10.9.0.2/24")),
    ]

    assert reach(kernel, [*NETWORK, other, *moved]) == state([*NETWORK, other, *moved])


def test_a_name_that_is_taken_is_refused(kernel: Kernel) -> None:
    """Making what exists is refused, and the refusal names the step."""
    reach(kernel, NETWORK)
    again = Step(None, bridge)

    with pytest.raises(Refused) as refused:
        kernel.apply([again])

    assert refused.value.step == again
    assert refused.value.code == errno.EEXIST


def test_a_link_without_its_bridge_is_refused(kernel: Kernel) -> None:
    """Nothing is plugged into what is not there; what was done before is reported."""
    first = Step(None, box)

    with pytest.raises(Refused) as refused:
        kernel.apply([first, Step(None, veth)])

    assert refused.value.code == errno.ENODEV
    assert refused.value.applied == (first,)


def test_two_interfaces_of_one_name_are_refused(kernel: Kernel) -> None:
    """A sandbox has one eth0, and a refused cable leaves nothing behind."""
    reach(kernel, JOINED)
    rival = Veth("vb", "br-one", BOX, "eth0", "02:42:0a:09:00:03", 1500)

    with pytest.raises(Refused) as refused:
        kernel.apply([Step(None, rival)])

    assert refused.value.code == errno.EEXIST
    assert kernel.observe(EVERYTHING) == state(JOINED)


def test_removing_what_is_gone_is_no_error(kernel: Kernel) -> None:
    """The goal of a removal is absence, whoever brought it about."""
    reach(kernel, NETWORK)

    for item in (*JOINED[2:], *FIREWALL):
        kernel.apply([Step(item, None)])

    assert kernel.observe(EVERYTHING) == state(NETWORK)


def test_settings_are_reported_to_who_asks(kernel: Kernel) -> None:
    """A setting has no mark: it is seen only when asked for, and it stays when unwanted."""
    forwarding = Sysctl(HOST, "net/ipv4/ip_forward", "1")
    policy = Policy("ip", "filter", "FORWARD", "DROP")
    asked = Scope(settings=frozenset({forwarding.key, policy.key}))

    found = reach(kernel, [forwarding, policy], asked)

    assert found == state([forwarding, policy])
    assert kernel.observe(EVERYTHING) == {}
    assert diff({}, found) == ()


def test_undoing_every_step_restores(kernel: Kernel) -> None:
    """Steps backwards, each undone, lead back to the start."""
    before = reach(kernel, NETWORK)
    steps = diff(state(JOINED + FIREWALL), before)
    kernel.apply(steps)

    kernel.apply([step.undo() for step in reversed(steps)])

    assert kernel.observe(EVERYTHING) == before


def test_the_scope_limits_the_view(kernel: Kernel) -> None:
    """Asked about one sandbox, a kernel tells of that one."""
    reach(kernel, [*JOINED, Namespace("bbbbbbbbbbbb")])

    found = kernel.observe(Scope(namespaces=frozenset({BOX})))

    assert found == state([box, redirect, veth, inside, default, onlink, peer])


def test_what_waits_to_be_reaped_is_gone(kernel: Kernel) -> None:
    """A sandbox that left its network and lives on has nothing of it, before and after."""
    reach(kernel, JOINED)

    left = reach(kernel, [*NETWORK, box, redirect])

    assert left == state([*NETWORK, box, redirect])
    kernel.reap()
    assert kernel.observe(EVERYTHING) == left


def test_a_network_that_spans_hosts_is_seen(kernel: Kernel) -> None:
    """Device, forwarding entries, and cables whose near end is in the network's namespace."""
    everything = [*ACROSS, *JOINED, *FIREWALL]

    assert reach(kernel, everything) == state(everything)
    assert reach(kernel, [*ACROSS, *NETWORK]) == state([*ACROSS, *NETWORK])


def test_neighbours_of_either_family(kernel: Kernel) -> None:
    """The device knows those of IPv6, too, once it has it."""
    want = [*SPANNED, ipv6, afar6]

    assert reach(kernel, want, Scope(frozenset({ipv6.key}))) == state(want)


def test_a_network_that_spans_hosts_goes(kernel: Kernel) -> None:
    """A sandbox that stays keeps nothing of it, and the name is free for the next."""
    reach(kernel, ACROSS + JOINED)

    assert reach(kernel, JOINED) == state(JOINED)
    assert reach(kernel, ACROSS + JOINED) == state(ACROSS + JOINED)
    kernel.reap()
    assert kernel.observe(EVERYTHING) == state(ACROSS + JOINED)


def test_one_leaves_a_network_that_spans_hosts(kernel: Kernel) -> None:
    """The others stay; who comes back under the same names finds room."""
    reach(kernel, ACROSS + JOINED)

    assert reach(kernel, [*SPANNED, *JOINED]) == state([*SPANNED, *JOINED])
    kernel.reap()
    assert reach(kernel, ACROSS + JOINED) == state(ACROSS + JOINED)


@pytest.mark.parametrize(
    "changed",
    [
        replace(vxlan, mtu=1400),
        replace(vxlan, vni=257),
        replace(vxlan, local=ip_address("192.0.2.13")),
        replace(vxlan, local=ip_address("2001:db8::11")),
        replace(there, host=ip_address("192.0.2.14")),
        replace(afar, mac="02:42:0a:0a:00:99"),
        replace(across, mtu=1400),
        replace(across, mac="02:42:0a:0a:00:98"),
    ],
    ids=["mtu", "vni", "local", "local6", "host", "mac", "cable", "cable-mac"],
)
def test_a_peer_or_a_tunnel_changes(kernel: Kernel, changed: Resource) -> None:
    """In place or by making it anew; what stood on it is there again."""
    reach(kernel, ACROSS)
    want = {r.key: r for r in ACROSS} | {changed.key: changed}
    if isinstance(changed, Vxlan) and changed.local.version == 6:
        want[there.key] = replace(there, host=ip_address("2001:db8::12"))

    assert converge(kernel, want) == want


def test_the_bridge_of_a_span_goes_and_comes(kernel: Kernel) -> None:
    """Its ports are plugged in again."""
    reach(kernel, ACROSS)

    other = replace(br0, mac="02:42:0a:0a:00:55")
    want = {r.key: r for r in ACROSS} | {other.key: other}

    assert converge(kernel, want) == want


def test_a_cable_ends_on_the_host(kernel: Kernel) -> None:
    """From the bridge of a span to an interface of the host, with an address and settings."""
    want = [*SPANNED, toward, on_host, strict]
    asked = Scope(settings=frozenset({strict.key}))

    assert reach(kernel, want, asked) == state(want)
    assert reach(kernel, [*ACROSS, *JOINED, toward, on_host]) == state(
        [*ACROSS, *JOINED, toward, on_host]
    )
    assert reach(kernel, SPANNED) == state(SPANNED)
    assert reach(kernel, want, asked) == state(want)


def test_such_a_cable_goes_and_comes_at_once(kernel: Kernel) -> None:
    """With its network: its name on the host is free, its address is nobody's."""
    want = [*SPANNED, toward, on_host]
    reach(kernel, [*NETWORK, *want])

    assert reach(kernel, NETWORK) == state(NETWORK)
    assert reach(kernel, want) == state(want)
    kernel.reap()
    assert kernel.observe(EVERYTHING) == state(want)


@pytest.mark.parametrize(
    "changed",
    [replace(toward, mtu=1400), replace(toward, mac="02:42:0a:0a:00:97"), replace(br0, mtu=1400)],
    ids=["mtu", "mac", "bridge"],
)
def test_such_a_cable_changes(kernel: Kernel, changed: Resource) -> None:
    """In place; what stood on it is there again."""
    reach(kernel, [*SPANNED, toward, on_host])
    want = {**state([*SPANNED, toward, on_host]), changed.key: changed}

    assert converge(kernel, want) == want


@pytest.mark.root
def test_such_a_cable_is_no_route_of_others(linux: LinuxKernel) -> None:
    """What the host reaches by it is a network of ours: nobody is warned of it."""
    before = linux.surroundings()
    reach(linux, [*SPANNED, toward, on_host])

    assert linux.surroundings() == before
