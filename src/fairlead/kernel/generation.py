"""The generation of the rules: whether somebody else changed them.

The kernel counts the transactions of a namespace's nftables, iptables' among
them (linux/netfilter/nf_tables.h, NFT_MSG_GETGEN). As long as the count is
where our own writes took it, nobody else wrote, and what we planned from is
what is there. Otherwise a change has to look first: an edit by hand moves
places in a chain, and a rule that lands in the wrong place opens what it was
to close.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.kernel.netlink import Socket, attributes

NFT_SUBSYSTEM = 10 << 8
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = NFT_SUBSYSTEM | 15, NFT_SUBSYSTEM | 16
NFTA_GEN_ID, NFTA_GEN_PROC_NAME = 1, 3
NFGENMSG = struct.Struct("=BBH")


class Generation:
    """Two marks on the count: up to where we looked, and up to where all is as planned."""

    def __init__(self, netlink: Socket) -> None:
        self._netlink = netlink
        self._looked: int | None = None
        self._settled: int | None = None
        self._intact: int | None = None

    def now(self) -> int | None:
        """The count; None where the kernel has no nftables."""
        body = NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
        try:
            found = attributes(self._netlink.ask(NFT_MSG_GETGEN, body), NFGENMSG.size)
        except OSError:
            return None
        return int.from_bytes(found.get(NFTA_GEN_ID, b""))

    def looking(self) -> None:
        """The rules are about to be read."""
        self._looked = self.now()

    def settle(self, intact: bool) -> None:
        """What was read last has been judged; `intact`: and it is as planned."""
        self._settled = self._looked
        self._intact = self._looked if intact else None

    @property
    def touched(self) -> bool:
        """Whether there is something that was not judged yet."""
        now = self.now()
        return now is None or now != self._settled

    @property
    def edited(self) -> bool:
        """Whether the rules may differ from what a plan takes them to be."""
        now = self.now()
        return now is not None and now != self._intact

    @contextmanager
    def writing(self, transactions: int) -> Iterator[None]:
        """Around our own writes: the marks move along, unless others wrote at the same time."""
        before = self.now()
        try:
            yield
        except BaseException:
            # Some of it may have been written.
            self._settled = self._intact = None
            raise
        if before is None:
            return
        after = self.now()
        alone = after is not None and after - before <= transactions
        self._settled = after if alone and self._settled == before else None
        self._intact = after if alone and self._intact == before else None
