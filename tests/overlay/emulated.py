"""Two hosts with whole daemons in the emulated machine, whose kernel has all that they may need.

::

    h1 192.0.2.1, an etcd ── eth0 ── h2 192.0.2.2

Programs are many times slower there. So the tests stay outside, what is asked inside is one
short script of busybox, and the hosts are what daemons need of a machine and no more: a network,
a name, and /run, /sys and /var/lib of their own.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.lab.busybox import BUSYBOX, root_filesystem
from tests.lab.debian import docker_client, unpacked
from tests.lab.machine import CHECKOUT
from tests.lab.vm import VM, VMCommandFailed
from tests.security import frames
from tests.security.frames import Seen

PATIENCE_SECONDS = 600
"""The processor is emulated, and its host has others to serve."""
STORE = "192.0.2.1:2379"
FOLDER = "/lab"
"""In the machine, seen by all: sockets, and what programs say."""

WIRE = """
mkdir /lab
ip netns add h1
ip netns add h2
ip link add eth0 netns h1 type veth peer name eth0 netns h2
for n in 1 2; do
    ip -n h$n -batch - <<END
link set lo up
addr add 192.0.2.$n/24 dev eth0
link set eth0 up
END
done
"""

MODULES = (
    "veth", "bridge", "vxlan", "overlay", "af_packet", "sctp",
    "esp4", "esp6", "gcm", "seqiv", "nf_tables", "nft_ct", "nft_fib_inet", "nft_masq", "nft_nat",
    "nft_chain_nat", "nft_xfrm", "nft_redir", "nf_conntrack_netlink",
)  # fmt: skip
"""What the kernel would load one by one, with a program each."""


class Emulated:
    """A host: its programs, its daemon, and the docker command line on that."""

    def __init__(self, vm: VM, number: int) -> None:
        self.vm = vm
        self.name = f"h{number}"
        self.address = f"192.0.2.{number}"
        self.socket = f"{FOLDER}/{self.name}.sock"
        self._pids: dict[str, str] = {}

    def shell(self, script: str, *words: str, check: bool = True) -> str:
        """What a script on it prints."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", BUSYBOX, "sh", "-euc", script, "sh"]
        done = self.vm.run([*inside, *words], check=check, timeout=PATIENCE_SECONDS)
        return done.stdout.strip()

    def leave(self, name: str, *words: str) -> str:
        """Starts a program that runs on, and says what it has to say in a file; its pid."""
        script = f'"$@" >>{FOLDER}/{name} 2>&1 </dev/null & echo $!'
        return self.shell(script, *words)

    @property
    def log(self) -> str:
        """What its daemon has written."""
        return self.vm.run(["cat", f"{FOLDER}/{self.name}.log"]).stdout

    def docker(self, *words: str, check: bool = True) -> str:
        """What a docker command prints; also its complaints if it may fail."""
        command = [str(docker_client()), "-H", f"unix://{self.socket}", *words]
        done = self.vm.run(command, check=check, timeout=PATIENCE_SECONDS)
        return (done.stdout + ("" if check else done.stderr)).strip()

    def give_busybox(self, folder: Path) -> None:
        """Imports the image, by way of a folder that both see."""
        archive = folder / "busybox.tar"
        archive.write_bytes(root_filesystem())
        self.docker("import", str(archive), "busybox:latest")

    def run(self, name: str, *words: str) -> None:
        """Starts a container that stays."""
        self.docker("run", "-d", "--name", name, *words, "busybox", "sleep", "3600")
        self._pids[name] = self.docker("inspect", "-f", "{{.State.Pid}}", name)

    def inside(self, name: str, script: str) -> str:
        """What a script prints in the network of a container; the programs are the host's."""
        enter = f'nsenter --net=/proc/{self._pids[name]}/ns/net {BUSYBOX} sh -euc "$1"'
        return self.shell(enter, script)

    def hears(self, name: str, target: str, tries: int = 30) -> bool:
        """Whether a container gets an answer, to one of so many pings."""
        ping = f"{BUSYBOX} ping -c 1 -W 1 {target} >/dev/null"
        return "yes" in self.inside(
            name, f"for _ in $(seq {tries}); do if {ping}; then echo yes; break; fi; done"
        )

    def serve(self, name: str, *words: str) -> str:
        """Starts a program in the network of a container, which runs on; its pid."""
        return self.leave("served", "nsenter", f"--net=/proc/{self._pids[name]}/ns/net", *words)


def begin(vm: VM, *flags: str) -> tuple[Emulated, Emulated]:
    """The hosts, their store and their daemons; returns when these answer."""
    vm.shell(WIRE, timeout=PATIENCE_SECONDS)
    one, two = Emulated(vm, 1), Emulated(vm, 2)
    one.leave(
        "etcd.log", str(unpacked("etcd-server") / "usr/bin/etcd"), f"--data-dir={FOLDER}/etcd",
        f"--listen-client-urls=http://{STORE}", f"--advertise-client-urls=http://{STORE}",
        "--log-level=error",
    )  # fmt: skip
    command = [
        sys.executable, "-m", "tests.overlay.begin_both", FOLDER, "--data-root=/var/lib/fairlead",
        "--exec-root=/run/fairlead", "--pidfile=/run/fairlead.pid", "--bridge=none",
        "--firewall-backend=nftables", f"--cluster-store=etcd://{STORE}", *flags,
    ]  # fmt: skip
    done = vm.run(command, timeout=PATIENCE_SECONDS, cwd=CHECKOUT)
    for host, pid in zip((one, two), done.stdout.split(), strict=True):
        wait = f"while ! [ -S {host.socket} ]; do sleep 1; kill -0 {pid}; done"
        try:
            host.shell(wait)
        except VMCommandFailed as error:
            raise AssertionError(f"the daemon of {host.name} ended:\n{host.log}") from error
    return one, two


def captured(path: Path) -> Iterator[Seen]:
    """The frames of a capture, as far as it is written."""
    content, at = path.read_bytes() if path.exists() else b"", 24
    while at + 16 <= len(content):
        (size,) = struct.unpack_from("=I", content, at + 8)
        if at + 16 + size > len(content):
            break
        yield frames.read(content[at + 16 : at + 16 + size])
        at += 16 + size
