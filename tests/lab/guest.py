"""Kernels for `tests.lab.vm`, from Debian packages, laid out so that modprobe works with them.

A prepared kernel is a folder in the cache: `linux`, which boots, and `m/lib/modules/<release>`.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lab.debian import CACHE, NoPackage, unpacked

DEPMOD = "/usr/sbin/depmod"


@dataclass(frozen=True)
class Package:
    """Where a Debian package has its kernel and its modules; `meta` depends on that package."""

    name: str
    kernel: str
    modules: str
    meta: bool = False


PACKAGES = {
    # 6.1, a program like any other: quick, but without nftables.
    "uml": Package("user-mode-linux", "usr/bin/linux.uml", "usr/lib/uml/modules/*"),
    # What a virtual machine in a data centre runs, emulated: has all, and takes its time.
    "qemu": Package("linux-image-6.12-cloud-amd64", "boot/vmlinuz-*", "lib/modules/*", meta=True),
}


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready to boot."""

    image: Path
    modules: Path
    """The folder to have as /lib/modules."""

    def module(self, name: str) -> Path | None:
        """Returns a module's file, or None when the kernel has it built in."""
        return next(self.modules.rglob(f"{name}.ko"), None)


@cache
def kernel(kind: str) -> Kernel:
    """Returns a prepared kernel, which is fetched and unpacked the first time."""
    folder = CACHE / f"kernel-{kind}"
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix=f".kernel-{kind}-") as work:
            _prepare(PACKAGES[kind], Path(work, "made"))
            try:
                Path(work, "made").rename(folder)
            except OSError:
                # Somebody else was quicker; theirs is as good.
                if not folder.is_dir():
                    raise
    return Kernel(folder / "linux", folder / "m/lib/modules")


def _prepare(package: Package, into: Path) -> None:
    files = unpacked(_depends(package.name) if package.meta else package.name)
    (image,) = files.glob(package.kernel)
    (modules,) = files.glob(package.modules)
    into.mkdir(mode=0o755)
    shutil.copy(image, into / "linux")
    target = into / "m/lib/modules" / modules.name
    shutil.copytree(modules, target, symlinks=True)
    # The modprobe of a machine may have been built without xz.
    for packed in target.rglob("*.ko.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    depmod = [DEPMOD, "-b", os.fspath(into / "m"), modules.name]
    subprocess.run(depmod, check=True, timeout=300, stdin=subprocess.DEVNULL)


def _depends(meta: str) -> str:
    """Returns the kernel package that a package which only names the newest one depends on."""
    command = ["apt-cache", "depends", meta]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:1] == ["Depends:"] and words[1].startswith("linux-image"):
            return words[1]
    raise NoPackage(f"{meta}: {done.stderr or 'not in the package lists; run apt-get update'}")
