"""Driver options of networks on a parent (macvlan, ipvlan): text as given, typed as we use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from fairlead.model.errors import Failed, Invalid
from fairlead.model.options import MTU, bridge_options, flag, interface_name
from fairlead.model.underlay import ON_HOST

PARENT = "parent"
MACVLAN_MODE = "macvlan_mode"
IPVLAN_MODE = "ipvlan_mode"
IPVLAN_FLAG = "ipvlan_flag"
HOST_ACCESS = "fairlead.host_access"
HOST_ADDRESS = "fairlead.host"
"""The name, among a pool's auxiliary addresses, of the one that the host has on the network."""

PASSTHRU = "passthru"
MODES: Mapping[str, tuple[str, ...]] = {
    "macvlan": ("bridge", "private", "vepa", PASSTHRU),
    "ipvlan": ("l2", "l3", "l3s"),
}
FLAGS = ("bridge", "private", "vepa")
KINDS = frozenset(MODES)
"""The drivers whose networks stand on a parent; the kernel calls such links so, too."""

DUMMIES: Mapping[str, str] = {"macvlan": "dm-", "ipvlan": "di-"}
"""How the parent is called that a network gets which names none."""
MOST_VLAN = 4094


@dataclass(frozen=True, slots=True)
class ParentOptions:
    """What a network on a parent was asked for. `mtu` in bytes, 0 for the parent's."""

    parent: str = ""
    mode: str = ""
    flag: str = ""
    mtu: int = 0
    host_access: bool = False

    @property
    def by_device(self) -> bool:
        """Whether all that is for elsewhere just leaves by the interface, without a gateway."""
        return self.mode in ("l3", "l3s")


def parent_options(driver: str, options: Mapping[str, str]) -> ParentOptions:
    """Options as values. Unknown keys are left alone; bad values raise Failed or Invalid."""
    return _parent_options(driver, frozenset(options.items()))


@lru_cache(maxsize=4096)
def _parent_options(driver: str, items: frozenset[tuple[str, str]]) -> ParentOptions:
    options = dict(items)
    parent = options.get(PARENT, "")
    mode = _one_of(driver, "mode", options.get(f"{driver}_mode", ""), MODES[driver])
    spoken = _one_of(driver, "flag", options.get(IPVLAN_FLAG, ""), FLAGS)
    if parent == "lo":
        raise Failed(
            f"loopback interface is not a valid {driver} parent link",
            hint="name an interface that leads somewhere: `ip link` shows them",
        )
    if parent:
        interface_name(parent, "the parent")
    host_access = flag(options, HOST_ACCESS, False)
    if host_access and (mode in ("private", PASSTHRU) or spoken == "private"):
        raise Invalid(
            f"{HOST_ACCESS} is of no use with {driver} {mode} {spoken}".rstrip()
            + ": links on the parent do not reach each other"
        )
    mtu = bridge_options(options).mtu if MTU in options else 0
    return ParentOptions(parent, mode, spoken if driver == "ipvlan" else "", mtu, host_access)


def _one_of(driver: str, what: str, text: str, known: tuple[str, ...]) -> str:
    if text and text not in known:
        usual = f"'{known[0]}'{' mode' if what == 'mode' else ''}"
        raise Failed(
            f"requested {driver} {what} '{text}' is not valid, {usual} is the {driver} "
            "driver default",
            hint=f"choose one of {', '.join(known)}",
        )
    return text or known[0]


def parent_name(driver: str, options: Mapping[str, str], id_: str) -> str:
    """The link of the host on which a network stands."""
    return parent_options(driver, options).parent or f"{DUMMIES[driver]}{id_[:12]}"


def host_link(id_: str) -> str:
    """The name of the link that the host has on a network's parent."""
    return f"{ON_HOST}{id_[:12]}"


def vlan(name: str) -> tuple[str, int]:
    """``eth0.10`` as link and VLAN number. Raises Failed in Docker's words."""
    if "." not in name:
        raise Failed(
            f"invalid subinterface vlan name {name}, example formatting is eth0.10",
            hint=f"there is no interface {name}: `ip link` shows those that there are",
        )
    parts = name.split(".")
    if len(parts) != 2:
        raise Failed(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, "
            f"instead received {name}"
        )
    link, text = parts
    if not text.isdecimal():
        raise Failed(f"unable to parse a valid vlan id from: {text} (ex. eth0.10 for vlan 10)")
    number = int(text)
    if not 1 <= number <= MOST_VLAN:
        raise Failed(f"vlan id must be between 1-{MOST_VLAN}, received: {number}")
    return link, number
