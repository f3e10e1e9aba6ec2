"""Whether a kernel can encrypt networks, on this machine's; others are in `test_encryption_uml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.kernel.encryption import ENDS, CannotEncrypt
from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.nft import Context
from fairlead.kernel.xfrm import Xfrm
from fairlead.model.state import Scope
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmState
from tests.contract.conftest import MARKS, linux, private_host  # noqa: F401

pytestmark = pytest.mark.root


def can() -> bool:
    """Whether an SA can be made."""
    xfrm = Xfrm(MARKS)
    try:
        xfrm.take([Step(None, XfrmState(*ENDS[4], 0x100, bytes(20)))])
    except Refused:
        return False
    finally:
        xfrm.close()
    return True


def test_the_trial_agrees_with_the_real_thing(linux: LinuxKernel) -> None:  # noqa: F811
    """It says what is missing, in one line, or nothing; and leaves nothing behind."""
    there = Path("/proc/thread-self/ns/net").readlink()
    for _ in range(2):
        try:
            linux.check_encryption(4)
            found = ""
        except CannotEncrypt as error:
            found = error.message
    assert Path("/proc/thread-self/ns/net").readlink() == there
    assert linux.observe(Scope()) == {}
    with Context() as nft:
        assert nft.run("list tables") == ""
    assert bool(found) != can()
    assert not found or ("CONFIG_" in found and "\n" not in found)
