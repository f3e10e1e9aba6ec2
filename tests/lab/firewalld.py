"""Debian's firewalld in a machine, on a bus of the machine's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.debian import unpacked
from tests.lab.machine import Machine

PACKAGES = (
    "firewalld",
    "python3-firewall",
    "python3-dbus",
    "python3-gi",
    "gir1.2-glib-2.0",
    "libgirepository-1.0-1",
    "python3-nftables",
    "python3-cap-ng",
    "libdbus-1-3",
    "libexpat1",
    "libapparmor1",
)
PATIENCE_SECONDS = 90.0
SOCKET = "/run/dbus/system_bus_socket"
LEAVE = "/etc/dbus-1/system.d/FirewallD.conf"
BUS = f"""<busconfig>
  <type>system</type>
  <listen>unix:path={SOCKET}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
"""


class Firewalld:
    """firewalld, from `start` to `stop`; what it was told to keep is in the machine's /etc."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts it, and waits until it has made its rules."""
        program = str(unpacked("firewalld") / "usr/sbin/firewalld")
        defaults = str(unpacked("firewalld") / "usr/lib/firewalld")
        flags = ("--nofork", "--nopid", "--default-config", defaults, "--log-file", "/run/fw.log")
        self._process = self.machine.popen([sys.executable, program, *flags], env=environment())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.cmd("--state", check=False) != "running":
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it; it takes its rules along."""
        if self._process is not None:
            with self._process as process:
                process.terminate()
            self._process = None

    @property
    def log(self) -> str:
        """What it had to complain of."""
        path = self.machine.path("/run/fw.log")
        return path.read_text() if path.exists() else ""

    def cmd(self, *words: str, check: bool = True) -> str:
        """What firewall-cmd prints."""
        program = str(unpacked("firewalld") / "usr/bin/firewall-cmd")
        command = [sys.executable, program, *words]
        return self.machine.run(command, env=environment(), check=check).stdout.strip()


@contextmanager
def firewalld(machine: Machine) -> Iterator[Firewalld]:
    """A bus in a machine, and firewalld that is not started yet."""
    machine.path("/run/dbus").mkdir()
    machine.path("/run/bus.conf").write_text(BUS)
    leave = machine.path(LEAVE)
    leave.parent.mkdir(parents=True, exist_ok=True)
    leave.write_bytes((unpacked("firewalld") / f"usr/share/{LEAVE[5:]}").read_bytes())
    bus = [str(unpacked("dbus-daemon") / "usr/bin/dbus-daemon"), "--config-file=/run/bus.conf"]
    made = Firewalld(machine)
    with machine.popen([*bus, "--nofork", "--nopidfile"], env=environment()) as process:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not machine.path(SOCKET).exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield made
        finally:
            made.stop()
            process.terminate()


def environment() -> dict[str, str]:
    """Where its Python finds what is not installed."""
    roots = [unpacked(package) for package in PACKAGES]
    modules = [root / "usr/lib/python3/dist-packages" for root in roots]
    libraries = [found for root in roots for found in root.glob("**/*-linux-gnu")]
    types = [folder / "girepository-1.0" for folder in libraries]
    found = {"PYTHONPATH": modules, "LD_LIBRARY_PATH": libraries, "GI_TYPELIB_PATH": types}
    paths = {name: ":".join(str(p) for p in ps if p.is_dir()) for name, ps in found.items()}
    return {**os.environ, **paths, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={SOCKET}"}
