"""A small virtual machine with another kernel, for what the kernel of this machine lacks.

It sees the host's files, runs commands as root, and needs neither root nor KVM on the host. What
it writes is gone with it, except below the folders in `writable`. There is no network card: what
needs one makes it inside (the lab's `Switch` and `Machine` work there).

    with VM("uml") as vm:
        vm.run(["ip", "link", "add", "d0", "type", "dummy"])

=======  ==============================  =================================================
kernel   is                              lacks
=======  ==============================  =================================================
uml      User Mode Linux 6.1, boots in   nftables (so iptables-nft), wireguard, netkit
         2 s, programs at full speed
qemu     Debian's 6.12 for clouds,       nothing we know of; programs are 17 times slower
         emulated, boots in 4 s
=======  ==============================  =================================================
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.lab import guest, initrd

INSIDE = "FAIRLEAD_LAB_VM"
"""In the environment of commands: which kernel they run on."""

VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
TEMPORARY = Path("/dev/shm")
"""Where the share is: guests have a /tmp, a /run and a /dev/shm of their own above it."""

COMMON = ("panic=-1", "quiet", "loglevel=4")


class NoVM(RuntimeError):
    """The VM did not start, or ended by itself."""


class VMCommandFailed(AssertionError):
    """A command in a VM ended with a status other than 0."""


class VM:
    """A virtual machine, from `with` to the end of its block."""

    def __init__(
        self,
        kernel: str = "uml",
        *,
        writable: Sequence[str | os.PathLike[str]] = (),
        modules: Sequence[str] = (),
        memory: str = "1024M",
        patience_seconds: float = 600,
    ) -> None:
        self.kernel = kernel
        self._writable = [Path(path).absolute() for path in writable]
        self._modules = modules
        self._memory = memory
        self._patience_seconds = patience_seconds
        self._processes: list[subprocess.Popen[bytes]] = []
        self._share = Path()
        self._line: IO[bytes] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        self._share = Path(tempfile.mkdtemp(prefix="fairlead-vm-"))
        try:
            self._start()
            if self._modules:
                self.run(["modprobe", "-a", *self._modules])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Switches the machine off; nothing in it is asked."""
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        self._processes.clear()
        shutil.rmtree(self._share, ignore_errors=True)

    @property
    def console(self) -> str:
        """What the kernel wrote."""
        path = self._share / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        check: bool = True,
        timeout: float = 300,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and returns what it printed, apart and as text.

        One that takes longer than `timeout` seconds raises TimeoutExpired and runs on.
        """
        command = [os.fspath(word) for word in argv]
        self._count += 1
        name = str(self._count)
        self._file(name, "in").write_text(stdin)
        self._file(name, "run").write_text(self._script(command, env or {}, cwd or Path.cwd()))
        assert self._line is not None, "the machine is off"
        self._line.write(f"{name}\n".encode())
        self._line.flush()
        self._wait(self._file(name, "status"), command, timeout)
        out, err = (
            self._file(name, kind).read_bytes().decode(errors="replace") for kind in ("out", "err")
        )
        status = int(self._file(name, "status").read_text())
        done = subprocess.CompletedProcess(command, status, out, err)
        if check and status != 0:
            raise VMCommandFailed(
                f"in the {self.kernel} VM: {shlex.join(command)}\nstatus {status}\n"
                f"stdout: {out}\nstderr: {err}"
            )
        return done

    def shell(
        self, script: str, *, check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Runs a shell script, which stops at its first failing command."""
        return self.run(["sh", "-euc", script], check=check, timeout=timeout)

    def _file(self, name: str, kind: str) -> Path:
        return self._share / f"{name}.{kind}"

    def _script(
        self, command: list[str], env: Mapping[str, str], cwd: str | os.PathLike[str]
    ) -> str:
        words = {"HOME": "/root", "LANG": "C.UTF-8", "TERM": "xterm", INSIDE: self.kernel, **env}
        settings = [f"{name}={value}" for name, value in words.items()]
        return f"cd {shlex.quote(os.fspath(cwd))} && exec /usr/bin/env {shlex.join([*settings, *command])}\n"

    def _wait(self, path: Path, command: list[str], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not path.exists():
            if self._processes[-1].poll() is not None and not path.exists():
                raise NoVM(f"the {self.kernel} VM ended by itself:\n{self.console[-4000:]}")
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(command, timeout)
            time.sleep(0.02)

    def _start(self) -> None:
        found = guest.kernel(self.kernel)
        native = self.kernel == "uml"
        # The guest mounts the share by its name, after it has a /tmp like the host's.
        content = initrd.archive(
            self._share,
            found.modules,
            found.module("overlay"),
            kind=self.kernel,
            writable=self._writable,
        )
        (self._share / "initrd").write_bytes(content)
        (self._share / "loop").write_text(initrd.loop(self._share, "ttyS0"))
        command = self._uml(found) if native else self._qemu(found)
        environment = {**os.environ, "HOME": "/", "TMPDIR": str(TEMPORARY)}
        with (self._share / "console").open("ab") as console:
            process = self._popen(command, console, environment)
        self._line = process.stdin
        self._wait(self._share / "ready", command, self._patience_seconds)

    def _uml(self, found: guest.Kernel) -> list[str]:
        return [
            str(found.image), f"mem={self._memory}", f"initrd={self._share}/initrd",
            f"uml_dir={self._share}/", "umid=vm", "con=null", "con0=null,fd:1",
            "ssl=null", "ssl0=fd:0,null", "noreboot", *COMMON,
        ]  # fmt: skip

    def _qemu(self, found: guest.Kernel) -> list[str]:
        socket = self._share / "fs.sock"
        served = next((path for path in VIRTIOFSD if os.path.exists(path)), None)
        if served is None or shutil.which("qemu-system-x86_64") is None:
            raise NoVM("qemu-system-x86 is not installed: run `make setup`")
        with (self._share / "virtiofsd").open("ab") as log:
            self._popen(
                [served, f"--socket-path={socket}", "-o", "source=/", "-o", "cache=auto",
                 "-o", "sandbox=chroot", "--rlimit-nofile=0", "--thread-pool-size=0"],
                log, os.environ,
            )  # fmt: skip
        self._wait(socket, [served], self._patience_seconds)
        return [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-accel", "tcg,thread=multi,tb-size=512",
            # Without what is quick on a processor and slow here: a program starts in half the time.
            "-cpu", "max,-erms,-fsrm,-smap,-smep",
            # More than one processor and this emulator trips over kernels that patch themselves.
            "-M", "q35", "-smp", "1", "-m", self._memory,
            "-object", f"memory-backend-memfd,id=mem,size={self._memory},share=on",
            "-numa", "node,memdev=mem",
            "-chardev", f"socket,id=fs,path={socket}",
            "-device", "vhost-user-fs-pci,chardev=fs,tag=hostroot,queue-size=1024",
            "-chardev", "stdio,id=line,signal=off", "-serial", "chardev:line",
            "-serial", f"file:{self._share}/console",
            "-kernel", str(found.image), "-initrd", f"{self._share}/initrd",
            "-append", " ".join((
                "console=ttyS1", "mitigations=off", "tsc=reliable", "no_timer_check",
                "clearcpuid=rep_good", *COMMON,
            )),
        ]  # fmt: skip

    def _popen(
        self, command: list[str], output: IO[bytes], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        # It dies with the thread that made it, so a killed test run leaves no machine behind.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment,
            start_new_session=True,
        )  # fmt: skip
        self._processes.append(process)
        return process
