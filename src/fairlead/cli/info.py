"""`fairlead info`: what the daemon says about itself and its host."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fairlead import __version__
from fairlead.cli import output
from fairlead.cli.command import command, option
from fairlead.cli.remote import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Info = Mapping[str, Any]


@command()
@option("-f", "--format", default="", help="Format output using a custom template")
def info(args: tuple[str, ...], format: str) -> None:
    answer = remote().get("/info")
    if format:
        from fairlead.cli import template

        text = "{{json .}}" if format == "json" else format
        sys.stdout.write(template.parsed(text).render(answer) + "\n")
        return
    lines = ["Client: fairlead", f" Version:    {__version__}", "", "Server:", *server(answer), ""]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    for warning in answer.get("Warnings") or ():
        sys.stderr.write(f"{warning}\n")


def server(answer: Info) -> Iterator[str]:
    """The answer, a line a fact."""
    yield from _counts(answer)
    yield f" Logging Driver: {answer.get('LoggingDriver')}"
    yield f" Cgroup Driver: {answer.get('CgroupDriver')}"
    if answer.get("CgroupVersion"):
        yield f" Cgroup Version: {answer['CgroupVersion']}"
    yield " Plugins:"
    for kind in ("Volume", "Network", "Authorization", "Log"):
        names = (answer.get("Plugins") or {}).get(kind)
        if names:
            yield f"  {kind}: {' '.join(names)}"
    yield from _cluster(answer)
    yield f" Swarm: {(answer.get('Swarm') or {}).get('LocalNodeState') or 'inactive'}"
    yield from _runtimes(answer)
    yield from _security(answer)
    yield from _host(answer)
    yield from _settings(answer)


def _counts(answer: Info) -> Iterator[str]:
    yield f" Containers: {answer.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {answer.get(f'Containers{state}', 0)}"
    yield f" Images: {answer.get('Images', 0)}"
    yield f" Server Version: {answer.get('ServerVersion')}"
    yield f" Storage Driver: {answer.get('Driver')}"
    for key, value in answer.get("DriverStatus") or ():
        yield f"  {key}: {value}"


def _cluster(answer: Info) -> Iterator[str]:
    """The hosts that this one shares networks with; the first two lines as Docker had them."""
    if not answer.get("ClusterStore"):
        return
    yield f" Cluster Store: {answer['ClusterStore']}"
    yield f" Cluster Advertise: {answer.get('ClusterAdvertise') or 'this host is no member'}"
    more = answer.get("FairleadCluster") or {}
    yield f"  Hosts: {' '.join(more.get('Hosts') or ()) or 'none'}"
    yield f"  Networks: {more.get('Networks', 0)}"
    yield f"  Endpoints on other hosts: {more.get('Peers', 0)}"
    yield f"  Hears by: {more.get('Hears')}"
    if more.get("Trouble"):
        yield f"  Trouble: {more['Trouble']}"


def _runtimes(answer: Info) -> Iterator[str]:
    if answer.get("Runtimes"):
        yield f" Runtimes: {' '.join(answer['Runtimes'])}"
        yield f" Default Runtime: {answer.get('DefaultRuntime')}"
    if answer.get("InitBinary"):
        yield f" Init Binary: {answer['InitBinary']}"
    for label, key in (
        ("containerd", "ContainerdCommit"),
        ("runc", "RuncCommit"),
        ("init", "InitCommit"),
    ):
        identity = (answer.get(key) or {}).get("ID")
        if identity:
            yield f" {label} version: {identity}"


def _security(answer: Info) -> Iterator[str]:
    options = answer.get("SecurityOptions") or ()
    if options:
        yield " Security Options:"
    for option_ in options:
        name, *rest = (part.partition("=")[::2] for part in option_.split(","))
        yield f"  {name[1] or name[0]}"
        for key, value in rest:
            yield f"   {key[:1].upper()}{key[1:]}: {value}"


def _host(answer: Info) -> Iterator[str]:
    backend = answer.get("FirewallBackend")
    if backend:
        yield f" Firewall Backend: {backend.get('Driver')}"
    yield f" Kernel Version: {answer.get('KernelVersion')}"
    yield f" Operating System: {answer.get('OperatingSystem')}"
    yield f" OSType: {answer.get('OSType')}"
    yield f" Architecture: {answer.get('Architecture')}"
    yield f" CPUs: {answer.get('NCPU')}"
    yield f" Total Memory: {output.binary_size(answer.get('MemTotal') or 0)}"
    yield f" Name: {answer.get('Name')}"
    yield f" ID: {answer.get('ID')}"
    yield f" Docker Root Dir: {answer.get('DockerRootDir')}"
    yield f" Debug Mode: {str(bool(answer.get('Debug'))).lower()}"


def _settings(answer: Info) -> Iterator[str]:
    if answer.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in answer["Labels"])
    yield f" Experimental: {str(bool(answer.get('ExperimentalBuild'))).lower()}"
    registries = (answer.get("RegistryConfig") or {}).get("InsecureRegistryCIDRs")
    if registries:
        yield " Insecure Registries:"
        yield from (f"  {each}" for each in registries)
    yield f" Live Restore Enabled: {str(bool(answer.get('LiveRestoreEnabled'))).lower()}"
    pools = answer.get("DefaultAddressPools")
    if pools:
        yield " Default Address Pools:"
        yield from (f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools)
