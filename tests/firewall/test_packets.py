"""Both firewalls decide alike, whatever a network's options are: packets say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairlead.firewall.backends import BACKENDS, firewall
from fairlead.firewall.policy import Habits, Mark, policy
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.nft import Context
from fairlead.model.state import Resource, Scope, state
from fairlead.plan.diff import diff
from tests.contract.conftest import linux, private_host  # noqa: F401
from tests.firewall.field import OPEN, SHUT, Field, ground, world

pytestmark = pytest.mark.root

HABITS = {
    "usual": Habits(),
    "direct": Habits(direct=True),
    "marked": Habits(accepted=Mark(0x10, 0xF0)),
    "unproxied": Habits(proxied=False),
    "strangers": Habits(),
}
MARKING = "".join(
    f"""
    table {family} marking {{
      chain c_marking {{
        type filter hook prerouting priority -350;
        iifname "up0" meta mark set 0x10
      }}
    }}
    """
    for family in ("ip", "ip6")
)


@pytest.fixture
def field(linux: LinuxKernel, tmp_path: Path) -> Iterator[Field]:  # noqa: F811
    with ExitStack() as stack:
        built = Field(linux, world(), tmp_path / "neighbours")
        built.build(stack)
        yield built


def answers(field: Field, backend: str, name: str = "usual") -> dict[str, str]:
    """Who reaches whom under a firewall."""
    habits = HABITS[name]
    strangers = frozenset({4, 6} if name == "strangers" else {})
    walls = firewall(backend, field.kernel.marks, habits=habits)
    rules: list[Resource] = list(walls.resources(policy(field.world, strangers)))
    field.switch([*ground(field.world, habits.proxied), *rules])
    return field.ask(field.probes())


@pytest.mark.parametrize("name", HABITS)
def test_both_decide_alike(field: Field, name: str) -> None:
    """Each probe has the same fate, and is seen from the same address, under either."""
    if name == "marked":
        with Context() as nft:
            nft.run(MARKING)
    found = {backend: answers(field, backend, name) for backend in BACKENDS}

    first, second = found.values()
    assert {p: (a, second[p]) for p, a in first.items() if a != second[p]} == {}
    judge(field, first, name)


def judge(field: Field, found: dict[str, str], habit: str) -> None:
    """What the rules of the house say, network by network."""
    for number, net in enumerate(field.world.networks.values()):
        mode = str(net.bridge.mode4)
        first, second = (
            next(e for e in field.world.on_network(net.id) if e.ifname.endswith(end))
            for end in ("-2", "-3")
        )
        for pool, host in zip(net.pools, ("192.0.2.1", "2001:db8:1::1"), strict=True):
            six = pool.subnet.version == 6
            here = str((first.ipv6 if six else first.ipv4).ip)  # type: ignore[union-attr]
            there = str((second.ipv6 if six else second.ipv4).ip)  # type: ignore[union-attr]
            outsider = "2001:db8:1::9" if six else "192.0.2.9"
            trusted = "2001:db8:2::9" if six else "198.51.100.9"

            def fate(source: str, address: str, port: int) -> str:
                return found[f"{source} -> [{address}]:{port}"]

            published = not net.internal and mode != "routed"
            # Without a proxy in between these are the kernel's, and somebody has to lead back.
            gateway = str(pool.gateway)
            led_back = gateway if published and habit == "unproxied" else "ECONNREFUSED"
            if not net.internal:
                assert fate(first.sandbox, host, 20000 + number) == led_back, net.name
            if not six:
                assert fate("host", "127.0.0.1", 20000 + number) == led_back, net.name

            neighbour = fate(second.sandbox, here, SHUT)
            assert neighbour == (there if net.bridge.icc else "silence"), net.name

            led = fate("outsider", host, 20000 + number)
            assert led == (outsider if published else "ECONNREFUSED"), net.name

            known = mode in ("routed", "nat-unprotected") or habit == "direct"
            wide = mode == "nat-unprotected" or habit == "marked"
            reached = not net.internal and (known or wide)
            assert fate("outsider", here, OPEN) == (outsider if reached else "silence"), net.name
            wholly = not net.internal and wide
            assert fate("outsider", here, SHUT) == (outsider if wholly else "silence"), net.name
            near = not net.internal and (known or bool(net.bridge.trusted))
            assert fate("trusted", here, OPEN) == (trusted if near else "silence"), net.name
            shown = host if net.bridge.masquerade and mode != "routed" else here
            away = fate(first.sandbox, outsider, OPEN)
            assert away == ("silence" if net.internal else shown), net.name


def test_networks_are_closed_to_each_other(field: Field) -> None:
    """From any network to any other nothing passes, but to published ports of routed ones."""
    found = answers(field, "nftables")
    modes = {e.sandbox: str(field.world.networks[e.network].bridge.mode4)
             for e in field.world.endpoints.values()}  # fmt: skip
    inside = {e.sandbox: field.world.networks[e.network].internal
              for e in field.world.endpoints.values()}  # fmt: skip
    for target in (e for e in field.world.endpoints.values() if e.ifname.endswith("-2")):
        for source in (e for e in field.world.endpoints.values() if e.ifname.endswith("-2")):
            if source.network == target.network:
                continue
            for address in target.addresses:
                routed = modes[target.sandbox] == "routed" and not inside[source.sandbox]
                answer = found[f"{source.sandbox} -> [{address.ip}]:{OPEN}"]
                assert (answer != "silence") == routed
                assert found[f"{source.sandbox} -> [{address.ip}]:{SHUT}"] == "silence"


@pytest.mark.parametrize(
    "habits",
    [Habits(), Habits(proxied=False), Habits(direct=True, accepted=Mark(0x10, 0xF0), raw=False)],
)
def test_a_change_of_backend_leaves_nothing(field: Field, habits: Habits) -> None:
    """Whichever way one changes, the other's tables and chains are gone."""
    for backend in (*BACKENDS, *BACKENDS):
        walls = firewall(backend, field.kernel.marks, habits=habits)
        want = state(list(walls.resources(policy(field.world))))
        field.switch([*ground(field.world, habits.proxied), *want.values()])
        found = field.kernel.observe(Scope())
        assert {k for k in found if k[0] in ("chain", "rule", "nft")} == {
            k for k in want if k[0] in ("chain", "rule", "nft")
        }
        assert diff({**found, **want}, found) == ()
