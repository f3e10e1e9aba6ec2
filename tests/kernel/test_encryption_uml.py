"""What a kernel lacks is named: for encryption, and to follow packets."""

from __future__ import annotations

import pytest

from fairlead.kernel.encryption import CannotEncrypt
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.trace import everywhere
from fairlead.model.errors import Unsupported
from tests.contract.conftest import linux, private_host  # noqa: F401

pytestmark = [pytest.mark.vm("uml"), pytest.mark.root]


@pytest.mark.parametrize(("version", "lacks"), [(4, "CONFIG_NFT_XFRM"), (6, "CONFIG_INET6_ESP")])
def test_what_is_missing_is_named(linux: LinuxKernel, version: int, lacks: str) -> None:  # noqa: F811
    """In one line, with the kernel's version and what to do."""
    with pytest.raises(CannotEncrypt, match=rf"\(6\.1\..*\) lacks .*{lacks}") as caught:
        linux.check_encryption(version)
    assert "\n" not in caught.value.message
    assert "--opt encrypted" in caught.value.hint
    assert caught.value.status == 501


def test_packets_cannot_be_followed(linux: LinuxKernel) -> None:  # noqa: F811
    """Without nf_tables nobody tells which rules a packet meets; what does without is named."""
    trace = linux.tracing().trace()
    with pytest.raises(Unsupported, match="packets cannot be followed") as caught:
        trace.begin(everywhere("tcp dport 80"))
    assert "\n" not in caught.value.message
    assert "CONFIG_NF_TABLES" in caught.value.hint
    assert "fairlead doctor" in caught.value.hint
