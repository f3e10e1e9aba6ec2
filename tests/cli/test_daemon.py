"""fairlead's command line and fairlead's daemon together, with no docker client in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab import Daemon, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon with an image, two networks and a container on the first."""
    with Machine("cli") as machine, Daemon(machine) as made:
        made.import_busybox()
        made.fairlead("network", "create", "--subnet", "10.9.0.0/24", "front")
        made.fairlead("network", "create", "back")
        web = ["--name", "web", "--network", "front", "-p", "8080:80", "busybox", "sleep", "1000"]
        made.fairlead("run", "-d", *web)
        yield made


def test_a_container_runs_and_is_gone(daemon: Daemon) -> None:
    """run --rm gives the program's output and status, and leaves nothing."""
    words = ["run", "--rm", "--name", "brief", "busybox", "sh", "-c", "echo hi; exit 7"]
    done = daemon.fairlead(*words, check=False)
    assert (done.stdout, done.returncode) == ("hi\n", 7)
    assert "brief" not in daemon.fairlead("ps", "-a").stdout


@pytest.mark.parametrize(("program", "status"), [("nosuch", 127), ("/etc", 126)])
def test_a_program_that_cannot_run(daemon: Daemon, program: str, status: int) -> None:
    """What is wrong with the program is in the exit status."""
    assert daemon.fairlead("run", "--rm", "busybox", program, check=False).returncode == status


def test_names_are_found_over_a_network(daemon: Daemon) -> None:
    """A second container reaches the first by its name."""
    words = ["run", "--rm", "--network", "front", "busybox", "ping", "-c", "1", "web"]
    assert "1 packets received" in daemon.fairlead(*words).stdout


def test_exec_and_inspect_agree(daemon: Daemon) -> None:
    """The address inspect shows is the one inside."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = daemon.fairlead("inspect", "-f", form, "web").stdout.strip()
    assert f"inet {address}/24" in daemon.fairlead("exec", "web", "ip", "addr").stdout


def test_ps_and_port_show_what_is_published(daemon: Daemon) -> None:
    """The published port is in both."""
    assert "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp" in daemon.fairlead("ps").stdout
    assert daemon.fairlead("port", "web", "80").stdout == "0.0.0.0:8080\n[::]:8080\n"


def test_explain_tells_why(daemon: Daemon) -> None:
    """Each kernel object of a network and of a container comes with its reason."""
    bridge = daemon.fairlead("explain", "front").stdout
    assert "br-" in bridge
    assert "front" in bridge
    assert "veth" in daemon.fairlead("explain", "web").stdout


def test_a_dry_run_changes_nothing(daemon: Daemon) -> None:
    """The plan is printed, and the networks are what they were."""
    before = daemon.fairlead("network", "ls", "--no-trunc").stdout
    plans = [
        daemon.fairlead("network", "create", "--dry-run", "other").stdout,
        daemon.fairlead("network", "connect", "--dry-run", "back", "web").stdout,
    ]
    assert all("+ " in plan for plan in plans)
    assert daemon.fairlead("network", "ls", "--no-trunc").stdout == before
    assert daemon.fairlead("exec", "web", "ip", "link", "show", "eth1", check=False).returncode


def test_files_go_in_and_come_out(daemon: Daemon) -> None:
    """What cp puts into a container cp brings back."""
    daemon.machine.run(["sh", "-c", "mkdir -p /tmp/in/deep && echo hello >/tmp/in/deep/file"])
    daemon.fairlead("cp", "/tmp/in", "web:/tmp/")
    assert daemon.fairlead("exec", "web", "cat", "/tmp/in/deep/file").stdout == "hello\n"
    daemon.fairlead("cp", "web:/tmp/in/.", "/tmp/out")
    assert daemon.machine.run(["cat", "/tmp/out/deep/file"]).stdout == "hello\n"


def test_a_refusal_comes_with_a_hint(daemon: Daemon) -> None:
    """A network in use is not removed, and the second line says what to do."""
    done = daemon.fairlead("network", "rm", "front", check=False)
    assert done.returncode == 1
    message, hint = done.stderr.splitlines()
    assert "has active endpoints" in message
    assert hint.startswith("hint: ")
