"""A machine's network configuration as text: equal texts mean equal configuration.

What the kernel counts, times or derives (packets, timers, carrier, indexes) is left out; what
somebody configured (links, addresses, routes, rules, mounted namespaces) stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address
from subprocess import CompletedProcess
from typing import Any

Run = Callable[[Sequence[str]], CompletedProcess[str]]

# Follow from carrier, time or order of creation rather than from configuration.
VOLATILE = re.compile(
    r"_timer$|^tso_max_|^(ifindex|link_index|link_netnsid|operstate|stats64|age|expires)$"
    r"|^(valid_life_time|preferred_life_time|tentative|dadfailed|cache|metrics_age)$"
)
CARRIER_FLAGS = ("NO-CARRIER", "LOWER_UP", "linkdown", "dead")
COUNTERS = (
    (re.compile(r"\[\d+:\d+\]"), "[0:0]"),
    (re.compile(r"counter packets \d+ bytes \d+"), "counter packets 0 bytes 0"),
    (re.compile(r"\bexpires \w+"), ""),
)


def take(run: Run) -> str:
    """Reads everything and renders it in a fixed order, one titled section a source."""
    sections = [
        ("links", _json(run, "ip -details -json link show")),
        ("addresses", _addresses(run)),
        ("routes", _json(run, "ip -4 -json -details route show table all")),
        ("routes6", _routes6(run)),
        ("rules", _json(run, "ip -json rule show")),
        ("iptables", _rules(run, "iptables-save")),
        ("ip6tables", _rules(run, "ip6tables-save")),
        ("nftables", _ruleset(run)),
        ("mounted namespaces", _namespaces(run)),
    ]
    return "".join(f"== {title}\n{text}" for title, text in sections)


def _json(run: Run, command: str) -> str:
    return _lines(_rows(run, command))


def _rows(run: Run, command: str) -> list[dict[str, Any]]:
    return [row for row in json.loads(run(command.split()).stdout or "[]") if row]


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    lines = (json.dumps(_still(row), sort_keys=True) for row in rows)
    return "".join(f"{line}\n" for line in sorted(lines))


def _addresses(run: Run) -> str:
    """Leaves out the link-local address that the kernel adds by itself on first carrier."""
    rows = _rows(run, "ip -json address show")
    return _lines(
        {"ifname": row["ifname"], **address}
        for row in rows
        for address in row["addr_info"]
        if address["local"] != _link_local(row.get("address", ""))
    )


def _link_local(mac: str) -> str:
    if mac.count(":") != 5:
        return ""
    octets = bytes.fromhex(mac.replace(":", ""))
    host = bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
    return str(IPv6Address(bytes.fromhex("fe80000000000000") + host))


def _routes6(run: Run) -> str:
    """Leaves out the kernel's own routes, which come and go with its link-local addresses."""
    rows = _rows(run, "ip -6 -json -details route show table all")
    return _lines(row for row in rows if row.get("protocol") != "kernel")


def _still(value: Any) -> Any:
    """Returns the value without what changes by itself."""
    if isinstance(value, dict):
        return {key: _still(item) for key, item in value.items() if not VOLATILE.search(key)}
    if isinstance(value, list):
        return [_still(item) for item in value if item not in CARRIER_FLAGS]
    return value


def _rules(run: Run, command: str) -> str:
    kept = []
    for line in run(command.split()).stdout.splitlines():
        if line.startswith("#"):
            continue  # when it was printed, and by which version
        text = line
        for pattern, instead in COUNTERS:
            text = pattern.sub(instead, text)
        kept.append(f"{text}\n")
    return "".join(kept)


def _ruleset(run: Run) -> str:
    """Sorts what a table holds, which is listed in the order of its making."""
    tables = []
    for table in re.findall(r"(?ms)^(table .*? \{\n)(.*?)^\}\n", _rules(run, "nft list ruleset")):
        opening, inside = table
        blocks = re.split(r"(?m)^\n|(?<=^\t\}\n)", inside)
        tables.append(opening + "".join(sorted(filter(None, blocks))) + "}\n")
    return "".join(sorted(tables))


# Below a folder that is covered there are other people's, which come and go.
PINS = """
grep ' - nsfs ' /proc/self/mountinfo | while read -r _ _ _ _ point _; do
    if [ -e "$point" ]; then echo "$point"; fi
done
"""


def _namespaces(run: Run) -> str:
    found = run(["sh", "-c", PINS]).stdout.splitlines()
    return "".join(f"{point}\n" for point in sorted(found))
