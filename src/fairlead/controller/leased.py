"""Networks whose addresses come from the segment's own DHCP server, checked. Pure."""

from __future__ import annotations

from fairlead.driver.interface import DRIVERS
from fairlead.model.errors import Invalid
from fairlead.model.lease import DHCP
from fairlead.model.network import Network, NetworkRequest
from fairlead.model.parent import KINDS, PASSTHRU, parent_options

ASK_FOR = "leave out --subnet, --gateway, --ip-range and --aux-address"


def is_leased(net: Network | NetworkRequest) -> bool:
    """Whether its addresses are to come, or come, from a DHCP server on its parent's segment."""
    return net.ipam_driver == DHCP and net.driver in KINDS and not net.config_only


def check(request: NetworkRequest) -> None:
    """Whether a network that is to have such addresses can. Raises Invalid."""
    driver = request.driver or "bridge"
    if request.ipam_driver != DHCP or driver not in DRIVERS:
        # Of another's driver the addresses may be another's, too, whatever that one is called.
        return
    if driver not in KINDS or request.config_only:
        what = "a configuration" if request.config_only else f"a {driver} network"
        raise Invalid(
            f"IPAM driver {DHCP} is for networks on a segment that has a DHCP server, "
            f"which {what} is not",
            hint="use it with -d macvlan -o parent=eth0, or -d ipvlan",
        )
    options = parent_options(driver, request.options)
    if not options.parent:
        raise Invalid(
            f"IPAM driver {DHCP} needs a parent, on whose segment the server is",
            hint="name one: -o parent=eth0",
        )
    if any(p.subnet or p.gateway or p.ip_range or p.auxiliary for p in request.pools):
        raise Invalid(f"with IPAM driver {DHCP} the server says which subnet it is", hint=ASK_FOR)
    if request.enable_ipv6 or not request.enable_ipv4:
        raise Invalid(
            f"IPAM driver {DHCP} gives addresses of IPv4 alone",
            hint="leave --ipv6 and --ipv4=false out",
        )
    if options.by_device or options.mode == PASSTHRU:
        why = "hears no broadcasts" if options.by_device else "is who its parent is, for a server"
        raise Invalid(
            f"IPAM driver {DHCP} does not go with mode {options.mode}, which {why}",
            hint="use mode bridge, private or vepa of macvlan, or l2 of ipvlan",
        )
