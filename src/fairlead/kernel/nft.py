"""libnftables in process, and the one table that a sandbox gets of it.

A context keeps the netlink socket of the namespace in which it was made, so a
sandbox's is made while its namespace is entered, used, and let go.

The DNS redirect rewrites ports without connection tracking: two stateless
rules on output, there and back, since both ends are on the loopback. A
container that talks little DNS then pays for no conntrack on everything else,
and one that runs a DNS server of its own finds port 53 free.
"""

from __future__ import annotations

import ctypes
import errno
from functools import cache

from fairlead.kernel import older
from fairlead.kernel.netlink import NETLINK_NETFILTER, Socket, text
from fairlead.kernel.nftnetlink import NFT_MSG_GETTABLE, NFTA_TABLE_NAME, header
from fairlead.model.errors import Failed

TABLE = "fairlead_dns"
RESOLVER = "127.0.0.11"
RESOLVER_PORT = 61053
"""Where the resolver's sockets are in each sandbox: above the ephemeral ports."""

_RULES = f"""\
table ip {TABLE} {{
  chain c_output {{
    type filter hook output priority -300; policy accept;
    ip daddr {RESOLVER} udp dport 53 udp dport set {RESOLVER_PORT}
    ip daddr {RESOLVER} tcp dport 53 tcp dport set {RESOLVER_PORT}
    ip saddr {RESOLVER} udp sport {RESOLVER_PORT} udp sport set 53
    ip saddr {RESOLVER} tcp sport {RESOLVER_PORT} tcp sport set 53
  }}
}}
"""
FIRST = f"create table ip {TABLE}\n{_RULES}"
"""Where there is none. A deletion, even of nothing, makes the kernel wait at the socket's end."""
AGAIN = f"table ip {TABLE}\ndelete table ip {TABLE}\n{_RULES}"
"""Where there is one."""


LACKING = frozenset({errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
"""What is answered where there is no such table, or no nf_tables at all."""


STATELESS, HANDLES = 1 << 2, 1 << 3
"""Lists without counts, and with the numbers of rules."""


class Lacking(Failed):
    """The kernel has no nf_tables, or none for that family."""


def redirect() -> None:
    """Lead DNS to the resolver in the namespace that the thread is in. Raises Failed."""
    with Context() as context:
        try:
            context.run(FIRST)
        except Lacking:
            older.redirect(RESOLVER_PORT)
        except Failed:
            context.run(AGAIN)


def redirected() -> bool:
    """Whether DNS is led there in the namespace that the thread is in."""
    return _table_stands() or older.redirected()


def _table_stands() -> bool:
    # Asked by hand: a context takes stock of everything first, ten times as long.
    try:
        with Socket(NETLINK_NETFILTER) as netlink:
            netlink.ask(NFT_MSG_GETTABLE, header("ip") + text(NFTA_TABLE_NAME, TABLE))
    except OSError as error:
        if error.errno not in LACKING:
            raise
        return False
    return True


def straight() -> None:
    """Lead DNS there no more in the namespace that the thread is in. Raises Failed."""
    if _table_stands():
        with Context() as context:
            context.run(f"delete table ip {TABLE}")
    elif older.redirected():
        older.straight()


@cache
def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise Failed(
            f"libnftables cannot be loaded: {error}", hint="install the package libnftables1"
        ) from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_ctx_buffer_output.argtypes = [ctypes.c_void_p]
    library.nft_ctx_buffer_error.argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.argtypes = [ctypes.c_void_p]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.argtypes = [ctypes.c_void_p]
    return library


class Context:
    """A libnftables context of the namespace that its thread is in; `flags` say how it lists."""

    def __init__(self, flags: int = 0) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise OSError(errno.ENOMEM, "nft_ctx_new")
        self._library.nft_ctx_output_set_flags(self._context, flags)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.nft_ctx_free(self._context)

    def run(self, commands: str) -> str:
        """Run commands as one transaction. Raises Failed with nft's own words."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()) != 0:
            said = self._library.nft_ctx_get_error_buffer(self._context).decode().strip()
            if older.lacking(said):
                raise Lacking(said.partition("\n")[0], hint=older.HINT)
            raise Failed(said)
        return str(self._library.nft_ctx_get_output_buffer(self._context).decode())
