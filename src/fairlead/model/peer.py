"""Peers: endpoints of a shared network that live on other hosts."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.model.state import IPAddress, IPInterface


@dataclass(frozen=True, slots=True)
class Peer:
    """An endpoint on another host: who it is, and where its frames are to be sent.

    Whoever takes over its address is another peer, with an id and a MAC of its own: what
    was programmed for one never serves the other.
    """

    id: str
    network: str
    host: IPAddress
    """The address of the host it is on: the far end of the tunnel to it."""
    mac: str
    addresses: tuple[IPInterface, ...]
    name: str = ""
    """The name of its container."""
    aliases: tuple[str, ...] = ()
    anonymous: bool = False
    """It is known by its aliases only: nobody gave its container a name."""
    access: bool = False
    """It is the other host itself: nobody uses the network because of it."""
