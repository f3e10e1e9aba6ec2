"""The older iptables, for kernels that have no nf_tables: hints, and DNS led by its NAT.

Programs of the newer kind are there on such hosts, too, and fail there one by one. What
leads DNS is in chains of its own in a sandbox's `nat`, where Docker has it as well: the
kernel keeps track of those connections, which nf_tables can do without.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from fairlead.model.errors import Failed

CHAIN = "FAIRLEAD_DNS"
ADDRESS = "127.0.0.11"
JUMP = f"-d {ADDRESS}/32 -j {CHAIN}"
NAMES = Path("/proc/thread-self/net/ip_tables_names")
"""The tables that a namespace has of the older kind. Asking the program would make them."""
NEWER = "(nf_tables)"
HINT = (
    "this kernel has no nf_tables, CONFIG_NF_TABLES with _IPV4, _IPV6 and _INET: take the older "
    "iptables, `update-alternatives --set iptables /usr/sbin/iptables-legacy` and ip6tables alike, "
    "or write no rules with --iptables=false --ip6tables=false"
)
REASONS = ("Operation not supported", "Protocol not supported", "cache initialization failed")


def lacking(said: str) -> bool:
    """Whether nft or iptables complains of a kernel without nf_tables, in its first words."""
    return any(reason in said.partition("\n")[0] for reason in REASONS)


def hint(said: str) -> str:
    """What to do where the newer iptables says that; else nothing."""
    return HINT if NEWER in said and lacking(said) else ""


def is_older(program: str) -> bool:
    """Whether an iptables-save shows the older kind's tables; those before 1.8 know no other."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return NEWER not in said.stdout


def redirect(port: int) -> None:
    """Lead DNS to a port of the resolver, in the namespace that the thread is in. Raises Failed."""
    lines, to = [f":{CHAIN} - [0:0]"], f"--dport 53 -j DNAT --to-destination {ADDRESS}:{port}"
    lines += [f"-A {CHAIN} -p {name} -m {name} {to}" for name in ("udp", "tcp")]
    if not redirected():
        lines.append(f"-I OUTPUT {JUMP}")
    _restore(lines)


def redirected() -> bool:
    """Whether DNS is led so in the namespace that the thread is in."""
    with suppress(FileNotFoundError):
        if "nat" in NAMES.read_text().split():
            return f"-A OUTPUT {JUMP}" in _run(_program("save"), "-t", "nat").splitlines()
    return False


def straight() -> None:
    """Lead it no more."""
    _restore([f"-D OUTPUT {JUMP}", f"-F {CHAIN}", f"-X {CHAIN}"])


def _restore(lines: list[str]) -> None:
    _run(_program("restore"), "--noflush", "-w", "10", said="\n".join(["*nat", *lines, "COMMIT\n"]))


def _program(what: str) -> str:
    named = f"iptables-legacy-{what}"
    return named if shutil.which(named) else f"iptables-{what}"


def _run(*words: str, said: str = "") -> str:
    try:
        done = subprocess.run(words, input=said, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Failed(f"{words[0]} is not installed", hint=HINT) from error
    if done.returncode != 0:
        raise Failed(f"{words[0]}: {done.stderr.strip()}", hint=HINT)
    return done.stdout
