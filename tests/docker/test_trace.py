"""`fairlead trace`, with both firewalls: why a port is closed, and that nobody feels the asking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.images import PYTHON, TALK, make_tools
from tests.docker.lan import Lan
from tests.docker.stage import eventually
from tests.lab import Daemon, Switch
from tests.lab.daemon import PROGRAM, SOCKET

pytestmark = pytest.mark.root

FEW = "203.0.113.0/24"
LEFT_OUT = "drops it, which is not fairlead's"
THEIRS = """\
table inet theirs {
    chain theirs {
        type filter hook prerouting priority -150
        tcp dport 8080 counter drop
    }
}
"""


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def lan(request: pytest.FixtureRequest) -> Iterator[Lan]:
    """Two networks: on one a server for all and one for a few, on the other somebody."""
    with ExitStack() as stack:
        switch = stack.enter_context(Switch())
        host, neighbour = switch.machine("host"), switch.machine("neighbour")
        daemon = stack.enter_context(Daemon(host, "--firewall-backend", request.param))
        daemon.import_busybox()
        make_tools(daemon)
        made = Lan(daemon, neighbour)
        made.create("front")
        made.create("back")
        made.serve("web", "tcp:80 udp:80", "--network front -p 8080:80 -p 8081:81")
        listed = f"--network name=front,driver-opt=fairlead.publish_from={FEW}"
        made.serve("few", "tcp:80", f"{listed} -p 8085:80")
        made.tools("db", "--network back")
        made.run("side", "--network container:web")
        yield made


def traced(lan: Lan, source: str, target: str) -> tuple[str, str]:
    """What is said of a packet, and the verdict."""
    asked = {"From": source, "To": target}
    found = lan.daemon.api("POST", "/fairlead/trace", asked).json
    return "\n".join(found["Lines"]), found["Verdict"]


def last(said: str) -> str:
    """The verdict, without what to do."""
    return [line for line in said.splitlines() if not line.startswith(" ")][-1]


def test_why_a_port_is_open_or_closed(lan: Lan) -> None:
    """From a machine outside, from a container and from the host; what it met is named."""
    out = str(lan.neighbour.address)
    done = lan.daemon.fairlead("trace", out, ":8080")
    said = done.stdout
    assert last(said) == "open: web listens on 80/tcp"
    assert "8080/tcp of this host leads to port 80 of web on network front" in said
    assert "comes   by eth0" in said
    assert "becomes a packet for " in said

    assert last(traced(lan, out, ":8081")[0]) == "closed: nobody listens on 81/tcp in web"
    assert last(traced(lan, out, ":8082")[0]).startswith("closed: nobody listens on 8082/tcp of")

    said, _ = traced(lan, out, ":8085")
    assert last(said) == f"closed: the published port is for {FEW}, and for this host"
    assert "inet fairlead c_callers_" in said
    assert last(traced(lan, "203.0.113.9", ":8085")[0]) == "open: few listens on 80/tcp"

    done = lan.daemon.fairlead("trace", "db", ":80", "--to", "web", check=False)
    assert (last(done.stdout), done.returncode) == ("closed: networks are closed to each other", 1)
    assert "fairlead network connect" in done.stdout

    # By the proxy, and on one network.
    for source in ("host", "db"):
        said, verdict = traced(lan, source, ":8080")
        assert (last(said), verdict) == ("open: web listens on 80/tcp", "open")
        assert "proxy   takes it, and asks web at " in said
    assert last(traced(lan, "few", "side:80")[0]) == "open: web listens on 80/tcp"
    assert last(traced(lan, "few", "web:80/udp")[0]) == "open: web listens on 80/udp"
    assert last(traced(lan, "web", f"{out}:7")[0]).startswith("leaves: it leaves this host by eth0")


def test_rules_of_others(lan: Lan) -> None:
    """They are named with their words, and what to do about them; ours goes on as it was."""
    out = str(lan.neighbour.address)
    lan.host.run(["nft", "-f", "-"], stdin=THEIRS)
    said, verdict = traced(lan, out, ":8080")
    lan.host.shell("nft delete table inet theirs")
    assert "foreign inet theirs theirs: tcp dport 8080 counter drop" in said
    assert (LEFT_OUT in last(said), verdict) == (True, "closed")

    rule = "FORWARD -p tcp -m tcp --dport 80 -j DROP"
    lan.host.shell(f"iptables -I {rule}")
    said, verdict = traced(lan, out, ":8080")
    lan.host.shell(f"iptables -D {rule}")
    assert "foreign ip filter FORWARD: -p tcp -m tcp --dport 80 -j DROP" in said
    assert f"iptables -t filter -D {rule}" in said
    assert (LEFT_OUT in last(said), verdict) == (True, "closed")


def test_nobody_feels_it(lan: Lan) -> None:
    """No connection is kept, no rule is left, nothing is mended, the doctor finds nothing."""
    tables = lan.host.run(["nft", "list", "tables"]).stdout
    for source in ("198.51.100.77", "db", "host"):
        traced(lan, source, f"{lan.host.address}:8080")
    kept = lan.host.run(["conntrack", "-L"]).stdout
    assert "src=198.51.100.77" not in kept
    assert f"src={lan.address('db', 'back')}" not in kept
    assert lan.host.run(["nft", "list", "tables"]).stdout == tables
    assert lan.daemon.fairlead("doctor").returncode == 0
    assert "is mended" not in lan.daemon.log


def test_what_is_really_sent(lan: Lan) -> None:
    """It is told packet by packet; what is made for that goes with whoever asked, or died."""
    watch = [str(PROGRAM), "trace", "any", ":8080", "--watch"]
    env = {"DOCKER_HOST": f"unix://{SOCKET}"}
    with lan.host.popen(watch, env=env) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("watching for tcp from any to port 8080")
        assert "fairlead_trace" in lan.host.run(["nft", "list", "tables"]).stdout
        assert lan.daemon.fairlead("doctor").returncode == 0
        refused = lan.daemon.api("POST", "/fairlead/trace", {"From": "host", "To": ":8080"})
        assert refused.status == 409
        ask = [PYTHON, str(TALK), "ask", "tcp", str(lan.host.address), "8080"]
        assert lan.neighbour.run(ask).stdout.split()[-1] == "web"
        told = ""
        while "open: web listens on 80/tcp" not in told:
            told += watching.stdout.readline()
        assert f"tcp from {lan.neighbour.address} to {lan.host.address}:8080" in told
        watching.terminate()
    eventually(lambda: "fairlead_trace" not in lan.host.run(["nft", "list", "tables"]).stdout)

    with lan.host.popen(watch, env=env) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("watching")
        lan.daemon.kill9()
    eventually(lambda: "fairlead_trace" not in lan.host.run(["nft", "list", "tables"]).stdout)
    lan.daemon.start()
    assert last(traced(lan, str(lan.neighbour.address), ":8080")[0]).startswith("open")
