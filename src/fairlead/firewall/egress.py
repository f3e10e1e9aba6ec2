"""Where a network may go (`-o fairlead.egress=…`): lists of destinations, whatever the backend.

What leaves a network's bridge for elsewhere is judged by where it goes, for both families;
a family of which nothing is on the list leads nowhere.

- Answers go anywhere: to whoever asked for a published port, and ICMP errors about that. What
  a container began itself has to be on the list with each packet: who forges one of somebody
  else's connection gets no further.
- The host itself is not outside. What it is asked for by a container, its published ports
  among that, is its own business; and so, where no proxy stands in between, is what the
  kernel leads from such a port to a container.
- Names are asked of the host's servers as ever, by the host (`controller/names.py`); a
  network that leads nowhere at all asks nobody.

Without such a network there is not one rule. A verdict elsewhere, such as a person's
ACCEPT, decides nothing: each table is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.model.iptables import FAMILIES
from fairlead.model.marks import Marks
from fairlead.model.network import Network
from fairlead.model.nftables import NftChain, NftElement, NftSet, NftTable
from fairlead.model.prefixes import plain
from fairlead.model.state import Resource

INET = "inet"
HOOK = "type filter hook forward priority filter; policy accept;"


def base(marks: Marks) -> Iterator[Resource]:
    """The rules while no network has a list."""
    table = marks.table
    yield NftTable(INET, table, marks.alias)
    yield NftSet(INET, table, "m_egress", "map", "type ifname : verdict")
    yield NftSet(INET, table, "s_egress_led", "set", "type ifname")
    yield NftChain(INET, table, "c_egress", ("iifname vmap @m_egress",), HOOK)


def of_network(marks: Marks, net: Network) -> Iterator[Resource]:
    """A network with a list. There before its bridge is."""
    found = net.egress
    if found is None:
        return
    name = f"c_egress_{net.id[:12]}"
    rules = (
        "ct direction reply ct state established,related accept",
        f'oifname "{net.ifname}" accept',
        "oifname @s_egress_led ct status dnat accept",
        *(f"{FAMILIES[n.version]} daddr {plain(n)} accept" for n in found),
        "drop",
    )
    yield NftChain(INET, marks.table, name, rules)
    yield NftElement(INET, marks.table, "m_egress", f'"{net.ifname}"', f"goto {name}")


def of_bridge(marks: Marks, ifname: str) -> Iterator[Resource]:
    """A bridge to which the kernel leads from published ports."""
    yield NftElement(INET, marks.table, "s_egress_led", f'"{ifname}"')
