"""Namespaces of others as sandboxes: of `ip netns`, of a process, with links of their own."""

from __future__ import annotations

import pytest

from tests.library.conftest import Lab

pytestmark = pytest.mark.root

THEIRS = """
import difflib

def sh(script):
    return subprocess.run(script, shell=True, check=True, capture_output=True, text=True).stdout

def theirs(name):
    '''A namespace of `ip netns` with an interface eth0 that somebody made.'''
    sh(f"ip netns add {name}; ip -n {name} link add eth0 type bridge; ip -n {name} link set lo up;"
       f"ip -n {name} address add 198.51.100.7/24 dev eth0; ip -n {name} link set eth0 up;"
       f"ip netns exec {name} sysctl -q net.ipv6.conf.eth0.accept_ra=1")

def picture(name):
    '''All that is configured in it. A file may go with its interface while it is read.'''
    return sh(f"ip netns exec {name} sh -c 'ip -o link | sed s/@.*:/:/; ip -o -4 address; "
              "ip route; ip -6 route show proto static; nft list ruleset; "
              "cat /proc/sys/net/ipv6/conf/*/disable_ipv6 || true'")

def as_before(name, before):
    '''Wait until a namespace is configured as it was; tell the difference if it never is.'''
    try:
        eventually(lambda: picture(name) == before)
    except AssertionError:
        lines = difflib.unified_diff(before.splitlines(), picture(name).splitlines(), n=0)
        raise AssertionError("\\n".join(lines)) from None

def refused(act, kind):
    try:
        act()
    except kind as refusal:
        return [refusal.message, refusal.hint]
"""


def test_one_of_ip_netns_keeps_what_it_had(lab: Lab) -> None:
    """Names and packets go; its own eth0 stands; afterwards all of it is as before."""
    found = lab.py(
        THEIRS
        + """
theirs("b")
before = picture("b")
with fairlead.open(FOLDER) as host:
    web = host.networks.create("web")
    a, b = host.sandboxes.create("a"), host.sandboxes.adopt("b", "b")
    a.join(web)
    tell([b.join(web).interface, b.adopted])
    serve(a, 80, "from a"); serve(b, 80, "from b")
    tell([hear(b, "a", 80), hear(a, "b", 80)])
    tell(sh(f"ip netns exec b cat /proc/sys/net/ipv6/conf/eth1/disable_ipv6 "
            "/proc/sys/net/ipv6/conf/eth0/disable_ipv6").split())
    tell("198.51.100.7" in sh("ip -n b address") and str(host.plan_repair()) == "")
    b.leave(web)
    as_before("b", before)
    b.join(web)
    tell(hear(a, "b", 80))
    b.remove()
    as_before("b", before)
    tell([sh("ip netns list").split()[0], "b" in host.sandboxes, str(host.plan_repair())])
"""
    )

    assert found == [
        ["eth1", "/run/netns/b"],
        ["from a", "from b"],
        ["1", "0"],
        True,
        "from b",
        ["b", False, ""],
    ]


def test_interface_names_do_not_collide(lab: Lab) -> None:
    """A free one is chosen; a taken one that was asked for is refused, also one made later."""
    found = lab.py(
        THEIRS
        + """
theirs("b")
with fairlead.open(FOLDER) as host:
    one, two = host.networks.create("one"), host.networks.create("two")
    b = host.sandboxes.adopt("b", "/run/netns/b")
    tell(refused(lambda: b.join(one, interface="eth0"), fairlead.Failed))
    tell(b.join(one, interface="lan0").interface)
    sh("ip -n b link add eth1 type bridge")
    tell(b.join(two).interface)
    tell(len(b.endpoints))
    c = host.sandboxes.create("c")
    sh(f"nsenter --net={c.netns} ip link add eth0 type bridge")
    tell(c.join(one).interface)
"""
    )

    assert found[0] == ["interface name eth0 is taken in sandbox b", ""]
    assert found[1:] == ["lan0", "eth2", 2, "eth1"]


def test_a_way_out_of_its_own_stays(lab: Lab) -> None:
    """Its default route is not touched; ports cannot lead there, and the refusal says why."""
    found = lab.py(
        THEIRS
        + """
theirs("b")
sh("ip -n b route add default via 198.51.100.1")
with fairlead.open(FOLDER) as host:
    web = host.networks.create("web")
    a, b = host.sandboxes.create("a"), host.sandboxes.adopt("b", "b")
    a.join(web); b.join(web)
    serve(a, 80, "hello")
    tell([hear(b, "a", 80), sh("ip -n b route show default").split()[2]])
    tell(refused(lambda: b.publish("8080:80"), fairlead.Failed))
    b.remove()
    tell(sh("ip -n b route show default").split()[2])
"""
    )

    assert found[0] == ["hello", "198.51.100.1"]
    assert found[1][0] == "sandbox b has no way out, so no port can lead to it"
    assert "default route of its own" in found[1][1]
    assert found[2] == "198.51.100.1"


def test_a_process_s_namespace_outlives_the_process(lab: Lab) -> None:
    """By its pid; our pin keeps it when the process ends, over a restart as well."""
    found = lab.py(
        THEIRS
        + """
process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep 1000"],
                           stdout=subprocess.PIPE, text=True)
process.stdout.readline()
with fairlead.open(FOLDER) as host:
    web = host.networks.create("web")
    a, p = host.sandboxes.create("a"), host.sandboxes.adopt("p", process.pid)
    a.join(web); p.join(web, ip=str(web.subnets[0][9]))
    serve(a, 80, "hello")
    tell(sh(f"nsenter --net=/proc/{process.pid}/ns/net ip -o -4 address show eth0").split()[3]
         .startswith(str(web.subnets[0][9])))
    tell(hear(p, "a", 80))
    process.kill(); process.wait()
    tell(hear(p, "a", 80))
with fairlead.open(FOLDER) as host:
    p = host.sandboxes["p"]
    tell([hear(p, "a", 80), host.warnings, str(host.plan_repair())])
    p.remove()
    tell(len(host.networks["web"].endpoints))
"""
    )

    assert found == [True, "hello", "hello", ["hello", [], ""], 1]


def test_a_lost_pin(lab: Lab) -> None:
    """Pinned again while the namespace is there; else the sandbox goes, and a warning tells."""
    found = lab.py(
        THEIRS
        + """
theirs("b"); theirs("c")
with fairlead.open(FOLDER) as host:
    web = host.networks.create("web")
    for name in "bc":
        host.sandboxes.adopt(name, name).join(web)
    pins = [str(host.sandboxes[name].netns) for name in "bc"]
for pin in pins:
    sh(f"umount -l {pin}")
sh("ip netns delete c; ip netns add c")
before = picture("c")
with fairlead.open(FOLDER) as host:
    tell([box.name for box in host.sandboxes])
    tell(host.warnings)
    tell(str(host.plan_repair()))
    a = host.sandboxes.create("a")
    a.join("web")
    serve(a, 80, "hello")
    tell(hear(host.sandboxes["b"], "a", 80))
tell(picture("c") == before)
"""
    )

    assert found[0] == ["b"]
    assert found[1] == ["sandbox c is gone: its namespace /run/netns/c is"]
    assert found[2:] == ["", "hello", True]


def test_what_cannot_be_adopted(lab: Lab) -> None:
    """Each is refused in one clear line, and nothing changes."""
    found = lab.py(
        THEIRS
        + """
theirs("b")
with fairlead.open(FOLDER) as host, fairlead.open("/run/two") as two:
    web = host.networks.create("web")
    a, b = host.sandboxes.create("a"), host.sandboxes.adopt("b", "b")
    b.join(web)
    adopt = host.sandboxes.adopt
    tell(refused(lambda: adopt("x", "b"), fairlead.Conflict))
    tell(refused(lambda: adopt("x", a.netns), fairlead.Conflict))
    tell(refused(lambda: two.sandboxes.adopt("x", "b"), fairlead.Conflict))
    tell(refused(lambda: adopt("x", 1), fairlead.Invalid))
    tell(refused(lambda: adopt("x", "/proc/self/ns/net"), fairlead.Invalid))
    tell(refused(lambda: adopt("x", 4194304), fairlead.NotFound))
    tell(refused(lambda: adopt("x", "nosuch"), fairlead.NotFound))
    tell(refused(lambda: adopt("x", "a/b"), fairlead.Invalid))
    tell(refused(lambda: adopt("x", "/etc/passwd"), fairlead.Invalid))
    tell(refused(lambda: adopt("x", "/proc/self/ns/mnt"), fairlead.Invalid))
    tell([len(host.sandboxes), len(two.sandboxes), str(host.plan_repair())])
"""
    )

    messages = [each[0] for each in found[:-1]]
    assert messages[0] == "the namespace at /run/netns/b is sandbox b already"
    assert messages[1].endswith("is sandbox a already")
    assert messages[2].startswith("names are served in the namespace at /run/netns/b already")
    assert all("is the host's own network namespace" in text for text in messages[3:5])
    assert messages[5] == "no network namespace at /proc/4194304/ns/net"
    assert messages[6] == "no network namespace at /run/netns/nosuch"
    assert "no path from the root" in messages[7]
    assert messages[8:] == [
        "/etc/passwd is no network namespace",
        "/proc/self/ns/mnt is no network namespace",
    ]
    assert found[-1] == [2, 0, ""]


def test_an_adopted_one_gets_ipv6_where_its_network_has_it(lab: Lab) -> None:
    """On our interface only; what it had for its own is left."""
    found = lab.py(
        THEIRS
        + """
theirs("b")
sh("ip netns exec b sysctl -q net.ipv6.conf.eth0.disable_ipv6=0")
with fairlead.open(FOLDER) as host:
    dual = host.networks.create("dual", subnet=["10.5.0.0/24", "fd00:5::/64"], ipv6=True)
    a, b = host.sandboxes.create("a"), host.sandboxes.adopt("b", "b")
    a.join(dual); end = b.join(dual)
    serve(a, 80, "hello")
    tell([hear(b, str(a.endpoints[0].ipv6), 80), str(end.ipv6)])
    tell("inet6 fe80" in sh("ip -n b address show eth0"))
    b.remove()
    tell("inet6 fe80" in sh("ip -n b address show eth0"))
"""
    )

    assert found[0][0] == "hello"
    assert found[0][1].startswith("fd00:5::")
    assert found[1:] == [True, True]
