"""dockerd's flags, as a table: names, and what click is to know of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

FLAGS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("-H", "--host"),
        {"multiple": True, "help": "Where to listen: unix:///path, tcp://ip:port, fd://"},
    ),
    (("-G", "--group"), {"help": "Group that may use the unix socket"}),
    (("--data-root",), {"help": "Where images, containers and the store live"}),
    (("--exec-root",), {"help": "Where namespaces and sockets live while the host is up"}),
    (("-p", "--pidfile"), {"help": "File for the daemon's process id"}),
    (
        ("-b", "--bridge"),
        {"help": "Use this bridge for the default network; none: no such network"},
    ),
    (("--default-bridge-name",), {"help": "Name of the default network's bridge (docker0)"}),
    (("--iptables-prefix",), {"help": "What the names of iptables chains begin with (DOCKER)"}),
    (("--bip",), {"help": "IPv4 address and prefix of the default bridge"}),
    (("--bip6",), {"help": "IPv6 address and prefix of the default bridge"}),
    (("--fixed-cidr",), {"help": "The part of the default bridge's IPv4 subnet for containers"}),
    (("--fixed-cidr-v6",), {"help": "The part of the default bridge's IPv6 subnet"}),
    (("--default-gateway",), {"help": "IPv4 gateway of containers on the default bridge"}),
    (("--default-gateway-v6",), {"help": "IPv6 gateway of containers on the default bridge"}),
    (("--mtu",), {"type": int, "help": "MTU of the default bridge, in bytes"}),
    (("--icc",), {"type": bool, "help": "Containers on the default bridge reach each other"}),
    (("--ip",), {"help": "Host address that ports are published on"}),
    (("--ipv6",), {"type": bool, "help": "IPv6 on the default bridge"}),
    (("--ip-forward",), {"type": bool, "help": "Turn on the forwarding of packets"}),
    (("--ip-forward-no-drop",), {"type": bool, "help": "Leave FORWARD's policy alone"}),
    (("--ip-masq",), {"type": bool, "help": "Masquerade the default bridge"}),
    (("--iptables",), {"type": bool, "help": "Write firewall rules"}),
    (("--ip6tables",), {"type": bool, "help": "Write firewall rules for IPv6"}),
    (("--firewall-backend",), {"help": "iptables or nftables"}),
    (("--userland-proxy",), {"type": bool, "help": "Serve published ports on the loopback"}),
    (("--userland-proxy-path",), {"help": "Taken and ignored: the proxy is fairlead's own"}),
    (("--allow-direct-routing",), {"type": bool, "help": "Let others route to containers"}),
    (("--bridge-accept-fwmark",), {"help": "Packets with this MARK[/MASK] are let in"}),
    (("--default-address-pool",), {"multiple": True, "help": "base=SUBNET,size=PREFIX"}),
    (
        ("--default-network-opt",),
        {"multiple": True, "help": "Default option of networks: DRIVER=OPTION=VALUE"},
    ),
    (("--dns",), {"multiple": True, "help": "Name server of containers"}),
    (("--dns-search",), {"multiple": True, "help": "Search domain of containers"}),
    (("--dns-opt",), {"multiple": True, "help": "Option of containers' resolv.conf"}),
    (("--host-gateway-ip",), {"multiple": True, "help": "What host-gateway stands for"}),
    (("--label",), {"multiple": True, "help": "Label of the daemon"}),
    (("--insecure-registry",), {"multiple": True, "help": "Registry without TLS"}),
    (("--default-runtime",), {"help": "crun or runc"}),
    (("--default-shm-size",), {"help": "Size of containers' /dev/shm"}),
    (("--default-ulimit",), {"multiple": True, "help": "Limit of containers: NAME=SOFT:HARD"}),
    (("--cgroup-parent",), {"help": "Control group that containers' groups are in"}),
    (("--init",), {"type": bool, "help": "Run an init in containers"}),
    (("--live-restore",), {"type": bool, "help": "Always so: containers outlive the daemon"}),
    (("--log-opt",), {"multiple": True, "help": "max-size=SIZE: when a log is turned over"}),
    (
        ("--audit-interval",),
        {"type": int, "help": "Seconds between looks at the host for damage; 0: only when told"},
    ),
    (("--shutdown-timeout",), {"type": int, "help": "Seconds for running requests to end"}),
    (("-D", "--debug"), {"type": bool, "help": "Log everything"}),
    (("-l", "--log-level"), {"help": "debug, info, warn, error or fatal"}),
    (("--log-format",), {"help": "text or json"}),
    (("--metrics-addr",), {"help": "Serve metrics for Prometheus on ADDRESS:PORT"}),
    (("--tls",), {"type": bool, "help": "Serve TCP with TLS; implied by --tlsverify"}),
    (("--tlsverify",), {"type": bool, "help": "Serve TCP with TLS to clients with certificates"}),
    (("--tlscacert",), {"help": "Certificates of who may sign clients' certificates"}),
    (("--tlscert",), {"help": "The daemon's certificate"}),
    (("--tlskey",), {"help": "The daemon's key"}),
    (("--cluster-store",), {"help": "Key-value store of the cluster"}),
    (("--cluster-advertise",), {"help": "Address that the cluster reaches this host by"}),
    (("--cluster-store-opt",), {"multiple": True, "help": "Option of the cluster's store"}),
    (("--network-control-plane-mtu",), {"type": int, "help": "MTU of the cluster's own traffic"}),
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """All flags, on a command."""
    for names, settings in reversed(FLAGS):
        bare: dict[str, Any] = {}
        if settings.get("type") is bool:
            bare = {"is_flag": False, "flag_value": True}
        command = click.option(*names, **settings, **bare)(command)
    return command


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, by their names in daemon.json."""
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
        if value not in (None, ())
    }
