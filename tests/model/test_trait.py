"""What a world keeps about all of its networks is so, whatever came and went."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.network import ENCAPSULATION, UNWRAPPED, Network, Pool
from fairlead.model.prefixes import EGRESS, PUBLISH_FROM
from fairlead.model.sandbox import Sandbox
from fairlead.model.trait import Trait, traits
from fairlead.model.world import Change, World

POOLS = (Pool(ip_network("10.9.0.0/24")),)
PLAIN = Network("0", "net", "bridge", 0, POOLS)
EVERYBODY = (ip_network("0.0.0.0/0"),)
KINDS: tuple[Network | Sandbox | Endpoint, ...] = (
    PLAIN,
    replace(PLAIN, enable_ipv6=True),
    replace(PLAIN, enable_ipv6=True, options={"fairlead.antispoof": "true"}),
    replace(PLAIN, options={"fairlead.antispoof": "false"}),
    replace(PLAIN, driver="overlay", enable_ipv6=True, vnis=(256,)),
    replace(PLAIN, driver="overlay", options={ENCAPSULATION: UNWRAPPED}),
    replace(
        PLAIN,
        predefined=True,
        options={"com.docker.network.bridge.enable_icc": "false"},
    ),
    replace(PLAIN, pools=(Pool(ip_network("10.8.0.0/24")),)),
    replace(PLAIN, driver="null", config_only=True),
    replace(PLAIN, options={PUBLISH_FROM: "10.0.0.0/8"}),
    replace(PLAIN, options={EGRESS: "none"}),
    Endpoint("0", "n", "s", "v", "eth0", ""),
    Endpoint("0", "n", "s", "v", "eth0", "", options={PUBLISH_FROM: "10.0.0.0/8"}),
    Sandbox("0", "c", "box", "box", ports=(Port("tcp", 80, EVERYBODY[0][0], 80),)),
    Sandbox("0", "c", "box", "box", ports=(Port("tcp", 80, EVERYBODY[0][0], 80, EVERYBODY),)),
    Sandbox("0", "c", "box", "box"),
    Sandbox("0", "c", "box", "box", access=True),
)


def _called(kind: Network | Sandbox | Endpoint, name: str) -> Network | Sandbox | Endpoint:
    if isinstance(kind, Endpoint):
        return replace(kind, id=name)
    return replace(kind, id=name, name=name)


THINGS = st.builds(
    lambda kind, number: _called(kind, f"{type(kind).__name__}{number}"),
    st.sampled_from(KINDS),
    st.integers(0, 3),
)
CHANGES = st.builds(
    lambda put, drop: Change(tuple(put), tuple(drop)),
    st.lists(THINGS, max_size=3, unique_by=lambda thing: thing.id),
    st.lists(THINGS, max_size=2),
)


@given(st.lists(CHANGES, max_size=12))
def test_who_bears_a_trait_and_what_is_taken(changes: list[Change]) -> None:
    world = World()
    for change in changes:
        world = world.after(change)
        everybody: list[Network | Sandbox | Endpoint] = [*world.networks.values()]
        everybody += (*world.sandboxes.values(), *world.endpoints.values())
        for trait in Trait:
            bearers = {thing.id for thing in everybody if trait in traits(thing)}
            assert set(world.bearing(trait)) == bearers
        nets = [net for net in world.networks.values() if not net.config_only]
        pools = [pool.subnet for net in nets for pool in net.pools]
        assert [ip_network((first, 24)) for first, _ in world.blocks(4)] == sorted(pools)
