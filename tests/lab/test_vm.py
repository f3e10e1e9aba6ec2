"""The small VM: commands, outputs, statuses, files, and how failing tests inside are told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.machine import CHECKOUT
from tests.lab.vm import VM, NoVM, VMCommandFailed

FAILING = """
from __future__ import annotations
import pytest
pytestmark = pytest.mark.vm("uml")
def test_good() -> None: pass
def test_bad() -> None: assert 1 + 1 == 3, "two and two"
@pytest.mark.skip(reason="not today")
def test_skipped() -> None: pass
def test_fatal() -> None:
    __import__("subprocess").run(["busybox", "poweroff", "-f"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the machine may write to."""
    return tmp_path_factory.mktemp("writable")


@pytest.fixture(scope="module")
def vm(folder: Path) -> Iterator[VM]:
    """A User Mode Linux."""
    with VM("uml", writable=[folder]) as running:
        yield running


def test_a_command_says_what_it_says(vm: VM) -> None:
    """Outputs apart, the input, the status, the environment and the folder."""
    script = 'cat; echo "$COLOUR"; pwd; echo err >&2; exit 3'
    done = vm.run(
        ["sh", "-c", script], stdin="words\n", env={"COLOUR": "a b"}, cwd="/usr", check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "words\na b\n/usr\n", "err\n")


def test_a_failing_command_raises(vm: VM) -> None:
    """With what it wrote."""
    with pytest.raises(VMCommandFailed, match=r"(?s)status 4.*said"):
        vm.shell("echo said; exit 4")


def test_a_command_that_hangs_holds_up_no_other(vm: VM) -> None:
    """Its caller gives up, the machine does not."""
    with pytest.raises(subprocess.TimeoutExpired):
        vm.run(["sleep", "4711"], timeout=0.2)
    assert vm.run(["echo", "still here"]).stdout == "still here\n"


def test_only_writable_folders_are_written_through(vm: VM, folder: Path) -> None:
    """The rest of what is written is seen inside only."""
    vm.shell(f"echo one >{folder}/kept; echo two >/etc/fairlead-vm-was-here")
    assert (folder / "kept").read_text() == "one\n"
    assert vm.run(["cat", "/etc/fairlead-vm-was-here"]).stdout == "two\n"
    assert not Path("/etc/fairlead-vm-was-here").exists()


def test_modules_are_loaded_on_demand(vm: VM) -> None:
    """A type of link that is a module is just there."""
    vm.shell("ip link add d0 type dummy; ip link add link d0 name i0 type ipvlan mode l3s")
    assert "l3s" in vm.run(["ip", "-d", "link", "show", "i0"]).stdout


def test_a_machine_that_ends_is_told() -> None:
    """Not waited for."""
    with VM("uml") as mortal, pytest.raises(NoVM, match="ended by itself"):
        mortal.run(["busybox", "poweroff", "-f"])


def test_tests_inside_are_told_as_they_went(tmp_path: Path) -> None:
    """One passes, one fails with its reason, one is skipped, one takes the machine with it."""
    file = CHECKOUT / "tests" / "lab" / f"test_made_{tmp_path.parent.name.replace('-', '_')}.py"
    file.write_text(FAILING)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-rA", str(file)],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    finally:
        file.unlink()
    assert done.returncode == 1, done.stdout
    assert "2 failed, 1 passed, 1 skipped" in done.stdout
    for words in ("test_good PASSED", "test_bad FAILED", "two and two", "test_skipped SKIPPED",
                  "test_fatal FAILED", "the VM did not report this test"):  # fmt: skip
        assert words in done.stdout


def test_the_other_kernel() -> None:
    """The emulated one has nftables, encryption and a module loaded beforehand."""
    with VM("qemu", modules=["esp4"]) as vm:
        assert vm.run(["uname", "-r"]).stdout.startswith("6.12.")
        vm.shell("""
            nft add table inet t
            nft list tables | grep 'inet t'
            iptables -A INPUT -j ACCEPT
            ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode transport \
                aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128
            ip link add w0 type wireguard
        """)
        assert "esp" in vm.run(["ip", "xfrm", "state"]).stdout
