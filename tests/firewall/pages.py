"""The pages of docs/firewall: worlds, what they mean, and the rules that they become.

Run ``python -m tests.firewall.pages`` to write them anew after a change of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from fairlead.firewall import callers, egress, routes
from fairlead.firewall.backends import USUAL, firewall
from fairlead.firewall.policy import Habits, policy
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.iptables import Chain, Rule
from fairlead.model.marks import Marks
from fairlead.model.network import Network, Pool
from fairlead.model.nftables import NftChain, NftElement, NftSet
from fairlead.model.peer import Peer
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Resource
from fairlead.model.world import Change, World
from fairlead.plan.reasons import SETS, of_iptables, of_nftables

FOLDER = Path(__file__).parents[2] / "docs" / "firewall"
MARKS = Marks("5eed5eed")
ICC_OFF = {"com.docker.network.bridge.enable_icc": "false"}
MODE = "com.docker.network.bridge.gateway_mode_ipv"
NO_MASQ = {"com.docker.network.bridge.enable_ip_masquerade": "false"}


@dataclass(frozen=True)
class Page:
    """One scenario: commands, the world they lead to, and what to notice in the rules."""

    name: str
    title: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    world: World = field(default_factory=World)
    habits: Habits = USUAL
    beside: tuple[Resource, ...] = ()
    """What stands beside the backend's rules, whichever that is."""


def network(name: str, number: int, six: bool = False, **more: object) -> Network:
    """A bridge network; docker0 is number 17. With `six` it has IPv6 as well."""
    subnet = ip_network(f"172.{number}.0.0/16")
    options: Mapping[str, str] = more.pop("options", {})  # type: ignore[assignment]
    if name == "bridge":
        options = {**options, "com.docker.network.bridge.name": "docker0"}
    else:
        options = {**options, "com.docker.network.bridge.name": f"br-{name}"}
    pools = [Pool(subnet, subnet[1])]
    if six:
        second = ip_network(f"fd00:{number}::/64")
        pools.append(Pool(second, second[1]))
    return Network(
        name * 8, name, "bridge", number, tuple(pools), options, predefined=name == "bridge", enable_ipv6=six, **more  # type: ignore[arg-type]
    )  # fmt: skip


def world(networks: Iterable[Network], *published: tuple[str, tuple[Port, ...]]) -> World:
    """Networks, and one container per entry of `published` with its ports."""
    nets = {net.name: net for net in networks}
    change = Change(put=tuple(nets.values()))
    for number, (name, ports) in enumerate(published):
        net = nets[name]
        subnets = [pool.subnet for pool in net.pools]
        box = Sandbox(f"box{number}", f"c{number}", f"c{number}", f"c{number}", ports=ports)
        addresses = tuple(ip_interface(f"{s[2 + number]}/{s.prefixlen}") for s in subnets)
        gateways = tuple(subnet[1] for subnet in subnets)
        end = Endpoint(f"e{number}", net.id, box.id, "v", "eth0", "", addresses, gateways)
        change = Change(put=(*change.put, box, end))
    return World().after(change)


def port(host: str, outside: int, inside: int, protocol: str = "tcp") -> Port:
    return Port(protocol, inside, ip_address(host), outside)


def flat() -> Network:
    """An overlay without encapsulation."""
    subnet = ip_network("10.0.0.0/24")
    options = {"fairlead.encapsulation": "none"}
    return Network("f1a7" * 16, "flat", "overlay", 18, (Pool(subnet, subnet[1]),), options)


def between_hosts(net: Network) -> Iterator[Resource]:
    """The table of such a network with a container here and one on another host."""
    here = Endpoint("e", net.id, "b", "v", "eth0", "", (ip_interface("10.0.0.2/24"),))
    there = ip_address("192.0.2.3")
    away = Peer("p", net.id, there, "", (ip_interface("10.0.0.3/24"),))
    yield from routes.base(MARKS)
    yield from routes.of_network(MARKS, net)
    yield from routes.of_endpoint(MARKS, net, here)
    yield from routes.of_peer(MARKS, net, away, "eth0")
    yield from routes.of_far_host(MARKS, net, there)


DOCKER0 = network("bridge", 17)

LISTS = world(
    [
        network("front", 18, options={"fairlead.publish_from": "192.0.2.0/24;2001:db8::/32"}),
        network("back", 19, options={"fairlead.egress": "198.51.100.7,203.0.113.0/24"}),
    ],
    ("front", (port("0.0.0.0", 8080, 80), port("::", 8080, 80))),
)


def lists(world: World) -> Iterator[Resource]:
    """The table of lists of sources and destinations."""
    yield from callers.base(MARKS)
    for box in world.sandboxes.values():
        yield from callers.of_sandbox(MARKS, world, box)
    yield from egress.base(MARKS)
    for net in world.networks.values():
        yield from egress.of_network(MARKS, net)


PAGES = (
    Page(
        "default-bridge",
        "The default bridge alone",
        (),
        (
            "`DOCKER-USER` is yours: it is made once, holds a RETURN, and is never written again.",
            "`DOCKER-ISOLATION-STAGE-1` catches what leaves a bridge for elsewhere; `STAGE-2` drops "
            "it if elsewhere is another of our bridges.",
            "`DOCKER` in `filter` ends with a DROP for each bridge: what is not published is closed.",
            "`DOCKER-DIRECT` in `raw` drops packets from outside to a container's own address before "
            "any NAT looks at them. Addresses of this host in that subnet (the gateway) are spared.",
        ),
        world([DOCKER0]),
    ),
    Page(
        "published-ports",
        "Published ports",
        (
            "docker run -d -p 8080:80 busybox …",
            "docker run -d -p 127.0.0.1:8081:80 -p 8053:53/udp busybox …",
        ),
        (
            "Each port is one DNAT in `nat DOCKER` and one ACCEPT in `filter DOCKER`.",
            "A port on the loopback is also guarded in `raw`: a neighbour could send a frame for "
            "127.0.0.1 to this host's MAC address.",
            "Connections from this host's loopback, and from containers through the host's address, "
            "do not pass NAT: the proxy, which holds the port, takes them.",
        ),
        world(
            [DOCKER0],
            ("bridge", (port("0.0.0.0", 8080, 80), port("::", 8080, 80))),
            ("bridge", (port("127.0.0.1", 8081, 80), port("0.0.0.0", 8053, 53, "udp"))),
        ),
    ),
    Page(
        "without-a-proxy",
        "Published ports without a proxy",
        (
            "fairlead daemon --userland-proxy=false",
            "docker network create --ipv6 one",
            "docker run -d --network one -p 8080:80 busybox …",
        ),
        (
            "Nobody is excepted from DNAT: this host's own connections and those of containers, "
            "also of the same network, are led to the container by the kernel.",
            "Whoever is led back to his own network is masqueraded, so that the answer comes by this "
            "host again; and so is what this host sends from its loopback.",
            "For the latter the bridges route 127.0.0.0/8 (`route_localnet`); `raw` drops what "
            "containers send there.",
            "Isolation does not stop what was led: the port is published for everybody.",
            "::1 is not routed by any kernel: there the proxy serves as ever.",
        ),
        world(
            [network("one", 18, six=True)],
            ("one", (port("0.0.0.0", 8080, 80), port("::", 8080, 80))),
        ),
        Habits(proxied=False),
    ),
    Page(
        "two-networks",
        "Two networks of a user's",
        ("docker network create one", "docker network create two"),
        (
            "The bridges stand in the isolation chains in the order in which they were made, so that "
            "`iptables -R DOCKER-ISOLATION-STAGE-2 2 -o br-one -j ACCEPT` opens the second.",
            "A rule that you replace there stays until fairlead has to change that chain.",
        ),
        world([DOCKER0, network("one", 18), network("two", 19)]),
    ),
    Page(
        "internal",
        "An internal network",
        ("docker network create --internal closed",),
        (
            "Nothing but its own subnet may enter or leave its bridge, and nothing is masqueraded.",
            "The containers have no default route either; the rules only second that.",
        ),
        world([DOCKER0, network("closed", 18, internal=True)]),
    ),
    Page(
        "icc-off",
        "Containers that may not talk to each other",
        ("docker network create -o com.docker.network.bridge.enable_icc=false quiet",),
        ("The last rule of the bridge in `DOCKER-FORWARD` is a DROP instead of an ACCEPT.",),
        world([DOCKER0, network("quiet", 18, options=ICC_OFF)]),
    ),
    Page(
        "no-masquerade",
        "A network without masquerading",
        ("docker network create -o com.docker.network.bridge.enable_ip_masquerade=false plain",),
        ("It has no rule in `nat POSTROUTING`: the outside sees the containers' own addresses.",),
        world([DOCKER0, network("plain", 18, options=NO_MASQ)]),
    ),
    Page(
        "dual-stack",
        "A network with IPv6",
        (
            "docker network create --ipv6 both",
            "docker run -d --network both -p 8080:80 -p 9000-9002:9000-9002 busybox …",
        ),
        (
            "ip6tables says for IPv6 what iptables says for IPv4.",
            "With nftables the three ports that keep their numbers are one interval.",
        ),
        world(
            [DOCKER0, network("both", 18, six=True)],
            (
                "both",
                tuple(
                    port(host, outside, inside)
                    for host in ("0.0.0.0", "::")
                    for outside, inside in ((8080, 80), (9000, 9000), (9001, 9001), (9002, 9002))
                ),
            ),
        ),
    ),
    Page(
        "gateway-modes",
        "Networks that are reached directly",
        (
            f"docker network create -o {MODE}4=routed routed",
            f"docker network create -o {MODE}4=nat-unprotected open",
            "docker network create -o com.docker.network.bridge.trusted_host_interfaces=eth1 near",
            "docker network create --internal -o fairlead.mss_clamp=true -o … isolated",
        ),
        (
            "A routed network has no NAT at all: who has a route reaches its published ports at the "
            "containers' own addresses, and can ping them.",
            "An unprotected network is masqueraded as usual, but open to whoever has a route.",
            "Trusted interfaces of the host reach published ports directly.",
        ),
        world(
            [
                network("routed", 18, options={f"{MODE}4": "routed"}),
                network("open", 19, options={f"{MODE}4": "nat-unprotected"}),
                network(
                    "near",
                    20,
                    options={"com.docker.network.bridge.trusted_host_interfaces": "eth1"},
                ),
                network(
                    "isolated",
                    21,
                    internal=True,
                    options={f"{MODE}4": "isolated", "fairlead.mss_clamp": "true"},
                ),
            ],
            ("routed", (Port("tcp", 80, ip_address("0.0.0.0"), 0),)),
        ),
    ),
    Page(
        "without-encapsulation",
        "An overlay without encapsulation",
        (
            "docker network create -d overlay -o fairlead.encapsulation=none flat",
            "docker run -d --network flat busybox …    # here, and on host 192.0.2.3",
        ),
        (
            "The backend's rules only let the network's bridge pass, and keep other networks out. "
            "Who passes is said by a table of its own, which comes first below.",
            "From the bridge to another host: from an address that a container here has, to one "
            "that a container there has, by the link on which that host is. In the other direction "
            "the same.",
            "All else that enters or leaves the bridge is dropped, and so is what is sent to a "
            "container of another host from elsewhere by way of this one.",
            "Such packets are not tracked, so no rule of anybody translates their addresses.",
            "The host is no member: only pings and neighbours are answered at the gateway.",
        ),
        world([DOCKER0, flat()], ("flat", ())),
        beside=tuple(between_hosts(flat())),
    ),
    Page(
        "lists",
        "Lists of sources and of destinations",
        (
            "docker network create -o 'fairlead.publish_from=192.0.2.0/24;2001:db8::/32' front",
            "docker network create -o fairlead.egress=198.51.100.7,203.0.113.0/24 back",
            "docker run -d --network front -p 8080:80 busybox …",
        ),
        (
            "The backend's rules are as without lists. Who may come and what is led to is said by a "
            "table of its own, which comes first below; a packet must pass both.",
            "What begins is judged before any NAT, by the port that it asks this host for: so the "
            "list goes for what the kernel leads to the container as for what the proxy takes. At "
            "the container's own address it holds as well, should that be open.",
            "This host is not asked, nor are containers of the same network.",
            "What leaves `back` is judged by where it goes; answers go anywhere. The list has no "
            "IPv6 in it, so the network leads nowhere by IPv6.",
        ),
        LISTS,
        beside=tuple(lists(LISTS)),
    ),
)


def iptables(resources: Iterable[Resource]) -> str:
    """Resources in the manner of iptables-save, with why each rule is there."""
    tables: dict[str, tuple[list[str], list[str]]] = {}
    for item in resources:
        if isinstance(item, Chain):
            names, lines = tables.setdefault(item.table, ([], []))
            names.append(f":{item.name} -")
            where = f"{item.table} {item.name}"
            lines += [f"-A {item.name} {r}\n    # {of_iptables(where, r)}" for r in item.rules]
        elif isinstance(item, Rule):
            why = of_iptables(f"{item.table} {item.chain}", item.spec)
            lines = tables.setdefault(item.table, ([], []))[1]
            lines.append(f"-A {item.chain} {item.spec}\n    # {why}")
    return "\n".join(
        "\n".join([f"*{table}", *names, *lines, "COMMIT"])
        for table, (names, lines) in tables.items()
    )


def nftables(resources: Iterable[Resource]) -> str:
    """Resources in the manner of nft, sets that are empty left out."""
    found = list(resources)
    elements: dict[str, list[str]] = {}
    for item in found:
        if isinstance(item, NftElement):
            value = f" : {item.value}" if item.value else ""
            elements.setdefault(item.set, []).append(f"{item.item}{value}")
    lines = []
    for item in found:
        if isinstance(item, NftSet) and item.name in elements:
            lines += [f"{item.kind} {item.name} {{  # {SETS[item.name]}", f"  {item.spec}"]
            lines += [f"  elements = {{ {', '.join(elements[item.name])} }}", "}"]
        elif isinstance(item, NftChain):
            lines.append(f"chain {item.name} {{")
            lines += [f"  {item.hook}"] if item.hook else []
            lines += [f"  {r}\n    # {of_nftables(item.name, r)}" for r in item.rules]
            lines.append("}")
    return "\n".join(lines)


def text(page: Page) -> str:
    """A page of documentation."""
    commands = "".join(f"    {line}\n" for line in page.commands)
    shown = f"After\n\n{commands}\n" if commands else ""
    notes = "".join(f"- {note}\n" for note in page.notes)
    meant = policy(page.world)

    def rules(backend: str, version: int) -> Iterable[Resource]:
        return firewall(backend, MARKS, (version,), page.habits).resources(meant)

    shows = [("beside either", nftables(page.beside))] if page.beside else []
    shows.append(("iptables", iptables(rules("iptables", 4))))
    if any(net.enable_ipv6 for net in page.world.networks.values()):
        shows.append(("ip6tables", iptables(rules("iptables", 6))))
        shows.append(("nftables, IPv6", nftables(rules("nftables", 6))))
    shows.append(("nftables", nftables(rules("nftables", 4))))
    blocks = "\n".join(f"## {title}\n\n```text\n{found}\n```\n" for title, found in shows)
    return (
        f"# {page.title}\n\n{shown}{notes}\n"
        "These rules are generated; a test fails when they drift from what the daemon writes.\n\n"
        f"{blocks}"
    )


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (FOLDER / f"{page.name}.md").write_text(text(page))


if __name__ == "__main__":
    main()
