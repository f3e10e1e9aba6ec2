"""Routes of the cluster that this host is in: /fairlead/cluster, an extension of ours."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.api.answers import answer
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.router import Route
from fairlead.model.errors import Unavailable


async def rotate_keys(call: Call) -> Reply:
    """New keys for what goes between the hosts."""
    if call.config.rotate is None:
        raise Unavailable("this host is in no cluster", hint="start it with --cluster-store")
    done = await call.config.rotate()
    return answer({"Generation": done.generation, "Hosts": done.hosts, "Gossip": done.gossip})


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("POST", "/fairlead/cluster/rotate-keys", rotate_keys)
