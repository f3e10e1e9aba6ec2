"""Whether this kernel can encrypt networks: tried, in a namespace that goes at once.

What a kernel was built with can be told for sure in one way only. What a network will
need is written as it will be, and the kernel loads the modules that it has for it.
"""

from __future__ import annotations

import errno
import os
from ipaddress import ip_address

from fairlead.firewall import tunnels
from fairlead.kernel.errors import Refused
from fairlead.kernel.netns import Namespaces
from fairlead.kernel.nft import Context
from fairlead.kernel.nftables import render
from fairlead.kernel.xfrm import Xfrm
from fairlead.model.errors import Failed, Unsupported
from fairlead.model.marks import Marks
from fairlead.model.state import Resource
from fairlead.model.step import Step
from fairlead.model.xfrm import SECRET_BYTES, XfrmBlock, XfrmDemand, XfrmPolicy, XfrmState

ESP = {4: "CONFIG_INET_ESP", 6: "CONFIG_INET6_ESP"}
ENDS = {
    4: (ip_address("192.0.2.1"), ip_address("192.0.2.2")),
    6: (ip_address("2001:db8::1"), ip_address("2001:db8::2")),
}
CIPHERS = frozenset({errno.ENOSYS, errno.ENOENT, errno.EINVAL})
"""What the kernel says when it does not know the cipher, or a part of it."""


class CannotEncrypt(Unsupported):
    """This host's kernel lacks what an encrypted network needs."""

    def __init__(self, lacks: str, detail: str = "") -> None:
        said = f": {detail}" if detail else ""
        super().__init__(
            f"this host cannot encrypt networks, its kernel ({os.uname().release}) "
            f"lacks {lacks}{said}",
            hint="boot a kernel that was built with it, or make the network without "
            "`--opt encrypted`",
        )


def check(namespaces: Namespaces, marks: Marks, version: int) -> None:
    """Write what an encrypted network over IPv4 or IPv6 needs. Raises CannotEncrypt."""
    ends = ENDS[version]
    wanted: list[Resource] = [
        XfrmBlock(version),
        XfrmDemand(version),
        XfrmState(*ends, 0x100, bytes(SECRET_BYTES)),
        XfrmPolicy(*ends, 0x100),
    ]
    with namespaces.scratch():
        xfrm = Xfrm(marks)
        try:
            for item in wanted:
                xfrm.take([Step(None, item)])
        except Refused as refused:
            raise CannotEncrypt(_lacks(refused, version), refused.detail) from refused
        finally:
            xfrm.close()
        with Context() as nft:
            try:
                table = (*tunnels.base(marks, ends[0]), *tunnels.sealed(marks))
                nft.run(render([Step(None, item) for item in table]))
            except Failed as error:
                said = error.message.partition("\n")[0].removeprefix("Error: ")
                raise CannotEncrypt("CONFIG_NF_TABLES_INET or CONFIG_NFT_XFRM", said) from error


def _lacks(refused: Refused, version: int) -> str:
    if not isinstance(refused.step.resource, XfrmState):
        return "CONFIG_XFRM_USER"
    if refused.code in CIPHERS:
        # It asks for the cipher first: of ESP nothing is known then.
        return f"CONFIG_CRYPTO_GCM or CONFIG_CRYPTO_SEQIV, and maybe {ESP[version]}"
    return ESP[version]
