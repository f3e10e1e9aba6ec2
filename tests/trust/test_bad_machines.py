"""Machines in a bad way: each time one clear line that says what to do, and nothing left.

Full and read-only disks, programs that are missing, things of others under our names, a store
that is broken, too few descriptors. When the machine is well again, so is everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.docker.stage import eventually
from tests.lab import Daemon, DaemonFailed, Machine, Switch, inventory
from tests.lab.daemon import Answer
from tests.lab.inventory import Inventory

pytestmark = pytest.mark.root

DATA, RUN = "/var/lib/fairlead", "/run/fairlead"
LEFT = (RUN, f"{DATA}/containers", f"{DATA}/volumes")
RESTLESS = (f"{RUN}/dataplane.log",)
FULL = "is the disk full or mounted read-only?"
BODY = {
    "Image": "busybox",
    "Cmd": ["sleep", "1000000"],
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/kept": {}},
    "HostConfig": {"NetworkMode": "red", "PortBindings": {"80/tcp": [{"HostPort": "9090"}]}},
}


@pytest.fixture
def host() -> Iterator[Machine]:
    """A machine of its own for each test: it will be in a bad way."""
    with Switch() as switch:
        yield switch.machine()


@pytest.fixture
def daemon(host: Machine) -> Iterator[Daemon]:
    """A daemon with busybox and the network red, on disks of its own."""
    small(host, DATA, 24)
    small(host, RUN, 4)
    with Daemon(host, f"--cgroup-parent={parent(host)}") as running:
        running.import_busybox()
        running.docker("network", "create", "red")
        running.docker("run", "--rm", "--network", "red", "busybox", "true")
        yield running


def parent(host: Machine) -> str:
    return f"/fairlead-bad-{host.pid}"


def look(host: Machine) -> Inventory:
    """All that could be left, but for programs that are kept for the next change."""
    found = inventory.take(host, cgroups=parent(host), files=LEFT, without=RESTLESS)
    return found.where(lambda line: "--noflush" not in line)


def small(host: Machine, folder: str, megabytes: int) -> None:
    """A small disk."""
    host.shell(f"mkdir -p {folder}; mount -t tmpfs -o size={megabytes}m,mode=711 small {folder}")


def fill(host: Machine, folder: str) -> None:
    """Not a byte more."""
    host.run(["sh", "-c", f"cat /dev/zero >{folder}/filler"], check=False)


def said(answer: Answer) -> str:
    """The message and the hint of a refusal."""
    assert answer.status >= 400, (answer.status, answer.body)
    told = answer.json
    return f"{told['message']} | {told.get('hint', '')}"


def refuses_to_start(daemon: Daemon) -> str:
    """The line with which a daemon ends that cannot start; there must be no more than one."""
    with pytest.raises(DaemonFailed) as failed:
        daemon.start()
    lines = [line for line in str(failed.value).splitlines()[1:] if line]
    assert lines[-1].startswith("fairlead: "), lines
    assert not any("Traceback" in line for line in lines), lines
    return lines[-1]


def query(host: Machine, sql: str) -> str:
    """What the store answers to a query."""
    program = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        " print(db.execute(sys.argv[2]).fetchall()); db.commit()"
    )
    return host.run([sys.executable, "-c", program, f"{DATA}/fairlead.db", sql]).stdout


def without(host: Machine, *programs: str) -> None:
    """Takes programs off the machine: an overlay hides them."""
    for number, folder in enumerate(("/usr/bin", "/usr/sbin")):
        over = f"/run/.lab/hide{number}"
        hidden = "".join(f"mknod {over}/{name} c 0 0\n" for name in programs)
        host.shell(
            f"mkdir {over} {over}.work\n{hidden}mount -t overlay"
            f" -o lowerdir={folder},upperdir={over},workdir={over}.work lab {folder}"
        )


# Disks


@pytest.mark.parametrize("folder", [DATA, RUN])
def test_a_full_disk(daemon: Daemon, host: Machine, folder: str) -> None:
    """What cannot be written down is refused and undone; once there is room all goes on."""
    before = look(host)
    created = daemon.api("POST", "/containers/create?name=cc", BODY)
    assert created.status == 201
    fill(host, folder)
    answers = {
        "start": daemon.api("POST", "/containers/cc/start"),
        "network": daemon.api("POST", "/networks/create", {"Name": "green"}),
        "create": daemon.api("POST", "/containers/create?name=dd", BODY),
    }
    print({name: (answer.status, answer.body) for name, answer in answers.items()})
    refused = ["start"] if folder == RUN else list(answers)
    for name in refused:
        told = said(answers[name])
        assert "No space left" in told or "full" in told, (name, told)
    assert daemon.api("GET", "/containers/cc/json").json["State"]["Status"] == "created"
    assert host.run(["ss", "-Hltn", "sport = :9090"]).stdout == ""
    host.shell(f"rm {folder}/filler")
    assert daemon.api("POST", "/containers/cc/start").status == 204
    for name in ("cc", "dd"):
        answer = daemon.api("DELETE", f"/containers/{name}?force=1&v=1")
        assert answer.status in (204, 404), answer.body
    daemon.api("DELETE", "/networks/green")
    inventory.settles(lambda: look(host), before)


def test_a_disk_that_fills_while_a_container_runs(daemon: Daemon, host: Machine) -> None:
    """It can be stopped and removed on a full disk, or as soon as there is room."""
    before = look(host)
    assert daemon.api("POST", "/containers/create?name=cc", BODY).status == 201
    assert daemon.api("POST", "/containers/cc/start").status == 204
    fill(host, DATA)
    answer = daemon.api("DELETE", "/containers/cc?force=1&v=1")
    print(answer.status, answer.body)
    if answer.status != 204:
        told = said(answer)
        assert "No space left" in told or "full" in told, told
        host.shell(f"rm {DATA}/filler")
        answer = daemon.api("DELETE", "/containers/cc?force=1&v=1")
        assert answer.status == 204, answer.body
    inventory.settles(lambda: look(host), before)


def test_a_read_only_store(daemon: Daemon, host: Machine) -> None:
    """A start that could write nothing down is refused in one line."""
    daemon.stop()
    host.shell(f"mount -o remount,ro {DATA}")
    assert FULL in refuses_to_start(daemon)
    host.shell(f"mount -o remount,rw {DATA}")
    daemon.start()
    assert daemon.api("POST", "/networks/create", {"Name": "green"}).status == 201


# The store


def test_a_store_that_is_no_store(daemon: Daemon, host: Machine) -> None:
    """It is refused in one line that names the file, and left as it is."""
    daemon.stop()
    path = host.path(f"{DATA}/fairlead.db")
    host.shell(f"rm -f {DATA}/fairlead.db-*")
    path.write_bytes(b"scribble" * 1000)
    line = refuses_to_start(daemon)
    assert f"{DATA}/fairlead.db" in line
    assert "not a database" in line
    assert path.read_bytes() == b"scribble" * 1000


@pytest.mark.parametrize("kind", ["network", "container", "volume"])
def test_a_document_that_is_none(daemon: Daemon, host: Machine, kind: str) -> None:
    """A scribble in the store stops the start with a line that names it; nothing is deleted."""
    assert daemon.api("POST", "/containers/create?name=cc", BODY).status == 201
    daemon.stop()
    scribble = f"UPDATE document SET body=CAST('scribble' AS BLOB) WHERE kind='{kind}'"
    query(host, scribble)
    before = query(host, "SELECT kind, id, body FROM document ORDER BY kind, id")
    assert "scribble" in before
    line = refuses_to_start(daemon)
    assert kind in line, line
    assert "fairlead.db" in line
    assert query(host, "SELECT kind, id, body FROM document ORDER BY kind, id") == before


# Programs


@pytest.mark.parametrize(
    ("programs", "hint"),
    [
        (("conmon",), "conmon is not installed"),
        (("crun", "runc"), "install crun or runc, and conmon"),
        (("iptables-save", "iptables-restore"), "install the package iptables"),
    ],
)
def test_a_program_is_missing_at_the_start(
    host: Machine, programs: tuple[str, ...], hint: str
) -> None:
    """The daemon says which, and has changed nothing."""
    without(host, *programs)
    before = host.run(["ip", "-json", "link"]).stdout
    daemon = Daemon(host)
    with pytest.raises(DaemonFailed) as failed:
        daemon.start()
    assert hint in str(failed.value)
    assert "Traceback" not in str(failed.value)
    assert host.run(["ip", "-json", "link"]).stdout == before
    assert host.run(["nft", "list", "ruleset"]).stdout == ""


@pytest.mark.parametrize("program", ["conmon", "crun", "umoci", "iptables-restore"])
def test_a_program_goes_missing(daemon: Daemon, host: Machine, program: str) -> None:
    """What needs it is refused with its name, and leaves nothing; the rest goes on."""
    before = look(host)
    if program == "umoci":
        # Unpacked when a container first needs it, so the image must be new.
        daemon.import_busybox("other")
    without(host, program)
    hidden = look(host)
    image = "other" if program == "umoci" else "busybox"
    created = daemon.api("POST", "/containers/create?name=cc", {**BODY, "Image": image})
    assert created.status == 201, created.body
    answer = daemon.api("POST", "/containers/cc/start")
    if answer.status == 204:
        # The program that is kept running, or the other runtime, does as well.
        assert program in ("iptables-restore", "crun"), program
    else:
        assert program in said(answer), said(answer)
    answer = daemon.api("DELETE", "/containers/cc?force=1&v=1")
    assert answer.status == 204, answer.body
    assert hidden.changes(before)
    inventory.settles(lambda: look(host), hidden)


def test_somebody_holds_the_lock_of_iptables(daemon: Daemon, host: Machine) -> None:
    """Nothing waits for a lock that is not ours for ever."""
    with host.popen(["flock", "/run/xtables.lock", "sleep", "1000"]) as holder:
        answer = daemon.api("POST", "/networks/create", {"Name": "green"})
        assert answer.status == 201, answer.body
        assert daemon.api("DELETE", "/networks/green").status == 204
        holder.kill()


# Containers


@pytest.mark.parametrize(
    ("command", "status", "code"),
    [
        (["false"], 204, 1),
        (["nosuch"], 400, 127),
        (["/etc"], 400, 126),
        (["sh", "-c", "exit 3"], 204, 3),
    ],
)
def test_a_container_that_ends_at_once(
    daemon: Daemon, host: Machine, command: list[str], status: int, code: int
) -> None:
    """Its end is known by its code, and it holds nothing."""
    before = look(host)
    body = {**BODY, "Cmd": command}
    assert daemon.api("POST", "/containers/create?name=cc", body).status == 201
    assert daemon.api("POST", "/containers/cc/start").status == status

    def state() -> dict[str, object]:
        found: dict[str, object] = daemon.api("GET", "/containers/cc/json").json["State"]
        return found

    eventually(lambda: not state()["Running"])
    assert state()["ExitCode"] == code
    assert host.run(["ss", "-Hltn", "sport = :9090"]).stdout == ""
    assert daemon.api("DELETE", "/containers/cc?v=1").status == 204
    inventory.settles(lambda: look(host), before)


def test_a_full_pool(daemon: Daemon, host: Machine) -> None:
    """One address too few is an error that names the network, and leaves nothing."""
    daemon.docker("network", "create", "--subnet", "10.99.0.0/30", "tiny")
    daemon.docker("run", "-d", "--name", "one", "--network", "tiny", "busybox", "sleep", "1000000")
    before = look(host)
    words = ("run", "--rm", "--network", "tiny", "-p", "9090:80", "busybox", "true")
    done = daemon.docker(*words, check=False)
    assert done.returncode == 125
    assert "no available IPv4 addresses on this network's address pools: tiny" in done.stderr
    inventory.settles(lambda: look(host), before)
    daemon.docker("rm", "-f", "one")
    daemon.docker(*words)


def test_no_pool_is_left(host: Machine) -> None:
    """The network that finds no subnet is refused in Docker's words, with what to do."""
    with Daemon(host, "--default-address-pool=base=10.98.0.0/24,size=25") as daemon:
        daemon.docker("network", "create", "one")
        before = look(host)
        told = said(daemon.api("POST", "/networks/create", {"Name": "two"}))
        assert "all predefined address pools have been fully subnetted" in told, told
        assert look(host).changes(before) == ""


# Things of others


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ("ip link add docker0 type bridge", "docker0"),
        ("ip link add docker0 type veth peer name other", "docker0"),
        ("iptables -N DOCKER; iptables -A DOCKER -j RETURN", "DOCKER"),
        ("iptables -t nat -N DOCKER", "DOCKER"),
    ],
)
def test_our_names_are_taken(host: Machine, theirs: str, named: str) -> None:
    """The start is refused, with a way out; what was there is as it was."""
    host.shell(theirs)
    before = host.snapshot()
    line = refuses_to_start(Daemon(host))
    assert named in line
    assert "--default-bridge-name" in line
    assert host.snapshot() == before


def test_a_network_s_bridge_is_something_else(daemon: Daemon, host: Machine) -> None:
    """A network that is to be on an interface which is no bridge is refused."""
    host.shell("ip link add theirs type veth peer name other")
    before = look(host)
    options = {"com.docker.network.bridge.name": "theirs"}
    told = said(daemon.api("POST", "/networks/create", {"Name": "green", "Options": options}))
    assert "theirs" in told
    assert look(host).changes(before) == ""


# Limits


def test_too_few_descriptors(daemon: Daemon, host: Machine) -> None:
    """A daemon that may open no more refuses what needs more, and recovers."""
    before = look(host)
    pid = str(daemon.pid)
    open_now = len(host.run(["ls", f"/proc/{pid}/fd"]).stdout.split())
    assert daemon.api("POST", "/containers/create?name=cc", BODY).status == 201
    for spare in (3, 6, 9, 12):
        host.run(["prlimit", "--pid", pid, f"--nofile={open_now + spare}:"])
        try:
            answer = daemon.api("POST", "/containers/cc/start", timeout=20)
        except OSError as error:
            # Not even a connection could be accepted.
            print(spare, error)
        else:
            print(spare, answer.status, answer.body)
            if answer.status == 204:
                break
            assert "open files" in said(answer), said(answer)
    host.run(["prlimit", "--pid", pid, "--nofile=1024:"])
    eventually(lambda: daemon.api("GET", "/_ping").status == 200)
    assert daemon.api("POST", "/containers/cc/start").status in (204, 304)
    assert daemon.api("DELETE", "/containers/cc?force=1&v=1").status == 204
    inventory.settles(lambda: look(host), before)
