"""ask: networks in which somebody else has a say, and how they are asked.

A network of this host alone is planned and committed in one breath, under the one lock. Of
others somebody else is asked first: a driver's or an IPAM's program, or the store of a
cluster. Their answers may take long or never come, so nobody waits for them who holds the
lock, and other networks go on meanwhile::

    lock    draft: checked, named and given addresses from the world as it is; promised
    no lock ask: each answer makes the draft a little more true
    lock    commit: checked again, planned from the world as it is then

**Promises.** What is drafted is not in the world, but whoever drafts something else sees it
(`Asker._expected`): no name, pool, address or interface is promised twice. A network that is
promised to somebody cannot be removed.

**Errands.** Before something is asked for, it is on disk what takes it back (`model.errand`);
the commit strikes that out with the same write. Whatever fails, or dies, on the way leaves
errands that are run: at once, with patience in the background, or after the next start. What
ends is committed first and told afterwards in the same way: a dead party is in nobody's way.
An errand is done when somebody has answered, even with a refusal, which is warned of.

**Who is asked.** `Outside.find` says who has a say in a network: a `Ledger` that gives out
pools and addresses (None: ours, from the world), a `Lessor` that lets addresses where there
are no pools, and `Party`s that are told of the network and its endpoints, first to last;
what ends is told last to first. Implement these to bring in another somebody; nothing else
of this file has to change. All methods but `foreign` may take as long as they like within
their own time limits; they raise a `FairleadError` whose message is one clear line,
`Unavailable` when nobody answered. Whoever raises `Declined` vouches that nothing is left to
take back.

**Who may refuse an end.** A network that hosts have in common ends there first
(`Outside.let_go`): somebody may be on it of whom nothing is known here. If nobody answers, it
ends here, is told as an errand, and comes back when that is refused.

The flows are in `asker`, errands are run by `courier`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fairlead.model.endpoint import Endpoint, EndpointRequest, PortRequest
from fairlead.model.errors import Failed
from fairlead.model.network import Network, NetworkRequest, Pool, Scope
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import IPInterface

BOTH = frozenset({4, 6})


class Declined(Failed):
    """A party said no and made nothing, or took back what it made."""


class Ledger(Protocol):
    """Who gives out pools and addresses.

    What was given by an answer that never arrived nobody here knows of: to find that again
    is the ledger's own business.
    """

    async def pools(self, net: Network, request: NetworkRequest) -> tuple[Pool, ...]:
        """The pools of a network to be, with gateways; of all that were given or of none."""

    async def release_pool(self, net: Network, pool: Pool) -> None:
        """A pool, its gateway and what was set aside of it are free again."""

    async def addresses(
        self, net: Network, ep: Endpoint, request: EndpointRequest
    ) -> tuple[IPInterface, ...]:
        """One address of each family that the network has; all or none."""

    async def release(self, net: Network, ep: Endpoint, address: IPInterface) -> None:
        """An address is free again."""

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """We have started again; this network's pools and these addresses are held."""


class Lessor(Protocol):
    """Who lets addresses to endpoints for a time, on a network that has no pools of ours."""

    async def let(
        self, net: Network, box: Sandbox, ep: Endpoint, request: EndpointRequest
    ) -> Endpoint:
        """The endpoint with its lease and what follows from it; whoever fails leaves nothing."""

    async def give_back(self, net: Network, ep: Endpoint) -> None:
        """An endpoint's lease is over."""

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """We have started again, and these have leases."""


class Party(Protocol):
    """Who builds a network elsewhere, or must know of it."""

    async def create(self, net: Network) -> Network:
        """The network, with what the party adds to it."""

    async def delete(self, net: Network) -> None:
        """It is gone."""

    async def join(
        self, net: Network, box: Sandbox, ep: Endpoint, place: Path, publish: Sequence[PortRequest]
    ) -> Endpoint:
        """The endpoint, with what the party adds: its link, ways out, routes, MAC.

        `place` is where the sandbox's namespace will be, once the join is committed.
        """

    async def leave(self, net: Network, ep: Endpoint) -> None:
        """It is gone; a link that was lent is on the host again. Told of what never was as well."""

    async def resume(self, net: Network, endpoints: Sequence[Endpoint]) -> None:
        """We have started again, and these are here. Who knows of them already does nothing."""

    async def expose(self, net: Network, ep: Endpoint, publish: Sequence[PortRequest]) -> None:
        """The sandbox reaches the world through this endpoint now, and wants these ports open."""

    async def conceal(self, net: Network, ep: Endpoint) -> None:
        """It no longer does."""


@dataclass(frozen=True, slots=True)
class Say:
    """Who has a say in a network."""

    ledger: Ledger | None = None
    parties: tuple[Party, ...] = ()
    scope: Scope = Scope.LOCAL
    remote: bool = False
    """The driver is somebody else's program."""
    gateways: frozenset[int] = BOTH
    """The families of which an address is set aside for a gateway."""
    lessor: Lessor | None = None
    common: bool = False
    """What it has to say is said to all hosts of a cluster."""


NOBODY = Say()
"""Only this host's own driver and addresses."""


class Outside(Protocol):
    """Knows who has a say."""

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether anybody else has one. Asked at each change, so it answers at once."""

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """Who. Raises NotFound, or Unavailable, when they are not there.

        With patience for those who come up just now; without, when nobody waits for the answer.
        """

    async def let_go(self, net: Network) -> None:
        """A network in common with others is to end: it is gone there when this returns.

        Raises Forbidden, with all as it was, when somebody is on it there. What else is
        raised is no refusal: they are told once more, by an errand.
        """

    async def names(self) -> Collection[str]:
        """The network drivers of others that are there now; whoever is slow is left out."""


class Several:
    """Several who may know; the first that does is believed."""

    def __init__(self, *outsides: Outside) -> None:
        self._outsides = outsides

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """Whether any of them says that somebody has a say."""
        return any(outside.foreign(net) for outside in self._outsides)

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """Who, as the first of them says."""
        for outside in self._outsides:
            if outside.foreign(net):
                return await outside.find(net, patient)
        return NOBODY

    async def let_go(self, net: Network) -> None:
        """By the first that knows it."""
        for outside in self._outsides:
            if outside.foreign(net):
                await outside.let_go(net)
                return

    async def names(self) -> Collection[str]:
        """All that any of them knows."""
        return [name for outside in self._outsides for name in await outside.names()]


class Alone:
    """Nobody else has a say in anything."""

    def foreign(self, net: Network | NetworkRequest) -> bool:
        """No."""
        return False

    async def find(self, net: Network | NetworkRequest, patient: bool = True) -> Say:
        """Nobody."""
        return NOBODY

    async def let_go(self, net: Network) -> None:
        """It is in common with nobody."""

    async def names(self) -> Collection[str]:
        """None."""
        return ()
