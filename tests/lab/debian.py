"""Programs from Debian packages, unpacked into a cache and never installed.

The cache is $FAIRLEAD_TEST_CACHE or ~/.cache/fairlead-tests; delete it at any time. What this
Debian has no longer comes from an older suite of the same mirror, by an apt of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

CACHE = Path(
    os.environ.get("FAIRLEAD_TEST_CACHE") or Path.home() / ".cache" / "fairlead-tests"
).absolute()


class NoPackage(RuntimeError):
    """apt-get could not fetch a package."""


@cache
def unpacked(package: str, suite: str = "") -> Path:
    """Returns the folder that holds a package's files, fetching it the first time."""
    folder = CACHE / (f"{package}-{suite}" if suite else package)
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".{package}-") as work:
        if suite:
            _fetch_older(package, suite, work)
        else:
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


@cache
def consul() -> Path:
    """Returns Consul: the one that $FAIRLEAD_CONSUL names, else Debian 11's, which was the last."""
    named = os.environ.get("FAIRLEAD_CONSUL")
    return Path(named) if named else unpacked("consul", "bullseye") / "usr" / "bin" / "consul"


# apt would warn that its own user may not write here; root fetching as root is meant.
DOWNLOAD = ("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root")


def _fetch_older(package: str, suite: str, folder: str) -> None:
    """Fetches from another suite without a word of it in the machine's own lists."""
    state = Path(folder, "apt")
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "sources.list").write_text(f"deb {_mirror()} {suite} main\n")
    (state / "apt.conf").write_text(
        f"""Dir::Etc::sourcelist "{state}/sources.list";
        Dir::Etc::sourceparts "-";
        Dir::State::lists "{state}/lists";
        Dir::Cache "{state}/cache";
        APT::Sandbox::User "root";
        """
    )
    env = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
    for command in (["apt-get", "update", "-qq"], [*DOWNLOAD, package]):
        done = _run(command, check=False, cwd=folder, env=env)
        if done.returncode != 0:
            raise NoPackage(f"{package} of {suite}: {done.stderr}")


def _mirror() -> str:
    """Returns where this machine gets Debian's main suite from."""
    words = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", words, "Created-By: Packages"]
    for attempt in range(2):
        for line in _run(command).stdout.splitlines():
            origin, component, codename, uri = line.split()
            # bookworm, not bookworm-updates or bookworm-security.
            if origin == "Debian" and component == "main" and codename.isalpha():
                return uri
        if attempt == 0:
            _run(["apt-get", "update", "-qq"], check=False)
    raise NoPackage("apt's sources name no mirror of Debian")


def _fetch(package: str, folder: str) -> None:
    command = [*DOWNLOAD, package]
    if _run(command, check=False, cwd=folder).returncode == 0:
        return
    _run(["apt-get", "update", "-qq"], check=False)
    done = _run(command, check=False, cwd=folder)
    if done.returncode != 0:
        raise NoPackage(f"{package}: {done.stderr}")


def _run(
    argv: list[str],
    *,
    check: bool = True,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        check=check,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=600,
    )
