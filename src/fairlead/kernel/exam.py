"""The facts that `fairlead doctor` judges, gathered on the kernel thread. Changes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fairlead.kernel import older, rtrows
from fairlead.kernel.iptables import SAVE, Tables
from fairlead.kernel.netlink import Socket
from fairlead.kernel.rtnetlink import NDMSG, RTM_GETNEIGH
from fairlead.kernel.sysctl import read_sysctl
from fairlead.model.facts import BaseChain, Exam

SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/route_localnet",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
)
PROGRAMS = (
    "iptables-save",
    "iptables-restore",
    "ip6tables-save",
    "ip6tables-restore",
    "conmon",
    "skopeo",
    "umoci",
)
MANAGERS = ("firewalld", "ufw", "ferm", "shorewall", "dockerd", "netavark")
LIMITS = {
    "tracked connections": (
        "net/netfilter/nf_conntrack_count",
        "net/netfilter/nf_conntrack_max",
    ),
}
NEIGHBOURS = "net/ipv4/neigh/default/gc_thresh3"
CHAIN = re.compile(r"type (\w+) hook (\w+) (?:device \S+ )?priority ([^;]+); policy (\w+);")
PRIORITIES = {
    "raw": -300,
    "mangle": -150,
    "dstnat": -100,
    "filter": 0,
    "security": 50,
    "srcnat": 100,
}


def exam(netlink: Socket, tables: Tables, ruleset: str) -> Exam:
    """Everything; `ruleset` is what nftables lists of other people's tables."""
    rows = rtrows.links(netlink)
    bridges = {row.index: row.name for row in rows if row.kind == "bridge"}
    ports = Counter(bridges[row.master] for row in rows if row.master in bridges)
    return Exam(
        rules={
            (family, name, chain): tuple(rules)
            for (family, name), table in tables.items()
            for chain, rules in table.chains.items()
        },
        base_chains=tuple(base_chains(ruleset)),
        legacy_rules=dict(_legacy()),
        settings=dict(_settings()),
        missing_programs=tuple(name for name in PROGRAMS if shutil.which(name) is None),
        running=tuple(sorted(_running() & set(MANAGERS))),
        limits=dict(_limits(netlink)),
        bridge_ports=ports,
    )


def base_chains(text: str) -> Iterator[BaseChain]:
    """The chains with a hook in what ``nft list ruleset`` prints."""
    family = table = name = ""
    found: re.Match[str] | None = None
    rules: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("table "):
            family, table = words[1], words[2]
        elif words[:1] == ["chain"]:
            name, found, rules = words[1], None, []
        elif line == "\t}" and found is not None:
            _, hook, priority, policy = found.groups()
            chain = (family, table, name, hook, _priority(priority), policy)
            yield BaseChain(*chain, tuple(rules))
            found = None
        elif match := CHAIN.search(line):
            found = match
        elif found is not None and line.strip():
            rules.append(line.strip())


def _priority(text: str) -> int:
    """``filter - 10``, ``dstnat`` or ``-5`` as a number."""
    words = text.replace("+ ", "+").replace("- ", "-").split()
    return sum(PRIORITIES.get(word, 0) or _number(word) for word in words)


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else 0


def _legacy() -> Iterator[tuple[str, int]]:
    """How many rules there are in the older iptables, which the kernel keeps apart.

    The program is asked only where the kernel has such tables: asking makes them. On a host
    whose iptables is the older one they are no others' but those that everybody sees.
    """
    for family, names in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")):
        with suppress(OSError):
            if not Path("/proc/thread-self/net", names).read_text().strip():
                continue
            if older.is_older(SAVE[family]):
                continue
            program = f"{family}tables-legacy-save"
            done = subprocess.run([program], capture_output=True, text=True, check=False)
            yield family, sum(line.startswith("-A") for line in done.stdout.splitlines())


def _settings() -> Iterator[tuple[str, str]]:
    for path in SETTINGS:
        with suppress(OSError):
            yield path.replace("/", "."), read_sysctl(path)


def _running() -> set[str]:
    found: set[str] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            # Processes end while one looks at them.
            with suppress(OSError):
                found.add(Path(entry.path, "comm").read_text().strip())
    return found


def _limits(netlink: Socket) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, (used, most) in LIMITS.items():
        with suppress(OSError):
            yield name, (int(read_sysctl(used)), int(read_sysctl(most)))
    # The kernel shows it in the first namespace only.
    with suppress(OSError):
        most_neighbours = int(read_sysctl(NEIGHBOURS))
        rows = netlink.dump(RTM_GETNEIGH, NDMSG.pack(0, 0, 0, 0, 0))
        yield "neighbours (ARP and NDP)", (len(rows), most_neighbours)
