"""Routes to containers of other hosts, and answering for them: what every kernel does.

::

    host   eth0 192.0.2.1/24, 2001:db8::1/64 (somebody else's)
           br-one 10.9.0.1/24, fd09::1/64 ── proxies for 10.9.0.7 and fd09::7
"""

from __future__ import annotations

import errno
import subprocess
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.port import Kernel
from fairlead.model.state import (
    HOST,
    Address,
    Bridge,
    Neighbour,
    Proxy,
    Resource,
    Route,
    Scope,
    Sysctl,
    state,
)
from fairlead.model.step import Step
from fairlead.plan.diff import diff

LINK, PORT = "eth0", "br-one"
bridge = Bridge(HOST, PORT, "02:42:0a:09:00:01", 1500)
four = Address(HOST, PORT, ip_interface("10.9.0.1/24"))
six = Address(HOST, PORT, ip_interface("fd09::1/64"))
on = [
    Sysctl(HOST, f"net/{path.format(PORT)}", "0", PORT)
    for path in (
        "ipv6/conf/{}/disable_ipv6",
        "ipv6/conf/{}/accept_dad",
        # Without a port it has no carrier: some moments later Linux forgets the proxies.
        "ipv4/conf/{}/arp_evict_nocarrier",
        "ipv6/conf/{}/ndisc_evict_nocarrier",
    )
]
here = Neighbour(HOST, PORT, ip_address("10.9.0.2"), "02:42:0a:09:00:02")
proxies = [Proxy(HOST, PORT, ip_address(a)) for a in ("10.9.0.7", "10.9.0.8", "fd09::7")]
plain = Route(HOST, ip_network("10.9.0.7/32"), ip_address("192.0.2.7"), LINK)
crossed = Route(HOST, ip_network("10.9.0.8/32"), ip_address("2001:db8::8"), LINK)
hopped = Route(HOST, ip_network("fd09::7/128"), ip_address("fe80::5efe:c000:207"), LINK)
hop = Address(HOST, LINK, ip_interface("fe80::5efe:c000:201/128"))
WANT: list[Resource] = [bridge, four, six, *on, here, *proxies, plain, crossed, hopped, hop]
SETTINGS = Scope(settings=frozenset(item.key for item in on))


@pytest.fixture
def kernel(request: pytest.FixtureRequest, kernel: Kernel) -> Kernel:
    """With a link that leads to other hosts."""
    if isinstance(kernel, LinuxKernel):
        subprocess.run(
            ["sh", "-ec", f"""
                ip link set lo up
                ip link add {LINK} type veth peer name wire
                ip link set wire up
                sysctl -qw net.ipv6.conf.{LINK}.disable_ipv6=0 net.ipv6.conf.{LINK}.accept_dad=0
                ip addr add 192.0.2.1/24 dev {LINK}
                ip addr add 2001:db8::1/64 dev {LINK} nodad
                ip link set {LINK} up
                ip route add 198.51.100.0/24 via 192.0.2.254
            """],
            check=True,
        )  # fmt: skip
    return kernel


def reach(kernel: Kernel, want: list[Resource]) -> None:
    wanted = state(want)
    kernel.apply(diff(wanted, kernel.observe(SETTINGS)))
    kernel.reap()
    assert kernel.observe(SETTINGS) == wanted


def test_what_is_made_is_seen(kernel: Kernel) -> None:
    """Next hops of either family, proxies of either family; and in the end nothing is left."""
    reach(kernel, WANT)
    assert not diff(state(WANT), kernel.observe(SETTINGS))
    kernel.apply(diff({}, kernel.observe(Scope())))
    kernel.reap()
    assert not kernel.observe(Scope())


@pytest.mark.parametrize(
    "changed",
    [
        Route(HOST, plain.destination, ip_address("192.0.2.8"), LINK),
        Route(HOST, plain.destination, plain.via, LINK, ip_address("10.9.0.1")),
        Route(HOST, hopped.destination, ip_address("fe80::5efe:c000:208"), LINK),
        Neighbour(HOST, PORT, here.address, "02:42:0a:09:00:99"),
    ],
    ids=["another host", "from an address", "another hop", "another owner"],
)
def test_somebody_moves(kernel: Kernel, changed: Resource) -> None:
    """Of what has one key the new one is there."""
    reach(kernel, WANT)
    reach(kernel, [changed if item.key == changed.key else item for item in WANT])


def test_what_is_broken_is_seen(kernel: Kernel) -> None:
    """Each piece that is gone is missed, and comes back alone."""
    reach(kernel, WANT)
    loose: list[Resource] = [*proxies, plain, crossed, hopped, hop]
    for item in loose:
        kernel.apply([Step(item, None)])
        assert diff(state(WANT), kernel.observe(SETTINGS)) == (Step(None, item),)
        reach(kernel, WANT)
    kernel.apply([Step(proxies[0], None), Step(proxies[0], None)])


def test_a_bridge_that_goes_takes_them_along(kernel: Kernel) -> None:
    """What it answered for is gone with it, routes through other links are not."""
    reach(kernel, WANT)
    reach(kernel, [plain, crossed, hopped, hop])
    reach(kernel, WANT)


def test_a_route_through_no_link_is_refused(kernel: Kernel) -> None:
    """The link has to be there."""
    step = Step(None, Route(HOST, plain.destination, plain.via, "eth9"))
    with pytest.raises(Refused) as refused:
        kernel.apply([step])
    assert refused.value.code == errno.ENODEV


@pytest.mark.root
def test_which_hosts_are_neighbours(kernel: Kernel) -> None:
    """Those on a segment with this one, as long as the link is up; others are not."""
    if not isinstance(kernel, LinuxKernel):
        return
    own = ip_address("192.0.2.1")
    hosts = [ip_address(a) for a in ("192.0.2.7", "2001:db8::8", "198.51.100.1", "203.0.113.1")]

    found = kernel.ground(own, hosts)
    assert (found.link, found.near) == (LINK, dict.fromkeys(hosts[:2], LINK))
    assert found.six == {LINK}

    subprocess.run(["ip", "link", "set", LINK, "down"], check=True)
    found = kernel.ground(own, hosts)
    assert (found.link, found.near, found.six) == ("", {}, frozenset())
