"""A place apart for containers: mounts, network, files and cgroups of the test's own.

The test's thread gets a mount and a network namespace before the first worker
thread or child exists, so everything a test starts is in them as well. At the
end no mount, cgroup or zombie may be left, and the fixture looks.
"""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fairlead.model.container import ContainerSpec, Process
from fairlead.runtime.image import Images
from fairlead.runtime.oci import Attachment, Oci
from fairlead.runtime.rootfs import Roots
from tests.lab.busybox import root_filesystem

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
CGROUPS = Path("/sys/fs/cgroup")

_libc = ctypes.CDLL(None, use_errno=True)

MakeSpec = Callable[..., ContainerSpec]
Begin = Callable[[ContainerSpec], Awaitable[Attachment]]


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.fixture
def apart() -> Iterator[Path]:
    """A short directory of the test's own, in namespaces of the test's own."""
    kinds = {"mnt": CLONE_NEWNS, "net": CLONE_NEWNET}
    homes = {name: os.open(f"/proc/thread-self/ns/{name}", os.O_RDONLY) for name in kinds}
    here = os.open(".", os.O_RDONLY)
    directory = Path(tempfile.mkdtemp(prefix="fl-"))
    _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET))
    try:
        _check(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield directory
        left = [line for line in _mounts() if str(directory) in line]
        assert left == [], "mounts are left behind"
        assert _zombies() == [], "zombies are left behind"
    finally:
        # Worker threads share our directories, and setns wants them to be ours alone.
        _check(_libc.unshare(CLONE_FS))
        for name, kind in kinds.items():
            _check(_libc.setns(homes[name], kind))
            os.close(homes[name])
        os.fchdir(here)
        os.close(here)
        shutil.rmtree(directory, ignore_errors=True)


def _mounts() -> list[str]:
    return Path("/proc/thread-self/mounts").read_text().splitlines()


def _zombies() -> list[int]:
    """Children of ours that ended and that nobody asked how."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [
        int(pid)
        for pid in children
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    ]


def cgroups_left(parent: str) -> list[Path]:
    """Control groups of a parent in any hierarchy."""
    return [*CGROUPS.glob(parent), *CGROUPS.glob(f"*/{parent}")]


@pytest.fixture
def rootfs(apart: Path) -> Path:
    """A busybox to run."""
    directory = apart / "busybox"
    with tarfile.open(fileobj=io.BytesIO(root_filesystem())) as tar:
        tar.extractall(directory, filter="fully_trusted")
    return directory


@pytest.fixture(params=["crun", "runc"])
async def oci(request: pytest.FixtureRequest, apart: Path) -> AsyncIterator[Oci]:
    """Containers by either runtime; what they leave behind is an error."""
    parent = f"fl-test-{os.getpid()}"
    made = Oci(apart / "run", prefer=request.param, cgroup_parent=f"/{parent}")
    await made.probe()
    if made.name != request.param:
        pytest.skip(f"{request.param} does not work on this host")
    yield made
    for state in await made.recover():
        await made.delete(state.id, force=True)
    await made.close()
    assert cgroups_left(parent) == [], "cgroups are left behind"
    left = [path for path in (apart / "run").rglob("*") if not path.is_dir()]
    assert left == [], "run files are left behind"


@pytest.fixture
def spec(rootfs: Path) -> MakeSpec:
    """Makes a spec for a command; keywords go to the process or the container."""

    def make(*args: str, name: str = "c1", **more: object) -> ContainerSpec:
        fields = Process.__dataclass_fields__
        process = Process(args, **{key: more.pop(key) for key in list(more) if key in fields})  # type: ignore[arg-type]
        wanted = {"rootfs": rootfs, "hostname": "box", **more}
        return ContainerSpec(id=name, process=process, **wanted)  # type: ignore[arg-type]

    return make


@pytest.fixture
async def begin(oci: Oci) -> AsyncIterator[Begin]:
    """Creates, attaches to and starts a container."""
    opened = []

    async def start(spec: ContainerSpec) -> Attachment:
        bundle = spec.rootfs.parent / spec.id
        await oci.create(spec, bundle, bundle / "log")
        opened.append(await oci.attach(spec.id))
        await oci.start(spec.id)
        return opened[-1]

    yield start
    for streams in opened:
        await streams.close()


@pytest.fixture
async def images(apart: Path) -> Images:
    """An empty image store."""
    made = Images(apart / "images")
    await made.open()
    return made


@pytest.fixture
def roots(images: Images, apart: Path) -> Roots:
    """Roots of containers on those images."""
    (apart / "containers").mkdir()
    return Roots(images, apart / "containers")


@pytest.fixture
async def busybox(images: Images, apart: Path) -> str:
    """The id of an imported busybox image."""
    tar = apart / "busybox.tar"
    tar.write_bytes(root_filesystem())
    return await images.import_(tar, "busybox")
