"""Programs from Debian packages, unpacked into a cache and never installed.

The cache is $FAIRLEAD_TEST_CACHE or ~/.cache/fairlead-tests; delete it at any time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

CACHE = Path(
    os.environ.get("FAIRLEAD_TEST_CACHE") or Path.home() / ".cache" / "fairlead-tests"
).absolute()


class NoPackage(RuntimeError):
    """apt-get could not fetch a package."""


@cache
def unpacked(package: str) -> Path:
    """Returns the folder that holds a package's files, fetching it the first time."""
    folder = CACHE / package
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{package}-") as work:
        _fetch(package, work)
        (archive,) = Path(work).glob("*.deb")
        _run(["dpkg-deb", "--extract", str(archive), f"{work}/root"])
        try:
            # The whole package appears at once, so a broken-off fetch leaves no half of it.
            Path(work, "root").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


@cache
def docker_client() -> Path:
    """Returns the docker command line: the one on the PATH, else Debian's."""
    found = shutil.which("docker")
    if found is not None and _run([found, "--version"]).stdout.startswith("Docker version"):
        return Path(found)
    return unpacked("docker.io") / "usr" / "bin" / "docker"


def _fetch(package: str, folder: str) -> None:
    # apt would warn that its own user may not write here; root fetching as root is meant.
    command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
    if _run(command, check=False, cwd=folder).returncode == 0:
        return
    _run(["apt-get", "update", "-qq"], check=False)
    done = _run(command, check=False, cwd=folder)
    if done.returncode != 0:
        raise NoPackage(f"{package}: {done.stderr}")


def _run(
    argv: list[str], *, check: bool = True, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        check=check,
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
