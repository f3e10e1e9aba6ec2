"""What a container may not ask for, refused before anything is made.

Only what the documents alone tell; what depends on a network is the
controller's to refuse, and what needs another container is checked where the
containers are.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

import msgspec

from fairlead.engine import health, ports, restart
from fairlead.engine.documents import Config, EndpointSettings, HostConfig, PortBinding
from fairlead.model.container import IPC_SYSCTLS, MIB
from fairlead.model.errors import Failed, Invalid, Unsupported

MAC_WARNING = (
    "The container-wide MacAddress field is now deprecated. "
    "It should be specified in EndpointsConfig instead."
)
EMPTY_BINDINGS_WARNING = (
    "Following container port(s) have an empty list of port-bindings: {}. "
    "Such bindings will be discarded in a future version."
)
HOST_PORTS_WARNING = "Published ports are discarded when using host network mode"

LEAST_MEMORY_BYTES = 6 * MIB
INTERFACE_SYSCTLS = "com.docker.network.endpoint.sysctls"

_INTERFACE_SYSCTL = re.compile(r"net\.(ipv4|ipv6|mpls)\.(\w+)\.([^.]+)\.(.+)")
_MAC = re.compile("([0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(\\2[0-9a-fA-F]{2}){4})")


def check(config: Config, host: HostConfig) -> list[str]:
    """Refuse what makes no sense; the warnings for what is odd. Raises Invalid."""
    _check_mode(config, host)
    health.check(config)
    ports.check(host.port_bindings)
    _check_lines(config, host)
    _check_hosts(host)
    _check_links(host)
    restart.check(host.restart_policy, auto_remove=host.auto_remove)
    warnings = check_limits(host)
    _check_namespaces(host)
    if config.stop_timeout is not msgspec.UNSET and config.stop_timeout < -1:
        raise Invalid(f"invalid stop timeout: {config.stop_timeout}")
    if config.working_dir and not config.working_dir.startswith("/"):
        raise Invalid(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an "
            "absolute path"
        )
    if host.network_mode == "host" and host.port_bindings:
        warnings.append(HOST_PORTS_WARNING)
    return warnings


def empty_bindings(host: HostConfig, api: tuple[int, int]) -> list[str]:
    """A warning for ports that are published nowhere in particular."""
    empty = sorted(key for key, hosts in host.port_bindings.items() if not hosts)
    if not empty or api < (1, 52):
        return []
    return [EMPTY_BINDINGS_WARNING.format(", ".join(empty))]


def with_bindings(host: HostConfig) -> HostConfig:
    """Ports that are published nowhere in particular get a binding that says so.

    Docker fills them in for every version of the API up to 1.52, and shows them.
    """
    filled = {key: hosts or [PortBinding()] for key, hosts in host.port_bindings.items()}
    return msgspec.structs.replace(host, port_bindings=filled)


def _check_mode(config: Config, host: HostConfig) -> None:
    mode = host.network_mode
    if mode in ("container", "container:"):
        raise Invalid("invalid network mode: invalid container format container:<name|id>")
    if mode == "host" and host.links:
        raise Invalid(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    if mode.startswith("container:"):
        _check_shared(config, host)


def _check_shared(config: Config, host: HostConfig) -> None:
    """A container in another's namespace has no say in what it looks like."""
    if config.hostname:
        raise Invalid("conflicting options: hostname and the network mode")
    if host.links:
        raise Invalid(
            "conflicting options: container type network can't be used with links. "
            "This would result in undefined behavior"
        )
    if host.dns:
        raise Invalid("conflicting options: dns and the network mode")
    if host.extra_hosts:
        raise Invalid("conflicting options: custom host-to-IP mapping and the network mode")
    if host.port_bindings or host.publish_all_ports:
        raise Invalid("conflicting options: port publishing and the container type network mode")
    if config.exposed_ports:
        raise Invalid("conflicting options: port exposing and the container type network mode")


def _check_lines(config: Config, host: HostConfig) -> None:
    """What becomes part of a line of a file is no line of its own."""
    texts = {
        "hostname": (config.hostname,),
        "domainname": (config.domainname,),
        "add-host": host.extra_hosts or (),
        "dns": host.dns or (),
        "dns-option": host.dns_options or (),
        "dns-search": host.dns_search or (),
    }
    for name, values in texts.items():
        for value in values:
            if any(c in "\n\r\0" for c in value or ""):
                raise Invalid(f"invalid {name}: {value!r}", hint="it has a line break in it")


def _check_hosts(host: HostConfig) -> None:
    for entry in host.extra_hosts or ():
        name, separator, address = entry.partition("=" if "=" in entry else ":")
        if not name or not separator:
            raise Invalid(f'bad format for add-host: "{entry}"')
        if address == "host-gateway":
            continue
        try:
            ip_address(address.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise Invalid(f'invalid IP address in add-host: "{address}"') from None


def _check_links(host: HostConfig) -> None:
    for entry in host.links or ():
        link(entry)


def link(entry: str) -> tuple[str, str]:
    """Target and alias of ``target[:alias]``. Raises Failed."""
    parts = entry.split(":")
    if not entry or len(parts) > 2 or not parts[0]:
        raise Failed(f"bad format for links: {entry}", hint="write target:alias")
    alias = parts[1] if len(parts) == 2 else parts[0]
    # The form that inspect prints, /target:/me/alias, is welcome back.
    return parts[0].removeprefix("/"), alias.rpartition("/")[2]


def check_limits(host: HostConfig) -> list[str]:
    """Refuse limits the kernel could not keep. Raises Invalid."""
    if host.memory and host.memory < LEAST_MEMORY_BYTES:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if host.memory_swap > 0 and not host.memory:
        raise Invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if host.memory and 0 < host.memory_swap < host.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory and host.memory_reservation > host.memory:
        raise Invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise Invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if host.nano_cpus and (host.cpu_quota or host.cpu_period):
        which = "CPU Period" if host.cpu_period else "CPU Quota"
        raise Invalid(f"Conflicting options: Nano CPUs and {which} cannot both be set.")
    if host.nano_cpus < 0 or host.cpu_shares < 0:
        raise Invalid("range of CPUs is from 0.01 to the number of this host's")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise Invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    return []


def _check_namespaces(host: HostConfig) -> None:
    ipc = host.ipc_mode
    if ipc not in ("", "private", "shareable", "none", "host") and not ipc.startswith("container:"):
        raise Invalid(f"invalid IPC mode: {ipc}")
    if host.pid_mode not in ("", "host") and not host.pid_mode.startswith("container:"):
        raise Invalid(f"invalid PID mode: {host.pid_mode}")
    if host.uts_mode not in ("", "host"):
        raise Invalid(f"invalid UTS mode: {host.uts_mode}")
    if host.cgroupns_mode not in ("", "host", "private"):
        raise Invalid(f"invalid cgroup namespace mode: {host.cgroupns_mode}")
    if host.userns_mode not in ("", "host"):
        raise Unsupported(
            "user namespaces are not supported", hint="leave --userns away or set it to host"
        )
    if host.device_requests:
        raise Failed('could not select device driver "" with capabilities: [[gpu]]')


def mac(text: str) -> str:
    """A MAC address in lower case with colons. Raises Invalid."""
    if not _MAC.fullmatch(text):
        raise Invalid(f"invalid MAC address {text}")
    return text.lower().replace("-", ":")


def main_mac(
    config: Config, host: HostConfig, main: EndpointSettings, api: tuple[int, int]
) -> tuple[str, list[str]]:
    """The MAC of the main network, from either place that says it, with warnings."""
    wide = config.mac_address or ""
    if not wide or api >= (1, 52):
        return main.mac_address, []
    if main.mac_address and main.mac_address != wide:
        raise Invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for "
            "the main network, or be left empty"
        )
    return wide, [MAC_WARNING] if api >= (1, 44) else []


def interface_sysctls(host: HostConfig, api: tuple[int, int]) -> tuple[dict[str, str], list[str]]:
    """Sysctls without those of one interface, and these as an endpoint option wants them.

    Up to API 1.47 settings of ``eth0`` move to the main endpoint; since then
    they are refused. Raises Failed.
    """
    kept: dict[str, str] = {}
    moved: list[str] = []
    for name, value in (host.sysctls or {}).items():
        match = _INTERFACE_SYSCTL.fullmatch(name)
        if match is None or match[3] in ("all", "default") or match[2] not in ("conf", "neigh"):
            kept[name] = value
        elif api >= (1, 48) or match[3] != "eth0":
            raise Failed(
                f'interface specific sysctl setting "{name}" must be supplied using driver '
                f"option '{INTERFACE_SYSCTLS}'"
            )
        else:
            moved.append(f"net.{match[1]}.{match[2]}.IFNAME.{match[4]}={value}")
    return kept, moved


def sysctls_at_start(host: HostConfig) -> None:
    """Refuse kernel settings that would change the host. Raises Failed."""
    for name in host.sysctls or {}:
        if name in IPC_SYSCTLS or name.startswith("fs.mqueue."):
            if host.ipc_mode == "host":
                raise _runtime(f'sysctl "{name}" is not allowed in the hosts ipc namespace')
        elif name.startswith("net."):
            if host.network_mode == "host":
                raise _runtime(f'sysctl "{name}" not allowed in host network namespace')
        elif name not in ("kernel.domainname",):
            raise _runtime(f'sysctl "{name}" is not in a separate kernel namespace')


def hostname_at_start(name: str) -> None:
    """Refuse a host name that the kernel would not take. Raises Failed."""
    if len(name.encode()) > 64:
        raise _runtime(
            "unable to start container process: error during container init: "
            "sethostname: invalid argument"
        )


def dns_at_start(servers: list[str]) -> None:
    """Refuse nameservers that are no addresses. Raises Failed."""
    for server in servers:
        try:
            ip_address(server)
        except ValueError:
            raise Failed(
                f'bad nameserver address {server}: ParseAddr("{server}"): unable to parse IP'
            ) from None


def _runtime(why: str) -> Failed:
    return Failed(
        "failed to create task for container: failed to create shim task: "
        f"OCI runtime create failed: runc create failed: {why}: unknown"
    )
