"""Why each firewall rule of ours is there, in words. Pure."""

from __future__ import annotations

IPTABLES = (
    ("FORWARD", "-USER", "rules of the user's come first"),
    ("FORWARD", "-STAGE-1", "networks are closed to each other"),
    ("FORWARD", "-MSS", "connections of some networks are told how large segments may be"),
    ("FORWARD", "-FORWARD", "what may pass from and to our networks"),
    ("PREROUTING", "-DIRECT", "containers' own addresses are closed from outside"),
    ("PREROUTING", "", "what is for this host may be for a published port"),
    ("OUTPUT", "! -d", "as above for what this host sends itself; the loopback is the proxy's"),
    ("OUTPUT", "", "as above for what this host sends itself"),
    ("POSTROUTING", "--src-type", "the host asks from its loopback, and has to be answered"),
    ("POSTROUTING", "DNAT", "who is led back to his own network is answered by way of the host"),
    ("POSTROUTING", "", "the outside sees the host's address, not the container's"),
    ("-USER", "", "yours: nothing of it is written again"),
    ("STAGE-1", "-STAGE-2", "what leaves a network for elsewhere is judged in STAGE-2"),
    ("STAGE-1", "RELATED,ESTABLISHED", "the network is routed: its answers go anywhere"),
    ("STAGE-1", "DROP", "the network is internal: nothing enters or leaves it"),
    ("STAGE-1", "-o", "the network is routed: other networks reach its published ports"),
    ("STAGE-2", "DROP", "networks are closed to each other"),
    ("STAGE-1", "ctstate DNAT", "what the kernel led to a published port is for everybody"),
    ("STAGE", "", "nothing to isolate"),
    ("-FORWARD", "RELATED,ESTABLISHED", "answers to what went out may come back"),
    ("-FORWARD", "INVALID", "what belongs to no connection would leave untranslated"),
    ("-FORWARD", "! -o", "containers may reach the outside"),
    ("-FORWARD", "DROP", "icc is off: containers of the network do not reach each other"),
    ("-FORWARD", "-i", "containers of one network reach each other"),
    ("-FORWARD", "", "which ports are open is judged there"),
    ("-MSS", "", "segments are made to fit the way"),
    ("filter", "icmp", "the network is routed: it can be pinged"),
    ("filter", "--ctstate DNAT", "the port is published, at the host's address only"),
    ("filter", "--dport", "the port is published"),
    ("filter", "--sport", "answers over a link"),
    ("filter", "ACCEPT", "the network is unprotected: its containers are open to whoever has a "
     "route"),
    ("filter", "DROP", "what is not published is closed from outside"),
    ("nat", "RETURN", "what a container sends to a published port of the host the proxy takes"),
    ("nat", "DNAT", "the port is published"),
    ("raw", "127.0.0.0/8", "the host's loopback is not for containers"),
    ("raw", "! -i lo", "the port is published on the loopback, for this host alone"),
    ("raw", "addrtype", "a container's own address is closed from outside, published port or not"),
    ("raw", "-d", "the interface is trusted: published ports are reached directly"),
    ("raw", "RETURN", "between our own networks the isolation chains judge"),
)  # fmt: skip
"""Part of where a rule is, part of the rule, and why such rules exist; the first that fits."""

NFTABLES = (
    ("c_arriving", "", "packets of our tunnels are no connections to be tracked"),
    ("c_leaving", "", "packets of our tunnels are no connections to be tracked"),
    ("c_enter", "", "VXLAN for this host is judged: it does not say who sent it"),
    ("c_tunnel", "accept", "it is of a network that is not ours"),
    ("c_tunnel", "s_sealed", "the network is encrypted"),
    ("c_tunnel", "", "only known hosts speak on our networks"),
    ("c_unsealed", "reqid", "it came encrypted, by a key of ours"),
    ("c_unsealed", "drop", "nothing of an encrypted network is taken in the clear"),
    ("c_known", "accept", "the network has containers on that host"),
    ("c_known", "drop", "only known hosts speak on our networks"),
    ("c_mark", "", "what has to be encrypted is marked for it"),
    ("c_leave", "", "nothing of an encrypted network leaves in the clear"),
    ("c_seal", "reqid", "it is about to be encrypted, by a key of ours"),
    ("c_seal", "drop", "nothing of an encrypted network leaves in the clear"),
    ("c_forward", "m_from", "some networks judge what leaves them"),
    ("c_forward", "m_to", "each network judges what enters it"),
    ("c_forward", "accept", "containers may reach the outside"),
    ("c_forward", "invalid", "what belongs to no connection would leave untranslated"),
    ("c_forward", "drop", "forwarding was off before us: strangers do not pass because of us"),
    ("c_dnat", "fe80", "a neighbour asks from such an address; no container could answer it"),
    ("c_dnat", "s_ways", "what a container sends to a published port of the host the proxy takes"),
    ("c_dnat", "dnat", "published ports"),
    ("c_prerouting", "", "what is for this host may be for a published port"),
    ("c_output", "!=", "as above for what this host sends itself; the loopback is the proxy's"),
    ("c_output", "", "as above for what this host sends itself"),
    ("c_postrouting", "s_hairpin", "who asks for a published port of its own network"),
    ("c_postrouting", "fib saddr", "the host asks from its loopback, and has to be answered"),
    ("c_postrouting", "s_home", "what stays at home keeps its address"),
    ("c_postrouting", "snat", "the outside sees the address that was chosen"),
    ("c_postrouting", "", "the outside sees the host's address, not the container's"),
    ("c_raw", "s_looped", "published on the loopback: for this host alone"),
    ("c_raw", "127.0.0.0/8", "the host's loopback is not for containers"),
    ("c_raw", "s_bridges", "between our own networks their chains judge"),
    ("c_raw", "s_trusted", "trusted interfaces reach published ports directly"),
    ("c_raw", "s_closed", "a container's own address is closed from outside, published or not"),
    ("c_mss", "", "segments are made to fit the way"),
    ("c_from", "drop", "the network is internal: nothing leaves it"),
    ("c_from", "", "the network is routed: its answers go anywhere"),
    ("c_to", "s_bridges", "networks are closed to each other"),
    ("c_to", "established", "answers to what went out may come back"),
    ("c_to", "s_links", "links are open in spite of icc"),
    ("c_to", "s_door", "published ports"),
    ("c_to", "icmp", "the network is routed: it can be pinged"),
    ("c_to", "!=", "the network is internal: nothing enters it"),
    ("c_to", "iifname", "containers of one network reach each other, unless icc is off"),
    ("c_to", "drop", "what is not published is closed from outside"),
    ("c_to", "", "the network is unprotected, or this is its own traffic"),
)  # fmt: skip
"""The same for rules of our nftables tables."""

SETS = {
    "s_bridges": "it is one of our bridges",
    "s_ways": "its containers reach published ports of the host through the proxy",
    "s_clamped": "the network asked for segments that fit the way",
    "s_home": "what stays on the network keeps its address",
    "s_masquerade": "the outside sees the host's address, not the container's",
    "s_closed": "a container's own address is closed from outside, published port or not",
    "s_trusted": "the interface is trusted: published ports are reached directly",
    "s_doors": "the port is published",
    "s_door_ranges": "the ports are published",
    "s_looped": "the port is published on the loopback, for this host alone",
    "s_links": "the link is open in spite of icc",
    "s_guarded": "what comes from there is judged: the network has antispoof",
    "s_macs": "the container has that Ethernet address",
    "s_ipv4": "the container has that address",
    "s_ipv6": "the container has that address",
    "s_claims": "the container has that address, and may say so",
    "s_hairpin": "who asks for a published port of its own network",
    "s_vnis": "the network is ours: only known hosts speak on it",
    "s_access": "the host has a way into the network there, which is nobody else's",
    "s_access_led": "ports that the host publishes are for containers of the network as well",
    "s_access_ipv4": "the host has that address on a network that spans hosts",
    "s_access_ipv6": "the host has that address on a network that spans hosts",
    "s_sealed": "the network is encrypted: nothing of it comes or goes in the clear",
    "s_hosts_ipv4": "the network has containers on that host",
    "s_hosts_ipv6": "the network has containers on that host",
    "m_from": "the network judges what leaves it",
    "m_to": "the network judges what enters it",
    "m_snat": "the outside sees the address that was chosen",
    "m_ports": "the port is published",
    "m_ports_at": "the port is published at that address",
    "m_ranges": "the ports are published",
    "m_ranges_at": "the ports are published at that address",
}
"""What it means to be an element of one of our sets and maps."""


def of_iptables(where: str, spec: str) -> str:
    """Why a rule of iptables stands in ``table CHAIN``."""
    return _first(IPTABLES, where, spec)


def of_nftables(chain: str, rule: str) -> str:
    """Why a rule stands in a chain of our tables."""
    return _first(NFTABLES, chain, rule)


def _first(reasons: tuple[tuple[str, str, str], ...], where: str, spec: str) -> str:
    found = (why for place, part, why in reasons if place in where and part in spec)
    return next(found, "the policy asks for it")
