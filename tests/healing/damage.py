"""What others do to a host, as shell commands, and the judgement that it was made good."""

from __future__ import annotations

from tests.healing.town import Town

# What firewall programs do when they are told to load their rules again.
RELOAD = """
nft flush ruleset
iptables-restore <<RULES
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LOCAL - [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -j LOCAL
-A LOCAL -p tcp -m tcp --dport 25 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
COMMIT
RULES
"""
UNLOAD = """
iptables -D INPUT -i lo -j ACCEPT; iptables -D FORWARD -j LOCAL
iptables -F LOCAL; iptables -X LOCAL
iptables -t nat -D POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
"""

HOST = {
    "everything emptied": "nft flush ruleset",
    "bridge down": "ip link set $RED down",
    "bridge gone": "ip link del $RED",
    "bridge without addresses": "ip addr flush dev $RED",
    "an address gone": "ip addr del $GATEWAY dev $RED",
    "a way gone": "ip route del $SUBNET dev $RED",
    "a cable gone": "ip link del $CABLE",
    "a cable down": "ip link set $CABLE down",
    "a cable unplugged": "ip link set $CABLE nomaster",
    "forwarding off": "sysctl -q -w net.ipv4.ip_forward=0",
    "forwarding of IPv6 off": "sysctl -q -w net.ipv6.conf.all.forwarding=0",
    "all at once": "nft flush ruleset; ip link del $RED; sysctl -q -w net.ipv4.ip_forward=0",
}
IPTABLES = {
    "filter emptied": "iptables -F",
    "filter of IPv6 emptied": "ip6tables -F",
    "nat emptied": "iptables -t nat -F",
    "raw emptied": "iptables -t raw -F",
    "one chain emptied": "iptables -F DOCKER-ISOLATION-STAGE-1",
    "jumps gone": "iptables -F FORWARD",
    "a jump gone": "iptables -D FORWARD -j DOCKER-FORWARD",
    "a table gone": "nft delete table ip filter",
    "policy": "iptables -P FORWARD ACCEPT; iptables -F FORWARD",
    "policy to drop": "iptables -P FORWARD DROP; iptables -F",
}
NFTABLES = {
    "our rules emptied": "nft flush table ip $TABLE",
    "our table gone": "nft delete table ip $TABLE",
    "our table of IPv6 gone": "nft delete table ip6 $TABLE",
    "chains emptied": "for c in $CHAINS; do nft flush chain ip $TABLE $c; done",
    "maps emptied": "for m in $MAPS; do nft flush map ip $TABLE $m; done",
}


TABLES = r"""
TABLE=$(nft list tables | awk '/^table ip fairlead/ {print $3}')
CHAINS=$([ -z "$TABLE" ] || nft list table ip $TABLE | awk '$1 == "chain" {print $2}')
MAPS=$([ -z "$TABLE" ] || nft list table ip $TABLE | awk '$1 == "map" {print $2}')
"""


def setting(town: Town) -> str:
    """The names of things, for a shell."""
    lan = town.lan
    red = lan.bridge("red")
    first, *_ = (c["Subnet"] for c in lan.network("red")["IPAM"]["Config"])
    show = f"ip -o -4 addr show dev {red} | awk '{{print $4}}'"
    gateway = lan.host.shell(show).stdout.strip()
    cable = lan.docker("exec", "web", "cat", "/sys/class/net/eth0/iflink").strip()
    by_index = f"ip -o link | awk -F'[:@ ]+' '$1 == {cable} {{print $2}}'"
    name = lan.host.shell(by_index).stdout.strip()
    return f"RED={red} GATEWAY={gateway} SUBNET={first} CABLE={name}\n{TABLES}"


def comes_back(town: Town, command: str) -> None:
    """Does the damage; traffic flows again, what is forbidden is not, the host is as it was."""
    before = town.state()
    town.lan.host.shell(setting(town) + command)
    town.is_again(before)
    town.settles()


def survives_a_reload(town: Town) -> None:
    """Somebody loads all their rules anew: they are as they wrote them, ours are there again."""
    before = town.state()
    town.lan.host.shell(RELOAD)
    town.settles()
    said = town.lan.host.run(["iptables-save"]).stdout.splitlines()
    for line in RELOAD.splitlines():
        assert not line.startswith("-A") or said.count(line) == 1
    town.lan.host.shell(UNLOAD)
    town.is_again(before)
