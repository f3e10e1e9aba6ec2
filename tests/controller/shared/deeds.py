"""What hosts do, as the commands of users make them."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from fairlead.cluster.keys import Keys
from fairlead.cluster.pools import PoolId
from fairlead.controller.shared.allocate import (
    release_address,
    release_pool,
    request_address,
    request_pools,
)
from fairlead.controller.shared.place import Place
from fairlead.controller.shared.register import (
    put_endpoint,
    put_network,
)
from fairlead.controller.shared.vnis import obtain_vni
from fairlead.model.endpoint import Endpoint
from fairlead.model.network import Network, PoolRequest, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPAddress

KEYS = Keys()
HOST_A, HOST_B = ip_address("192.0.2.11"), ip_address("192.0.2.12")


def id_of(number: int) -> str:
    return f"{number:064x}"


async def make(
    place: Place,
    id_: str,
    name: str = "",
    asked: tuple[PoolRequest, ...] = (),
    with_vnis: bool = False,
) -> Network:
    """Make a network, as a user's command does; with VNIs as fairlead, without as Docker."""
    pools = await request_pools(place, asked)
    network = Network(id_, name or id_[-6:], "overlay", 0, pools, scope=Scope.GLOBAL)
    try:
        await put_network(place, network, asked=asked, with_vnis=with_vnis)
    except BaseException:
        for pool in pools:
            await release_pool(place, PoolId(pool.subnet, pool.ip_range))
        raise
    return network


async def join(place: Place, network: Network, id_: str, host: IPAddress) -> Endpoint:
    """Join a network, as the start of a container does."""
    pool = PoolId(network.pools[0].subnet)
    address = await request_address(place, pool)
    endpoint = Endpoint(
        id_, network.id, "5" * 64, "veth1", "eth0", "02:42:" + ":".join(id_[at : at + 2] for at in (56, 58, 60, 62)),
        (ip_interface(f"{address}/{pool.subnet.prefixlen}"),),
    )  # fmt: skip
    try:
        await obtain_vni(place, network.id, pool.subnet)
        await put_endpoint(place, network, endpoint, Sandbox("5" * 64, "6" * 64, "c", "h"), host)
    except Exception:
        await release_address(place, pool, address)
        raise
    return endpoint
