"""Debian's ovn-docker, an overlay driver that nobody here wrote, with all of OVN on one machine.

Its packages are unpacked and not installed. Packets go through Open vSwitch in user space, so
no kernel module is needed. As Debian ships it the driver ends at once: it was moved to
Python 3 without reading what programs print as text. That is mended from outside, by running
it where `subprocess` gives text; its own lines are as they come.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docker.stage import eventually
from tests.lab import Machine
from tests.lab.debian import unpacked
from tests.lab.process import Process

PACKAGES = (
    "ovn-docker",
    "ovn-common",
    "ovn-central",
    "ovn-host",
    "openvswitch-switch",
    "openvswitch-common",
    "python3-openvswitch",
    "python3-flask",
    "python3-werkzeug",
    "python3-jinja2",
    "python3-markupsafe",
    "python3-itsdangerous",
    "python3-click",
    "python3-colorama",
    "python3-sortedcontainers",
    "libxdp1",
    "libunbound8",
    "libnuma1",
    "libbpf1",
    "libevent-2.1-7",
)
NAME = "openvswitch"
SPEC = f"/etc/docker/plugins/{NAME}.spec"
AS_TEXT = (
    "import functools, runpy, subprocess, sys;"
    "subprocess.Popen = functools.partial(subprocess.Popen, text=True);"
    "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


class Ovn:
    """OVN and its driver, from `with` to the end of its block."""

    def __init__(self, machine: Machine, address: str) -> None:
        self._machine = machine
        self._address = address
        self._folders = [unpacked(package) for package in PACKAGES]
        self._stack = ExitStack()
        self.env = {
            "PATH": ":".join([*self._all("usr/bin"), *self._all("usr/sbin"), "/usr/sbin:/usr/bin:/sbin:/bin"]),
            "LD_LIBRARY_PATH": ":".join(self._all("usr/lib/x86_64-linux-gnu")),
            "PYTHONPATH": ":".join(self._all("usr/lib/python3/dist-packages")),
            "OVS_RUNDIR": "/run/openvswitch",
            "OVN_RUNDIR": "/run/ovn",
            "OVS_LOGDIR": "/run/openvswitch",
            "OVN_LOGDIR": "/run/ovn",
        }  # fmt: skip

    def _all(self, inside: str) -> list[str]:
        return [str(folder / inside) for folder in self._folders if (folder / inside).is_dir()]

    def _file(self, inside: str) -> Path:
        return next(found for f in self._folders if (found := f / inside).exists())

    def __enter__(self) -> Self:
        with self._stack:
            self._databases()
            self._switch()
            self._driver()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, *words: str) -> str:
        """Runs one of its programs and returns what it printed."""
        return self._machine.run(words, env=self.env).stdout

    def _serve(self, *words: str, log: str) -> Process:
        with self._machine.path(f"/run/ovn/{log}.log").open("ab") as file:
            process = self._machine.popen(words, stdout=file, env=self.env)

        def end() -> None:
            process.kill()
            process.wait()

        self._stack.callback(end)
        return process

    def _databases(self) -> None:
        self._machine.shell("mkdir -p /run/openvswitch /run/ovn /etc/docker/plugins")
        for name, schema, folder in (
            ("db", "usr/share/openvswitch/vswitch.ovsschema", "openvswitch"),
            ("ovnnb_db", "usr/share/ovn/ovn-nb.ovsschema", "ovn"),
            ("ovnsb_db", "usr/share/ovn/ovn-sb.ovsschema", "ovn"),
        ):
            socket = f"/run/{folder}/{name}.sock"
            self.run("ovsdb-tool", "create", f"/run/ovn/{name}.data", str(self._file(schema)))
            server = ("ovsdb-server", f"/run/ovn/{name}.data", f"--remote=punix:{socket}")
            more = (f"--unixctl=/run/ovn/{name}.ctl", "--no-chdir")
            self._serve(*server, *more, log=name)
            eventually(self._machine.path(socket).exists)
        north, south = "unix:/run/ovn/ovnnb_db.sock", "unix:/run/ovn/ovnsb_db.sock"
        self._serve("ovn-northd", f"--ovnnb-db={north}", f"--ovnsb-db={south}", log="northd")
        self.run("ovs-vsctl", "--no-wait", "init")
        self.run(
            "ovs-vsctl",
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            f"external_ids:ovn-nb={north}",
            f"external_ids:ovn-remote={south}",
            "external_ids:ovn-encap-type=geneve",
            f"external_ids:ovn-encap-ip={self._address}",
            "external_ids:ovn-bridge-datapath-type=netdev",
            "external_ids:system-id=host",
        )

    def _switch(self) -> None:
        vswitchd = self._file("usr/lib/openvswitch-switch/ovs-vswitchd")
        self._serve(str(vswitchd), "unix:/run/openvswitch/db.sock", log="vswitchd")
        bridge = ("--", "set", "bridge", "br-int", "datapath_type=netdev", "fail-mode=secure")
        self.run("ovs-vsctl", "--timeout=30", "add-br", "br-int", *bridge)
        self._serve("ovn-controller", "unix:/run/openvswitch/db.sock", log="controller")

    def _driver(self) -> None:
        program = str(self._file("usr/bin/ovn-docker-overlay-driver"))
        self._serve("/usr/bin/python3", "-c", AS_TEXT, program, log="driver")
        eventually(lambda: self._machine.path(SPEC).exists())
