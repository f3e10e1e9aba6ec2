"""From our words to the OCI runtime's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.model.container import (
    ContainerSpec,
    ExecSpec,
    Limits,
    Mount,
    MountKind,
    Process,
)
from fairlead.model.errors import Failed, FairleadError, Invalid
from fairlead.runtime.capability import ALL, USUAL
from fairlead.runtime.host import Host
from fairlead.runtime.identity import Identity
from fairlead.runtime.linux import cgroup_path
from fairlead.runtime.spec import environment, exec_process, oci_spec

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}},
        {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["pc"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["admin"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["admin"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
         "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["old"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "6.1"}},
        {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
    ],
}  # fmt: skip
HOST = Host(capabilities=ALL, seccomp=PROFILE, init="/usr/bin/tini-static")
ME = ContainerSpec("c1", Process(("sh",)), Path("/merged"), hostname="box")


def made(container: ContainerSpec = ME, host: Host = HOST, **more: Any) -> dict[str, Any]:
    """The config.json of a container with some differences."""
    return oci_spec(replace(container, **more), Identity(), host, "/fairlead/c1")


def targets(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its mounts by their place."""
    return {mount["destination"]: mount for mount in spec["mounts"]}


def test_the_usual_container() -> None:
    """Without wishes a container is closed in on every side."""
    spec = made()

    assert spec["process"]["capabilities"]["effective"] == list(USUAL)
    assert len(USUAL) == 14
    assert spec["process"]["capabilities"]["inheritable"] == []
    assert {ns["type"] for ns in spec["linux"]["namespaces"]} == {"mount", "ipc", "pid", "uts"}
    assert "/proc/kcore" in spec["linux"]["maskedPaths"]
    assert "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert "ro" in targets(spec)["/sys"]["options"]
    assert "ro" in targets(spec)["/sys/fs/cgroup"]["options"]
    assert "size=67108864" in targets(spec)["/dev/shm"]["options"]
    assert spec["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert "oomScoreAdj" not in spec["process"]


def test_privileged_opens_everything() -> None:
    """Privileged means all capabilities there are, all devices, and nothing hidden."""
    available = tuple(cap for cap in ALL if cap != "CAP_SYS_RESOURCE")
    spec = made(privileged=True, host=replace(HOST, capabilities=available))

    assert spec["process"]["capabilities"]["effective"] == list(available)
    assert "seccomp" not in spec["linux"]
    assert spec["linux"]["maskedPaths"] == spec["linux"]["readonlyPaths"] == []
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "rw" in targets(spec)["/sys"]["options"]


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (("NET_ADMIN",), (), {*USUAL, "CAP_NET_ADMIN"}),
        (("cap_net_admin",), ("CHOWN",), {*USUAL, "CAP_NET_ADMIN"} - {"CAP_CHOWN"}),
        (("ALL",), ("NET_RAW",), {*ALL} - {"CAP_NET_RAW"}),
        (("NET_RAW",), ("all",), {"CAP_NET_RAW"}),
        ((), ("ALL",), set()),
        (("ALL",), ("ALL",), set(ALL)),
    ],
)
def test_capabilities(add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]) -> None:
    """Names may be short and in any case, and ALL means all."""
    spec = made(cap_add=add, cap_drop=drop)

    assert set(spec["process"]["capabilities"]["bounding"]) == expected


def test_unknown_and_unavailable_capabilities() -> None:
    """Both are refused by name."""
    with pytest.raises(Invalid, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        made(cap_add=("FLY",))
    with pytest.raises(Invalid, match='invalid CapDrop: unknown capability: "CAP_FLY"'):
        made(cap_drop=("FLY",))
    with pytest.raises(Invalid, match='not available in the current environment: "CAP_BPF"'):
        made(cap_add=("BPF",), host=replace(HOST, capabilities=USUAL))


def test_seccomp_conditions_are_decided() -> None:
    """What depends on capability, architecture or kernel is settled before the runtime sees it."""
    usual = made()["linux"]["seccomp"]
    admin = made(cap_add=("SYS_ADMIN",))["linux"]["seccomp"]
    old = made(host=replace(HOST, kernel=(4, 4)))["linux"]["seccomp"]

    assert usual["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert usual["defaultErrnoRet"] == 38
    assert [(rule["names"][0], rule["action"][9:]) for rule in usual["syscalls"]] == [
        ("read", "ALLOW"), ("pc", "ALLOW"), ("admin", "ERRNO"), ("new", "ALLOW"),
    ]  # fmt: skip
    assert ("admin", "SCMP_ACT_ALLOW") in [(r["names"][0], r["action"]) for r in admin["syscalls"]]
    assert [rule["names"][0] for rule in old["syscalls"]] == ["read", "pc", "admin", "old"]
    assert all("includes" not in rule and "excludes" not in rule for rule in usual["syscalls"])


def test_security_options(tmp_path: Path) -> None:
    """Seccomp may be off, in a file or in the option itself; what is no profile is refused."""
    text = '{"defaultAction": "SCMP_ACT_ALLOW"}'
    (tmp_path / "profile").write_text(text)

    assert "seccomp" not in made(security_opt=("seccomp=unconfined",))["linux"]
    for option in (f"seccomp={text}", f"seccomp={tmp_path / 'profile'}", f"seccomp:{text}"):
        profile = made(security_opt=(option,))["linux"]["seccomp"]
        assert profile == {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    assert made(security_opt=("no-new-privileges",))["process"]["noNewPrivileges"]
    assert not made(security_opt=("apparmor=x",))["process"]["noNewPrivileges"]
    for wrong in ("seccomp=/no/such", "seccomp={", "seccomp={}"):
        with pytest.raises(Invalid, match="Decoding seccomp profile failed"):
            made(security_opt=(wrong,))


def test_environment() -> None:
    """Docker's defaults come first, the user's replace them, and a bare name removes one."""
    process = Process(("sh",), env=("A=1", "PATH=/x", "TERM"), terminal=True)
    spec = oci_spec(replace(ME, process=process), Identity(home="/root"), HOST, "/x")

    assert spec["process"]["env"] == ["PATH=/x", "HOSTNAME=box", "A=1", "HOME=/root"]
    assert environment(["A=1"], ["A=2", "A=3"], "") == ["A=3"]


def test_mounts_are_in_the_order_they_need() -> None:
    """Parents come first, and the user's mount replaces a usual one at the same place."""
    spec = made(
        mounts=(
            Mount(MountKind.BIND, "/b", "/a/b/c"),
            Mount(MountKind.BIND, "/s", "/dev/shm", read_only=True),
            Mount(MountKind.TMPFS, "", "/a", options=("exec", "size=1m")),
        )
    )
    places = [mount["destination"] for mount in spec["mounts"]]

    assert places.index("/a") < places.index("/a/b/c")
    assert places.count("/dev/shm") == 1
    assert targets(spec)["/dev/shm"]["options"] == ["rbind", "ro", "rprivate"]
    assert targets(spec)["/a"]["options"] == ["nosuid", "nodev", "size=1m"]


def test_namespaces_by_path_and_of_the_host() -> None:
    """Each kind may be its own, the host's or somebody else's."""
    spec = made(
        network_namespace=Path("/run/netns/x"), ipc="host", pid="/proc/1/ns/pid", uts="host"
    )

    assert spec["linux"]["namespaces"] == [
        {"type": "mount"},
        {"type": "network", "path": "/run/netns/x"},
        {"type": "pid", "path": "/proc/1/ns/pid"},
    ]
    assert "hostname" not in spec
    assert targets(spec)["/dev/shm"]["source"] == "/dev/shm"
    assert spec["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"


@pytest.mark.parametrize(
    ("name", "value", "more", "kind"),
    [
        ("net.ipv4.ip_forward", "1", {}, Failed),
        ("kernel.shmmax", "1", {"ipc": "host"}, Failed),
        ("kernel.core_pattern", "|/evil", {}, Failed),
        ("vm.swappiness", "1", {}, Failed),
        ("kernel.msgmax", "1\n", {}, Invalid),
        ("kernel.msgmax", "1+x=y", {}, Invalid),
        ("kernel.msgmax=1 kernel.x", "1", {}, Invalid),
        ("../kernel/core_pattern", "1", {}, Invalid),
        ("", "1", {}, Invalid),
    ],
)
def test_sysctls_of_the_host_are_refused(
    name: str, value: str, more: dict[str, Any], kind: type[FairleadError]
) -> None:
    """Only what the container's own namespaces hold can be set, and only that."""
    with pytest.raises(kind, match="sysctl"):
        made(sysctls=((name, value),), **more)


def test_limits() -> None:
    """Limits are in the runtime's terms, and nothing is said that was not asked."""
    limits = Limits(memory_bytes=1 << 20, nano_cpus=1_500_000_000, pids=7, cpuset_cpus="0-1")
    found = made(limits=limits)["linux"]["resources"]
    without_swap = made(limits=limits, host=replace(HOST, swap_limit=False))["linux"]["resources"]

    assert found["memory"] == {"limit": 1 << 20, "swap": 2 << 20}
    assert found["cpu"] == {"quota": 150_000, "period": 100_000, "cpus": "0-1"}
    assert found["pids"] == {"limit": 7}
    assert without_swap["memory"] == {"limit": 1 << 20}
    assert set(made()["linux"]["resources"]) == {"devices"}


def test_cgroups_stay_below_their_root() -> None:
    """A parent may be named, but not climbed out of."""
    assert cgroup_path(ME, "/fairlead") == "/fairlead/c1"
    assert cgroup_path(replace(ME, cgroup_parent="/a/b/"), "/fairlead") == "/a/b/c1"
    with pytest.raises(Invalid):
        cgroup_path(replace(ME, cgroup_parent="/../x"), "/fairlead")


def test_init_goes_first() -> None:
    """The init is mounted and runs the command; without one on the host that is an error."""
    spec = made(init=True)

    assert spec["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert targets(spec)["/sbin/docker-init"]["source"] == HOST.init
    with pytest.raises(Failed):
        made(init=True, host=replace(HOST, init=""))


def test_exec_is_built_on_the_container() -> None:
    """What an exec does not say is the container's, but its capabilities follow its own user."""
    base = oci_spec(ME, Identity(33, 33, (33,), "/var/www"), HOST, "/x")["process"]
    same = exec_process(ExecSpec(Process(("id",))), base, None, HOST)
    root = exec_process(ExecSpec(Process(("id",), user="0")), base, Identity(home="/root"), HOST)
    mighty = exec_process(ExecSpec(Process(("id",)), privileged=True), base, Identity(), HOST)

    assert same["user"]["uid"] == 33
    assert same["capabilities"]["effective"] == []
    assert root["capabilities"]["effective"] == list(USUAL)
    assert "HOME=/root" in root["env"]
    assert mighty["capabilities"]["effective"] == list(ALL)
