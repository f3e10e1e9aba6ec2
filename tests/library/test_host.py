"""A folder of networks: what is made works, outlives its maker, and goes without a trace."""

from __future__ import annotations

from textwrap import indent

import pytest

from tests.lab import Switch
from tests.library.conftest import Lab

pytestmark = pytest.mark.root

LAB = """
    web = host.networks.create("web", subnet="10.5.0.0/24")
    a = host.sandboxes.create("a")
    b = host.sandboxes.create("b")
    a.join(web, aliases=["db"], ip="10.5.0.10")
    b.join(web)
    a.publish("8080:80")
"""

USED = """
with fairlead.open(FOLDER, temporary=True) as host:
    host.networks.create("web")
"""
"""Afterwards a machine has the built-in chains, and its settings are those of a router."""


def test_two_sandboxes_talk_by_name_and_by_port(lab: Lab, switch: Switch) -> None:
    """Names, aliases, the host's port from the host and from another machine; /etc/hosts."""
    other = switch.machine("other")
    (found,) = lab.py(
        f"""
with fairlead.open(FOLDER) as host:
    {LAB}
    serve(a, 80, "hello from a")
    tell([hear(b, name, 80) for name in ("a", "db", "db.web", "10.5.0.10")])
"""
    )

    assert found == ["hello from a"] * 4
    assert lab.hear("127.0.0.1", 8080) == "hello from a"
    assert lab.hear(str(lab.machine.address), 8080, other) == "hello from a"
    assert lab.hear("10.5.0.10", 80, other) is None


def test_what_was_made_outlives_its_maker_and_is_found_again(lab: Lab) -> None:
    """While nobody has the folder open, names and ports go on; the next finds it all."""
    lab.py(
        f"""
with fairlead.open(FOLDER) as host:
    {LAB}
    serve(a, 80, "hello")
"""
    )
    assert lab.hear("127.0.0.1", 8080) == "hello"

    found = lab.py(
        """
with fairlead.open(FOLDER) as host:
    tell(str(host.plan_repair()))
    web, a, b = host.networks["web"], host.sandboxes["a"], host.sandboxes["b"]
    tell([str(web.subnets[0]), str(a.endpoints[0].ipv4), b.endpoints[0].network])
    tell([[p.host_port, p.container_port] for p in a.ports])
    tell(hear(b, "db", 80))
    b.leave(web)
    b.join("web", aliases=["again"])
    tell(hear(b, "db", 80))
    tell(a.run(["getent", "hosts", "again"], capture=True).returncode)
"""
    )

    assert found[0] == ""
    assert found[1] == ["10.5.0.0/24", "10.5.0.10", "web"]
    assert [8080, 80] in found[2]
    assert found[3:] == ["hello", "hello", 0]


def test_a_killed_process_leaves_what_it_had_made(lab: Lab) -> None:
    """kill -9 at any moment: the next opens the folder, all is right, and nothing is left over."""
    lab.py(USED)
    before = lab.machine.snapshot()
    busy = """
with fairlead.open(FOLDER) as host:
    net = host.networks["n"] if "n" in host.networks else host.networks.create("n")
    tell("open")
    while True:
        for i in range(3):
            name = f"s{i}"
            if name in host.sandboxes:
                host.sandboxes[name].remove()
            else:
                box = host.sandboxes.create(name)
                box.join(net)
                box.publish(f"{9000 + i}:80")
"""
    for delay in (0.0, 0.11, 0.23, 0.31, 0.47):
        worker = lab.start(busy)
        assert worker.stdout is not None
        assert worker.stdout.readline() == '"open"\n'
        lab.py(f"time.sleep({delay})")
        worker.kill()
        worker.wait()
        worker.stdout.close()

        (found,) = lab.py(
            """
with fairlead.open(FOLDER) as host:
    right = [not host.plan_repair(), not host.warnings]
    for box in host.sandboxes:
        right.append(box.run(["true"]).returncode == 0)
        if box.endpoints:
            gateway = str(box.endpoints[0].gateways[0])
            right.append(box.run(["ping", "-c1", "-W5", gateway], capture=True).returncode == 0
                         if os.path.exists("/bin/ping") else True)
    tell(right)
"""
        )
        assert all(found)

    lab.py("fairlead.open(FOLDER, temporary=True).close()")
    assert lab.machine.snapshot() == before
    assert not [line for line in lab.machine.processes() if "fairlead" in line]


def test_one_process_has_a_folder_open(lab: Lab) -> None:
    """The second is told who has it; two folders are two worlds; a daemon's data is not opened."""
    holder = lab.start("host = fairlead.open(FOLDER); tell(os.getpid()); time.sleep(1000)")
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())

    found = lab.py(
        """
try:
    fairlead.open(FOLDER)
except fairlead.Conflict as refusal:
    tell([refusal.message, refusal.hint])
with fairlead.open("/run/another", temporary=True) as host:
    host.networks.create("web")
    tell(host.folder.name)
"""
    )

    assert found[0][0] == f"another process (pid {pid}) has /run/mylab open"
    assert "close it there" in found[0][1]
    assert found[1] == "another"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert lab.py("fairlead.open(FOLDER).close(); tell('open')") == ["open"]


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
def test_two_folders_do_not_see_each_other(lab: Lab, firewall: str) -> None:
    """Each keeps to its own links, rules and subnets, also when the other repairs or goes."""
    found = lab.py(
        f"firewall = {firewall!r}"
        """
with fairlead.open(FOLDER) as one, fairlead.open("/run/two", firewall=firewall) as two:
    nets = [host.networks.create("web") for host in (one, two)]
    tell(nets[0].subnets[0].overlaps(nets[1].subnets[0]))
    boxes = [host.sandboxes.create("a") for host in (one, two)]
    for box, net in zip(boxes, nets):
        box.join(net)
    boxes[0].publish("8080:80"); boxes[1].publish("8081:80")
    serve(boxes[0], 80, "one"); serve(boxes[1], 80, "two")
    tell([str(host.plan_repair()) for host in (one, two)])
    tell([len(host.sandboxes) for host in (one, two)])
    tell(hear(boxes[0], str(boxes[1].endpoints[0].ipv4), 80))
    two.destroy()
    tell(str(one.plan_repair()))
"""
    )

    assert found == [False, ["", ""], [1, 1], None, ""]
    assert lab.hear("127.0.0.1", 8080) == "one"
    assert lab.hear("127.0.0.1", 8081) is None


def test_a_daemon_and_a_library_do_not_see_each_other(lab: Lab) -> None:
    """Docker's names are the daemon's; the library's chains and bridges have their own."""
    from tests.lab import Daemon

    with Daemon(lab.machine) as daemon:
        daemon.fairlead("network", "create", "web")
        lab.py(f"with fairlead.open(FOLDER) as host:{LAB}    serve(a, 80, 'mine')\n")
        with_both = lab.machine.snapshot()

        daemon.restart()

        assert lab.machine.snapshot() == with_both
        assert lab.hear("127.0.0.1", 8080) == "mine"
        assert lab.py("with fairlead.open(FOLDER) as host: tell(str(host.plan_repair()))") == [""]
        assert "10.5.0.0" not in daemon.fairlead("network", "tree").stdout
    refused = lab.py(
        """
try:
    fairlead.open("/var/lib/fairlead")
except fairlead.Conflict as refusal:
    tell(refusal.message)
"""
    )
    assert refused == ["/var/lib/fairlead is the data of a fairlead daemon"]


def test_what_is_temporary_leaves_nothing(lab: Lab) -> None:
    """Not a link, rule, mount, process or file, also when its user fails."""
    lab.py(USED)
    before = lab.machine.snapshot()

    found = lab.py(
        f"""
try:
    with fairlead.open(FOLDER, temporary=True) as host:{indent(LAB, "    ")}
        raise KeyError("mine")
except KeyError:
    tell(os.path.exists(FOLDER))
"""
    )

    assert found == [False]
    assert lab.machine.snapshot() == before
    assert not [line for line in lab.machine.processes() if "fairlead" in line]


def test_what_others_keep_in_the_folder_stays(lab: Lab) -> None:
    """Even a temporary folder goes only if nothing but ours is in it."""
    found = lab.py(
        """
with fairlead.open(FOLDER, temporary=True) as host:
    host.sandboxes.create("a")
    open(FOLDER + "/notes.txt", "w").write("mine")
tell(os.listdir(FOLDER))
"""
    )

    assert found == [["notes.txt"]]


def test_a_repair_puts_back_what_others_took(lab: Lab) -> None:
    """Said before it is done, and done: links, rules and the process for names."""
    found = lab.py(
        f"""
with fairlead.open(FOLDER) as host:
    {LAB}
    serve(a, 80, "hello")
    subprocess.run(["ip", "link", "delete", web.bridge], check=True)
    subprocess.run(["iptables", "-F"], check=True)
    plan = host.plan_repair()
    tell([any(line.startswith("+ bridge  " + web.bridge) for line in plan.lines), bool(plan)])
    tell([len(host.repair()) >= len(plan), str(host.plan_repair()), hear(b, "db", 80)])
    (pid,) = subprocess.run(["pgrep", "-x", "fairlead-datapl"], capture_output=True,
                            text=True).stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    tell(eventually(lambda: hear(b, "db", 80)))
"""
    )

    assert found == [[True, True], [True, "", "hello"], "hello"]
    assert lab.hear("127.0.0.1", 8080) == "hello"


def test_plans_change_nothing_and_explain_says_why(lab: Lab) -> None:
    """What would be made is named, and what is there has a reason."""
    found = lab.py(
        f"""
with fairlead.open(FOLDER) as host:
    {LAB}
    plan = host.networks.plan_create("front", subnet="10.6.0.0/24")
    tell([any("address 10.6.0.1/24" in line for line in plan.lines), "front" in host.networks])
    c = host.sandboxes.create("c")
    tell([any("veth" in line for line in c.plan_join(web).lines), len(c.endpoints)])
    c.remove()
    tell(len(host.explain("a")) > 5 and "because a is on network web" in "\\n".join(host.explain("a")))
    tell(any("remove" in step.verb for step in host.networks.create("x").plan_remove()))
    tell(str(host.plan_repair()))
"""
    )

    assert found == [[True, False], [True, 0], True, True, ""]


def test_ipv6_is_an_equal(lab: Lab) -> None:
    """Names as AAAA, published ports and connections, on a network without IPv4 as well."""
    found = lab.py(
        """
with fairlead.open(FOLDER) as host:
    net = host.networks.create("six", subnet="fd00:5::/64", ipv4=False, ipv6=True)
    a, b = host.sandboxes.create("a"), host.sandboxes.create("b")
    end = a.join(net, ip="fd00:5::10")
    b.join(net)
    a.publish("[::1]:8080:80")
    serve(a, 80, "six")
    tell([str(end.ipv6), end.ipv4, hear(b, "a", 80), "fd00:5::10" in (a.etc / "hosts").read_text()])
"""
    )

    assert found == [["fd00:5::10", None, "six", True]]
    assert lab.hear("::1", 8080) == "six"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("host.networks['nosuch']", "NotFound", "network nosuch not found"),
        ("host.networks['none']", "NotFound", "network none not found"),
        ("host.sandboxes['nosuch']", "NotFound", "sandbox nosuch not found"),
        ("host.networks.create('a b', subnet='10.5.0.0/33')", "Invalid", "10.5.0.0/33"),
        ("host.networks.create('x', gateway='10.9.0.1')", "Invalid", "in none of the subnets"),
        ("host.sandboxes.create('../x')", "Invalid", "invalid sandbox name"),
        ("host.sandboxes.create('a')", "Conflict", "sandbox a exists"),
        ("host.sandboxes.create('x', dns=['one.one'])", "Invalid", "invalid name server"),
        ("host.sandboxes.create('x', dns_search=['a\\nb'])", "Invalid", "invalid word"),
        ("host.sandboxes['a'].join('web', ip='10.5.9.1')", "Invalid", "10.5.9.1"),
        ("host.sandboxes['a'].join('web', ip='10.5.0.1')", "FairleadError", "in use"),
        ("host.sandboxes['a'].join('web', aliases='db')", "Invalid", "aliases are a list"),
        ("host.sandboxes['a'].publish('80:80')", "Failed", "no way out"),
        ("host.sandboxes['a'].unpublish('80:80')", "NotFound", "not published on 80:80"),
        ("host.sandboxes['a'].leave('web')", "NotFound", "not on network web"),
        ("fairlead.open('/proc/nosuch')", "Failed", "cannot be opened"),
        ("fairlead.open('/run')", "Invalid", "not empty, and not fairlead's"),
        ("fairlead.open('/etc/hosts')", "Failed", "cannot be opened"),
        ("fairlead.open('/run/y', firewall='pf')", "Invalid", "unknown firewall 'pf'"),
        ("fairlead.open('/run/' + 'x' * 99)", "Invalid", "too long"),
        ("fairlead.open('/run/y', pools=[('10.0.0.1/8', 16)])", "Invalid", "invalid pools"),
    ],
)  # fmt: skip
def test_what_is_refused(lab: Lab, call: str, error: str, words: str) -> None:
    """Each with an error of the library's, and nothing changes."""
    found = lab.py(
        f"""
with fairlead.open(FOLDER) as host:
    host.networks.create("web", subnet="10.5.0.0/24")
    host.sandboxes.create("a")
    before = [str(host.plan_repair()), len(host.networks), len(host.sandboxes)]
    try:
        {call}
    except fairlead.{error} as refusal:
        tell([refusal.message, isinstance(refusal, fairlead.FairleadError)])
    tell([str(host.plan_repair()), len(host.networks), len(host.sandboxes)] == before)
"""
    )

    assert words.lower() in found[0][0].lower()
    assert found[0][1] is True
    assert found[1] is True


def test_a_thing_that_is_gone_says_so(lab: Lab) -> None:
    """An object outlives what it names, and a closed host answers nothing but that."""
    found = lab.py(
        """
host = fairlead.open(FOLDER)
net, box = host.networks.create("web"), host.sandboxes.create("a")
net.remove(); box.remove()
for act in (lambda: net.name, lambda: box.endpoints, box.remove, net.remove, lambda: box.join("web")):
    try:
        act()
    except fairlead.NotFound as refusal:
        tell(refusal.status)
host.close(); host.close()
try:
    host.networks.create("x")
except fairlead.Unavailable as refusal:
    tell(refusal.message)
"""
    )

    assert found == [404] * 5 + ["this host is closed"]
