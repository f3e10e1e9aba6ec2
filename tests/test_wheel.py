"""What is installed is what runs: a wheel, its units and its completion, outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairlead
from tests.lab import Daemon, Machine
from tests.lab.daemon import SOCKET
from tests.lab.debian import CACHE
from tests.lab.machine import CHECKOUT

PACKAGES = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """The program, installed from a fresh wheel into a fresh environment."""
    # Not below /tmp, which pretend machines have one of their own of.
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="wheel-") as folder:
        wheels, home = Path(folder, "wheels"), Path(folder, "home")
        run(CHECKOUT / "scripts" / "wheel", wheels)
        (wheel,) = wheels.glob("*.whl")
        run(sys.executable, "-m", "venv", "--without-pip", home)
        pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python")
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel)
        # What it depends on is lent; the checkout is not on that path.
        (site,) = home.glob("lib/python3.*/site-packages")
        (site / "lent.pth").write_text(f"{PACKAGES}\n")
        yield home / "bin" / "fairlead"


def run(*words: str | Path, cwd: str = "/") -> str:
    """Runs something and returns what it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_runs_outside_the_checkout(program: Path) -> None:
    """Its version is ours, and its code is its own."""
    assert run(program, "--version") == f"fairlead version {fairlead.__version__}\n"
    where = run(program.with_name("python"), "-c", "import fairlead; print(fairlead.__file__)")
    assert where.startswith(str(program.parent.parent))


def test_every_module_is_in_it(program: Path) -> None:
    """What the checkout has the wheel has, and no tests."""
    (site,) = program.parent.parent.glob("lib/python3.*/site-packages")
    source = CHECKOUT / "src" / "fairlead"
    wanted = {path.relative_to(source) for path in source.rglob("*.py")}
    found = {p.relative_to(site / "fairlead") for p in (site / "fairlead").rglob("*.py")}
    assert found == wanted
    assert (site / "fairlead" / "py.typed").exists()
    assert not (site / "tests").exists()


@pytest.mark.root
def test_its_daemon_works(program: Path, machine: Machine) -> None:
    """A container on a network, and a name that the dataplane of the same installation answers."""
    words = [str(program), "daemon", "-H", f"unix://{SOCKET}"]
    with Daemon(machine, command=words) as daemon:
        daemon.import_busybox()
        daemon.docker("network", "create", "front")
        daemon.docker(
            "run", "-d", "--name", "web", "--network", "front", "busybox", "sleep", "1000"
        )
        found = daemon.docker("run", "--rm", "--network", "front", "busybox", "ping", "-c1", "web")
        assert "1 packets received" in found.stdout
        running = [line for line in machine.processes() if "fairlead.dataplane" in line]
        assert len(running) == 1
        assert str(program.parent) in running[0]
        assert str(CHECKOUT / "src") not in "".join(machine.processes())


def test_the_units(program: Path, tmp_path: Path) -> None:
    """systemd finds nothing wrong with them; containers outlive a stop."""
    for unit in ("fairlead.service", "fairlead.socket"):
        text = (CHECKOUT / "packaging" / unit).read_text()
        text = text.replace("@BINDIR@", str(program.parent)).replace("@GROUP@", "root")
        assert "@" not in text
        (tmp_path / unit).write_text(text)
    said = run("systemd-analyze", "verify", "--man=no", tmp_path / "fairlead.service")
    assert said == ""
    assert "KillMode=process\n" in (tmp_path / "fairlead.service").read_text()
