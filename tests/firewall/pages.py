"""The pages of docs/firewall: worlds, what they mean, and the rules that they become.

Run ``python -m tests.firewall.pages`` to write them anew after a change of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from fairlead.firewall.iptables import IptablesRenderer
from fairlead.firewall.policy import policy
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.marks import Marks
from fairlead.model.network import Network, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import Chain, Resource, Rule
from fairlead.model.world import Change, World

FOLDER = Path(__file__).parents[2] / "docs" / "firewall"
MARKS = Marks("5eed5eed")
ICC_OFF = {"com.docker.network.bridge.enable_icc": "false"}
NO_MASQ = {"com.docker.network.bridge.enable_ip_masquerade": "false"}


@dataclass(frozen=True)
class Page:
    """One scenario: commands, the world they lead to, and what to notice in the rules."""

    name: str
    title: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    world: World = field(default_factory=World)


def network(name: str, number: int, **more: object) -> Network:
    """A bridge network; docker0 is number 17."""
    subnet = ip_network(f"172.{number}.0.0/16")
    options: Mapping[str, str] = more.pop("options", {})  # type: ignore[assignment]
    if name == "bridge":
        options = {**options, "com.docker.network.bridge.name": "docker0"}
    else:
        options = {**options, "com.docker.network.bridge.name": f"br-{name}"}
    pool = Pool(subnet, subnet[1])
    return Network(
        name * 8, name, "bridge", number, (pool,), options, predefined=name == "bridge", **more  # type: ignore[arg-type]
    )  # fmt: skip


def world(networks: Iterable[Network], *published: tuple[str, tuple[Port, ...]]) -> World:
    """Networks, and one container per entry of `published` with its ports."""
    nets = {net.name: net for net in networks}
    change = Change(put=tuple(nets.values()))
    for number, (name, ports) in enumerate(published):
        net = nets[name]
        subnet = net.pools[0].subnet
        box = Sandbox(f"box{number}", f"c{number}", f"c{number}", f"c{number}", ports=ports)
        address = ip_interface(f"{subnet[2 + number]}/{subnet.prefixlen}")
        gateways = (subnet[1],)
        end = Endpoint(f"e{number}", net.id, box.id, "v", "eth0", "", (address,), gateways)
        change = Change(put=(*change.put, box, end))
    return World().after(change)


def port(host: str, outside: int, inside: int, protocol: str = "tcp") -> Port:
    return Port(protocol, inside, ip_address(host), outside)


DOCKER0 = network("bridge", 17)

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
        "two-networks",
        "Two networks of a user's",
        ("docker network create one", "docker network create two"),
        (
            "The bridges stand in each chain in the order in which they were made, so that "
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
)


def rules(resources: Iterable[Resource]) -> str:
    """Resources in the manner of iptables-save."""
    tables: dict[str, tuple[list[str], list[str]]] = {}
    for item in resources:
        if isinstance(item, Chain):
            names, lines = tables.setdefault(item.table, ([], []))
            names.append(f":{item.name} -")
            lines += [f"-A {item.name} {rule}" for rule in item.rules]
        elif isinstance(item, Rule):
            tables.setdefault(item.table, ([], []))[1].append(f"-A {item.chain} {item.spec}")
    return "\n".join(
        "\n".join([f"*{table}", *names, *lines, "COMMIT"])
        for table, (names, lines) in tables.items()
    )


def text(page: Page) -> str:
    """A page of documentation."""
    commands = "".join(f"    {line}\n" for line in page.commands)
    shown = f"After\n\n{commands}\n" if commands else ""
    notes = "".join(f"- {note}\n" for note in page.notes)
    found = rules(IptablesRenderer(MARKS).resources(policy(page.world)))
    return (
        f"# {page.title}\n\n{shown}{notes}\n"
        "These rules are generated; a test fails when they drift from what the daemon writes.\n\n"
        f"```text\n{found}\n```\n"
    )


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        (FOLDER / f"{page.name}.md").write_text(text(page))


if __name__ == "__main__":
    main()
