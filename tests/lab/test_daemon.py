"""The daemon's harness, tried on a small daemon that does as it is told."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

from tests.lab import Daemon, DaemonFailed, Machine
from tests.lab.busybox import root_filesystem
from tests.lab.daemon import TRACEBACK
from tests.lab.debian import docker_client

pytestmark = pytest.mark.root

# Answers every request with its own path; says when it starts and when it is asked to end.
PROGRAM = """
import http.server, os, signal, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    address_string = lambda self: "client"
    def do_GET(self):
        body = ('"%s"' % self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def end(*_):
    print("asked to end", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
if os.path.exists("/run/docker.sock"):
    os.unlink("/run/docker.sock")
print("started with", sys.argv[1:], flush=True)
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "--broken" in sys.argv:
    raise ValueError("broken")
socketserver.UnixStreamServer("/run/docker.sock", Handler).serve_forever()
"""
COMMAND = (sys.executable, "-c", PROGRAM)


def test_a_daemon_is_started_asked_and_stopped() -> None:
    """It answers as soon as it counts as started, and a polite end is noticed."""
    with Machine() as machine, Daemon(machine, "--flag", command=COMMAND) as daemon:
        answer = daemon.api("GET", "/networks")
        assert (answer.status, answer.json) == (200, "/networks")
        assert daemon.stop() == 0
        assert not daemon.running
        assert daemon.log.startswith("started with ['--flag']\n")
        assert daemon.log.endswith("asked to end\n")


def test_a_daemon_comes_back_after_a_kill() -> None:
    """kill9 gives it no chance to speak; a restart appends to the same log."""
    with Machine() as machine, Daemon(machine, command=COMMAND) as daemon:
        daemon.kill9()
        assert not daemon.running
        daemon.restart("--again")
        assert daemon.api("GET", "/_ping").status == 200
        assert "asked to end" not in daemon.log
        assert "started with ['--again']" in daemon.log


def test_a_daemon_that_fails_to_start_says_why() -> None:
    """The error holds what the daemon wrote."""
    with Machine() as machine, pytest.raises(DaemonFailed, match=r"(?s)status 1.*broken"):
        Daemon(machine, "--broken", command=COMMAND).start()


def test_a_daemon_that_does_not_stop_is_killed() -> None:
    """After its time is up it is gone all the same, and the test fails."""
    with Machine() as machine, Daemon(machine, "--stubborn", command=COMMAND) as daemon:
        with pytest.raises(DaemonFailed, match="after SIGTERM"):
            daemon.stop(patience_seconds=0.2)
        assert not daemon.running
        assert machine.processes() == []


def test_a_traceback_fails_the_test_that_caused_it() -> None:
    """However well the test itself went."""
    with (
        Machine() as machine,
        pytest.raises(DaemonFailed, match="has a traceback"),
        Daemon(machine, command=COMMAND),
    ):
        machine.shell(f"echo '{TRACEBACK}:' >>/run/fairlead-test.log")


def test_the_docker_client_is_pointed_at_the_daemon() -> None:
    """The client asks our socket, not the host's."""
    with Machine() as machine, Daemon(machine, command=COMMAND) as daemon:
        assert docker_client().is_file()
        daemon.docker("version", check=False)
        assert "/version" in daemon.log


def test_busyboxs_root_file_system_works() -> None:
    """A shell in it finds the tools by name and the files they expect."""
    with Machine() as machine:
        with tempfile.TemporaryFile() as archive:
            archive.write(root_filesystem())
            archive.seek(0)
            machine.path("/run/image").mkdir()
            machine.run(["tar", "-xC", "/run/image"], stdin=archive)
        done = machine.run(
            ["chroot", "/run/image", "sh", "-c", "id -un; which httpd nc wget ping; cat /etc/group"]
        )
        assert done.stdout.startswith("root\n/")
        assert "www-data" in done.stdout
        assert (machine.path("/run/image/tmp").stat().st_mode & 0o7777) == 0o1777


def test_the_root_file_system_is_the_same_every_time() -> None:
    """An image made from it has the same id on every run."""
    first = root_filesystem()
    root_filesystem.cache_clear()
    assert root_filesystem() == first


def test_output_of_a_running_command_can_be_followed() -> None:
    """A started command's output is there line by line, before it ends."""
    with Machine() as machine:
        process = machine.popen(["cat"], stdin=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("one\n")
        process.stdin.flush()
        assert process.stdout.readline() == "one\n"
        process.communicate(timeout=60)
