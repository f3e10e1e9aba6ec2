"""From the configuration to the settings of each floor. Pure."""

from __future__ import annotations

from fairlead.api.settings import Settings as ApiSettings
from fairlead.cli.config import NO_RAW, Config, pool_pairs
from fairlead.cli.unserved import unserved
from fairlead.controller.start import Settings as NetworkSettings
from fairlead.controller.want import Host
from fairlead.engine.settings import Settings as EngineSettings
from fairlead.firewall.backends import firewall
from fairlead.firewall.policy import Habits, Mark
from fairlead.firewall.renderer import Firewall
from fairlead.model.marks import Marks


def network_settings(config: Config) -> NetworkSettings:
    """What concerns networks."""
    return NetworkSettings(
        bridge=config.bridge or config.default_bridge_name,
        bip=config.bip,
        mtu=config.mtu,
        icc=config.icc,
        masquerade=config.ip_masq,
        binding=config.ip,
        fixed_cidr=config.fixed_cidr,
        default_gateway=config.default_gateway,
        bases=config.default_address_pools,
        ipv6=config.ipv6,
        bip6=config.bip6,
        fixed_cidr_v6=config.fixed_cidr_v6,
        default_gateway_v6=config.default_gateway_v6,
        network_defaults=config.default_network_opts,
    )


def judged(config: Config, marks: Marks) -> tuple[Firewall, Host]:
    """The firewall, for the families that it is to judge, and what is wanted of the host."""
    versions = [v for v, on in ((4, config.iptables), (6, config.ip6tables)) if on]
    mark = config.bridge_accept_fwmark
    host = Host(
        forwarding=config.ip_forward,
        no_drop=config.ip_forward_no_drop,
        firewall=bool(versions),
        proxy=config.userland_proxy,
    )
    habits = Habits(
        proxied=config.userland_proxy,
        accepted=None if mark is None else Mark(*mark),
        direct=config.allow_direct_routing,
        raw=not NO_RAW,
    )
    return firewall(config.firewall_backend, marks, versions or (4, 6), habits), host


def engine_settings(config: Config) -> EngineSettings:
    """What concerns containers."""
    return EngineSettings(
        dns=config.dns,
        dns_search=config.dns_search,
        dns_options=config.dns_opts,
        host_gateway=config.host_gateway_ips,
        init=config.init,
        log_max_bytes=config.log_opts,
        shm_size_bytes=config.default_shm_size,
        ulimits=config.default_ulimits,
    )


def api_settings(config: Config, identity: str) -> ApiSettings:
    """What the API shows."""
    return ApiSettings(
        id=identity,
        data_root=config.data_root,
        address_pools=pool_pairs(config.default_address_pools),
        firewall_backend=config.firewall_backend,
        labels=config.labels,
        insecure_registries=config.insecure_registries,
        debug=config.debug or config.log_level in ("debug", "trace"),
        warnings=tuple(unserved(config)),
    )
