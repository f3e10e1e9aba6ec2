"""Adopting a namespace that somebody else made, and knowing it again. Blocks: kernel thread."""

from __future__ import annotations

from fairlead.kernel.port import Kernel, Place
from fairlead.model.errors import Conflict, Invalid, NotFound
from fairlead.model.sandbox import Sandbox
from fairlead.model.world import World


def found(kernel: Kernel, world: World, source: str) -> Place:
    """The namespace at a path, if it may become a sandbox. Raises NotFound, Invalid, Conflict."""
    place = kernel.look(source)
    if place.pin:
        names = [box.name for box in world.sandboxes.values() if box.namespace == place.pin]
        raise Conflict(
            f"the namespace at {source} is sandbox {next(iter(names), place.pin)} already",
            hint="join that one to more networks, or remove it first",
        )
    if place.served:
        raise Conflict(
            f"names are served in the namespace at {source} already, by another fairlead",
            hint="remove the sandbox there; if that fairlead is gone, "
            f"`nsenter --net={source} nft delete table ip fairlead_dns` ends it",
        )
    return place


def stands(kernel: Kernel, box: Sandbox) -> bool:
    """Whether a sandbox's namespace is there; one of our own can always be made again."""
    return not box.adopted or any(
        _is(kernel, where, box.identity) for where in (box.namespace, box.source)
    )


def _is(kernel: Kernel, where: str, identity: str) -> bool:
    try:
        return kernel.look(where).identity == identity
    except (NotFound, Invalid):
        return False
