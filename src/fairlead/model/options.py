"""Driver options of a bridge network: text as users give it, typed as we use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from fairlead.model.errors import Failed, Invalid

BRIDGE = "com.docker.network.bridge."
NAME = BRIDGE + "name"
ICC = BRIDGE + "enable_icc"
MASQUERADE = BRIDGE + "enable_ip_masquerade"
HOST_BINDING = BRIDGE + "host_binding_ipv4"
DEFAULT_BRIDGE = BRIDGE + "default_bridge"
INHIBIT_IPV4 = BRIDGE + "inhibit_ipv4"
GATEWAY_MODE = BRIDGE + "gateway_mode_ipv"
"""With the version behind it: ``…gateway_mode_ipv6``."""
TRUSTED = BRIDGE + "trusted_host_interfaces"
MTU = "com.docker.network.driver.mtu"
SNAT = "com.docker.network.host_ipv"
"""With the version behind it: ``…host_ipv4``."""
MSS_CLAMP = "fairlead.mss_clamp"
ANTISPOOF = "fairlead.antispoof"
REPLY_SAME_WAY = "fairlead.reply_same_way"
"""Of a network or an endpoint: whether replies leave by the interface that was asked."""
PREFIX = "com.docker.network.container_iface_prefix"
ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls"
ENDPOINT_IFNAME = "com.docker.network.endpoint.ifname"

TRUE = {"1", "t", "T", "TRUE", "true", "True"}
FALSE = {"0", "f", "F", "FALSE", "false", "False"}
IFNAMSIZ = 15
USUAL_MTU = 1500


class Mode(StrEnum):
    """How a network's gateway leads to the world, for one address family."""

    NAT = "nat"
    """Out through the host's address; in by published ports only."""
    UNPROTECTED = "nat-unprotected"
    """As NAT, but a container's own address is open to whoever has a route to it."""
    ROUTED = "routed"
    """No translation: who has a route reaches the published ports at a container's own address."""
    ISOLATED = "isolated"
    """The bridge has no address, so that not even the host is reached."""


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """What a bridge network was asked for beyond its addresses. `mtu` in bytes."""

    name: str = ""
    mtu: int = USUAL_MTU
    icc: bool = True
    masquerade: bool = True
    host_binding: IPv4Address | IPv6Address | None = None
    snat4: IPv4Address | IPv6Address | None = None
    snat6: IPv4Address | IPv6Address | None = None
    mode4: Mode = Mode.NAT
    mode6: Mode = Mode.NAT
    inhibit_ipv4: bool = False
    trusted: tuple[str, ...] = ()
    mss_clamp: bool = False
    antispoof: bool = False
    """Containers speak for their own addresses only."""
    prefix: str = "eth"

    def mode(self, version: int) -> Mode:
        """How the gateway works for IPv4 or IPv6."""
        return self.mode4 if version == 4 else self.mode6

    def snat(self, version: int) -> IPv4Address | IPv6Address | None:
        """The address of the host that containers show to the world, if it was chosen."""
        return self.snat4 if version == 4 else self.snat6


def flag(options: Mapping[str, str], key: str, default: bool) -> bool:
    """An option that is true or false. Raises Invalid for anything else."""
    text = options.get(key)
    if text is None:
        return default
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise Invalid(
        f"failed to parse {key} value: {text} "
        f'(strconv.ParseBool: parsing "{text}": invalid syntax)',
        hint="use true or false",
    )


def _address(options: Mapping[str, str], key: str) -> IPv4Address | IPv6Address | None:
    text = options.get(key, "")
    if not text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise Invalid(f"failed to parse {key} value: {text} (nil ip)") from None


def _mode(options: Mapping[str, str], version: int) -> Mode:
    key = f"{GATEWAY_MODE}{version}"
    text = options.get(key, "") or Mode.NAT
    try:
        return Mode(text)
    except ValueError:
        raise Invalid(
            f"failed to parse {key} value: {text} (unknown gateway mode {text})",
            hint=f"choose one of {', '.join(Mode)}",
        ) from None


def _mtu(options: Mapping[str, str]) -> int:
    text = options.get(MTU)
    if text is None:
        return USUAL_MTU
    try:
        mtu = int(text)
    except ValueError:
        raise Invalid(
            f'failed to parse {MTU} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)'
        ) from None
    if mtu < 0:
        raise Invalid(f"invalid MTU number: {mtu}")
    if not 68 <= mtu <= 65535:
        raise Failed("invalid argument", hint=f"an MTU is between 68 and 65535 bytes, not {mtu}")
    return mtu


def interface_name(text: str, what: str) -> str:
    """The text as the name of an interface. Raises Failed or Invalid with the kernel's reasons."""
    if len(text.encode()) > IFNAMSIZ:
        raise Failed(
            "numerical result out of range",
            hint=f"{what} {text!r} is longer than {IFNAMSIZ} bytes",
        )
    plain = text.isascii() and text.isprintable()
    if not plain or text in (".", "..") or any(c in "/:%'\"\\*?;|&`$(){}<>!# \t+" for c in text):
        raise Failed("invalid argument", hint=f"{what} {text!r} is no name for an interface")
    return text


def bridge_options(options: Mapping[str, str]) -> BridgeOptions:
    """Options as values. Unknown keys are left alone; bad values raise Invalid."""
    return _bridge_options(frozenset(options.items()))


# A plan asks for the same options many times over.
@lru_cache(maxsize=4096)
def _bridge_options(items: frozenset[tuple[str, str]]) -> BridgeOptions:
    options = dict(items)
    name = options.get(NAME, "")
    prefix = options.get(PREFIX, "") or "eth"
    if name:
        interface_name(name, "the bridge name")
    interface_name(prefix + "0", "the interface prefix")
    return BridgeOptions(
        name=name,
        mtu=_mtu(options),
        icc=flag(options, ICC, True),
        masquerade=flag(options, MASQUERADE, True),
        host_binding=_address(options, HOST_BINDING),
        snat4=_address(options, f"{SNAT}4"),
        snat6=_address(options, f"{SNAT}6"),
        mode4=_mode(options, 4),
        mode6=_mode(options, 6),
        inhibit_ipv4=flag(options, INHIBIT_IPV4, False),
        trusted=tuple(
            interface_name(text, "the trusted interface")
            for text in options.get(TRUSTED, "").split(":")
            if text
        ),
        mss_clamp=flag(options, MSS_CLAMP, False),
        antispoof=flag(options, ANTISPOOF, False),
        prefix=prefix,
    )


def endpoint_sysctls(options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Settings of an endpoint's interface: paths below /proc/sys with IFNAME in them, and values.

    Raises Invalid for anything that is not a setting of one interface.
    """
    found = []
    for text in filter(None, options.get(ENDPOINT_SYSCTLS, "").split(",")):
        name, equals, value = text.partition("=")
        parts = name.strip().split(".")
        good = (
            equals
            and len(parts) == 5
            and parts[0] == "net"
            and parts[1] in ("ipv4", "ipv6", "mpls")
            # Docker's client makes small letters of everything in --network name=…
            and parts[3].upper() == "IFNAME"
            and all(part.replace("_", "").isalnum() for part in parts)
            and value.strip().isprintable()
        )
        if not good:
            raise Invalid(
                f"unrecognised network interface sysctl '{text}'; represent "
                "'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )
        parts[3] = "IFNAME"
        found.append(("/".join(parts), value.strip()))
    return tuple(found)
