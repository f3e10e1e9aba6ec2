"""What the overlay driver shares of a network: its subnets' VNIs, whether it is encrypted, its MTU.

A subnet has no VNI (0) until the first container joins it on any host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fairlead.cluster.text import (
    MOST_RECORD_BYTES,
    anything,
    encoded,
    flag_of,
    interface_of,
    list_of,
    number_of,
    subnet_of,
    text_of,
)
from fairlead.model.errors import Invalid
from fairlead.model.network import Network
from fairlead.model.options import MTU
from fairlead.model.state import IPInterface, IPNetwork

ENCRYPTED = "encrypted"
NO_VNI = 0
FIRST_VNI = 256
"""The first that is given out."""
LAST_VNI = (1 << 24) - 1
MOST_MTU = 1 << 16


@dataclass(frozen=True, slots=True)
class Segment:
    """One subnet of an overlay: a VXLAN of its own. `gateway` has the subnet's prefix."""

    subnet: IPNetwork
    gateway: IPInterface | None
    vni: int = NO_VNI


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay network as its driver knows it. `mtu` is of the underlay in bytes; 0: usual."""

    segments: tuple[Segment, ...]
    secure: bool = False
    mtu: int = 0
    rest: Mapping[str, object] = field(default_factory=dict, compare=False)
    """What else was written there."""

    def vni(self, subnet: IPNetwork) -> int:
        """A subnet's VNI; `NO_VNI` while it has none."""
        return next((s.vni for s in self.segments if s.subnet == subnet), NO_VNI)

    def with_vni(self, subnet: IPNetwork, vni: int) -> Overlay:
        """With a subnet's VNI."""
        segments = (replace(s, vni=vni) if s.subnet == subnet else s for s in self.segments)
        return replace(self, segments=tuple(segments))


def overlay_of(network: Network) -> Overlay:
    """An overlay's record when it is made: as Docker has it, of IPv4 subnets if there are any."""
    pools = [pool for pool in network.pools if pool.subnet.version == 4] or network.pools
    segments = tuple(
        Segment(
            pool.subnet,
            interface_of(f"{pool.gateway}/{pool.subnet.prefixlen}", "gateway")
            if pool.gateway is not None
            else None,
        )
        for pool in pools
    )
    mtu = network.options.get(MTU, "")
    return Overlay(
        segments, ENCRYPTED in network.options, int(mtu) if mtu.isascii() and mtu.isdigit() else 0
    )


def decode_overlay(value: bytes) -> Overlay:
    """An overlay's record. Raises Invalid."""
    fields = anything(value, MOST_RECORD_BYTES)
    if isinstance(fields, list):
        # As Docker wrote it before there was encryption.
        fields = {"mtu": 0, "secure": False, "subnets": fields}
    if not isinstance(fields, dict):
        raise Invalid("it is not a JSON object")
    segments = tuple(_segment(each) for each in list_of(fields, "subnets"))
    if not segments:
        raise Invalid("the overlay has no subnets")
    for at, segment in enumerate(segments):
        for other in segments[:at]:
            if segment.subnet.version == other.subnet.version and segment.subnet.overlaps(
                other.subnet
            ):
                raise Invalid(f"its subnets {other.subnet} and {segment.subnet} overlap")
            if segment.vni == other.vni != NO_VNI:
                raise Invalid(f"two of its subnets have the VNI {segment.vni}")
    mtu = number_of(fields, "mtu", MOST_MTU) if "mtu" in fields else 0
    return Overlay(segments, flag_of(fields, "secure"), mtu, fields)


def encode_overlay(overlay: Overlay) -> bytes:
    """An overlay's record as it lies in the store."""
    subnets = [
        {
            "SubnetIP": str(each.subnet),
            "GwIP": str(each.gateway) if each.gateway is not None else "<nil>",
            "Vni": each.vni,
        }
        for each in overlay.segments
    ]
    ours = {"mtu": overlay.mtu, "secure": overlay.secure, "subnets": subnets}
    return encoded(dict(sorted({**overlay.rest, **ours}.items())))


def _segment(found: object) -> Segment:
    if not isinstance(found, dict):
        raise Invalid("a subnet is not an object")
    subnet = subnet_of(text_of(found, "SubnetIP"), "subnet")
    text = text_of(found, "GwIP")
    gateway = None if text in ("", "<nil>") else interface_of(text, "gateway")
    if gateway is not None and gateway.network != subnet:
        raise Invalid(f"the gateway {gateway} is not in {subnet}")
    return Segment(subnet, gateway, number_of(found, "Vni", LAST_VNI))
