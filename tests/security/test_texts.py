"""Texts of users that would like to be commands, rules, paths or lines of a file."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab import Daemon
from tests.security.cage import caged

pytestmark = pytest.mark.root

EXAMPLES = int(os.environ.get("FAIRLEAD_EXAMPLES", "40"))
TOUCH = "touch /run/pwned"
PAYLOADS = [
    f"$({TOUCH})", f"`{TOUCH}`", f"; {TOUCH} #", f"| {TOUCH}", f"&& {TOUCH}", f"x\n{TOUCH}\n",
    f"'; {TOUCH}; '", f'"; {TOUCH}; "', "x\n-A FORWARD -j ACCEPT\nCOMMIT\n", "x -j ACCEPT", "-j",
    "--help", "-n", '"; flush ruleset; add table ip pwned; #', "} ; flush ruleset ; {", "@s_bridges",
    "../../../run/pwned", "/run/pwned", "..", ".", "\0", "a\0b", "\r\n", "\x1b[2J", "%s%n%d", "{0}",
    "${IFS}", "*", "?", "~", "\u202e", "ｅｔｈ０", "é" * 8, "x" * 16, "x" * 70_000, " ", "", "all", "lo",
    "eth0", "default", "0", "-1", "999999999999999999999", "0x10", "1e3", "NaN", "true\n", "\ud7ff",
]  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(PAYLOADS),
    st.tuples(st.sampled_from(["web", "10.0.0.1", "eth"]), st.sampled_from(PAYLOADS)).map("".join),
    st.text(max_size=20),
)
BRIDGE = "com.docker.network.bridge."
OPTIONS = [
    BRIDGE + "name", BRIDGE + "enable_icc", BRIDGE + "enable_ip_masquerade",
    BRIDGE + "host_binding_ipv4", BRIDGE + "gateway_mode_ipv4", BRIDGE + "trusted_host_interfaces",
    BRIDGE + "inhibit_ipv4", "com.docker.network.driver.mtu", "com.docker.network.host_ipv4",
    "com.docker.network.container_iface_prefix", "fairlead.publish_from", "fairlead.egress", "unknown",
]  # fmt: skip
ENDPOINT = [
    "com.docker.network.endpoint.sysctls", "com.docker.network.endpoint.ifname",
    "fairlead.publish_from", "unknown",
]  # fmt: skip
LISTS = st.lists(st.one_of(WORDS, st.sampled_from(["10.0.0.0/8", "2001:db8::/32"])), max_size=2)
POOL = ["Subnet", "Gateway", "IPRange"]
CHECKED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """The module's daemon."""
    with caged() as running:
        yield running


@pytest.fixture
def before(daemon: Daemon) -> str:
    """The host as it is when nothing is asked for."""
    return harmless(daemon)


def harmless(daemon: Daemon) -> str:
    """What no text may change, for it is nobody's network: fails if a command was run."""
    found = daemon.machine.shell(
        "ls /run/pwned /var/lib/pwned 2>/dev/null || true\n"
        "iptables -S FORWARD; ip6tables -S FORWARD; nft list tables | sort\n"
        "cat /etc/hosts /etc/resolv.conf; ip -o link show lo; ip -o address show lo"
    ).stdout
    assert "pwned" not in found
    return found


def refused(answer: Any, of: object) -> None:
    """An error that somebody foresaw."""
    assert 400 <= answer.status <= 599, (answer, of)
    said = answer.json["message"]
    assert said != "internal error", (said, of)
    assert "Traceback" not in said


@CHECKED
@given(
    name=st.one_of(st.just("good"), WORDS),
    options=st.dictionaries(st.sampled_from(OPTIONS), WORDS, max_size=2),
    labels=st.dictionaries(WORDS, WORDS, max_size=2),
    pool=st.dictionaries(st.sampled_from(POOL), WORDS, max_size=2),
    auxiliary=st.dictionaries(WORDS, WORDS, max_size=1),
    driver=st.one_of(st.just("bridge"), WORDS),
)
def test_networks(
    daemon: Daemon, before: str, name: str, options: dict[str, str], labels: dict[str, str],
    pool: dict[str, str], auxiliary: dict[str, str], driver: str,
) -> None:  # fmt: skip
    """A network is made as asked, or refused; no text of it does anything else."""
    given_pool: dict[str, Any] = {**pool, "AuxiliaryAddresses": auxiliary}
    ipam = {"Config": [given_pool]} if pool or auxiliary else {}
    body = {"Name": name, "Driver": driver, "Options": options, "Labels": labels, "IPAM": ipam}
    answer = daemon.api("POST", "/networks/create", body)
    if answer.status == 201:
        id_ = answer.json["Id"]
        shown = daemon.api("GET", f"/networks/{id_}").json
        assert (shown["Name"], shown["Labels"]) == (name.strip(), labels)
        assert daemon.api("DELETE", f"/networks/{id_}").status == 204
    else:
        refused(answer, body)
    assert harmless(daemon) == before


@CHECKED
@given(data=st.data())
def test_containers(daemon: Daemon, before: str, data: st.DataObject) -> None:
    """A container is made and started as asked, or refused at one of the two."""
    draw = data.draw
    words = st.lists(WORDS, max_size=1)
    host = {
        "NetworkMode": "front",
        "Dns": draw(words), "DnsSearch": draw(words), "DnsOptions": draw(words),
        "ExtraHosts": draw(words), "Links": draw(words),
        "Sysctls": draw(st.dictionaries(st.one_of(WORDS, st.just("net.ipv4.ip_forward")), WORDS, max_size=1)),
    }  # fmt: skip
    port, at = draw(st.one_of(st.just("80/tcp"), WORDS)), draw(WORDS)
    if draw(st.booleans()):
        host["PortBindings"] = {port: [{"HostIp": at, "HostPort": draw(WORDS)}]}
    elif draw(st.booleans()):
        host["PortBindings"] = {"80/tcp": [{"HostPort": "8080", "Sources": draw(LISTS)}]}
    endpoint = {
        "Aliases": draw(words),
        "DriverOpts": draw(st.dictionaries(st.sampled_from(ENDPOINT), WORDS, max_size=1)),
        "MacAddress": draw(st.one_of(st.just(""), WORDS)),
        "IPAMConfig": {"IPv4Address": draw(st.one_of(st.just(""), WORDS))},
    }
    # Most of it is right, so that it gets far.
    keep = draw(st.sampled_from([*host, *endpoint, "Hostname", "Domainname"]))
    body = {
        "Image": "busybox", "Cmd": ["sleep", "1000000"],
        "Hostname": draw(WORDS) if keep == "Hostname" else "",
        "Domainname": draw(WORDS) if keep == "Domainname" else "",
        "HostConfig": {k: v for k, v in host.items() if k in (keep, "NetworkMode")},
        "NetworkingConfig": {
            "EndpointsConfig": {"front": {k: v for k, v in endpoint.items() if k == keep}}
        },
    }  # fmt: skip
    daemon.api(
        "POST",
        "/networks/create",
        {"Name": "front", "IPAM": {"Config": [{"Subnet": "10.5.0.0/24"}]}},
    )
    answer = daemon.api("POST", "/containers/create", body)
    if answer.status == 201:
        id_ = answer.json["Id"]
        started = daemon.api("POST", f"/containers/{id_}/start")
        if started.status != 204:
            refused(started, body)
        assert daemon.api("DELETE", f"/containers/{id_}?force=1").status == 204
    else:
        refused(answer, body)
    found = harmless(daemon)
    assert found == before


LINES = [
    ("--dns-search", "x\nnameserver 6.6.6.6"), ("--dns-option", "x\nnameserver 6.6.6.6"),
    ("--add-host", "x\n6.6.6.6 bank:1.2.3.4"), ("--add-host", "x 6.6.6.6:1.2.3.4"),
    ("--hostname", "x\n6.6.6.6 bank"), ("--domainname", "x\n6.6.6.6 bank"),
    ("--network-alias", "x\n6.6.6.6 bank"),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value"), LINES, ids=range(len(LINES)))
def test_no_text_is_a_line_of_its_own(daemon: Daemon, option: str, value: str) -> None:
    """What goes into a container's /etc/hosts and /etc/resolv.conf stays where it belongs."""
    daemon.api("POST", "/networks/create", {"Name": "front"})
    words = ("run", "--rm", "--network", "front", option, value, "busybox")
    done = daemon.docker(*words, "cat", "/etc/hosts", "/etc/resolv.conf", check=False)
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith(("6.6.6.6", "nameserver 6.6.6.6"))]
    assert not [line for line in lines if "6.6.6.6" in line and "bank" in line.split()[1:2]]


def hostile(kind: str) -> bytes:
    """A tar whose members try to get out."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:

        def add(name: str, type_: bytes = tarfile.REGTYPE, link: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mode = type_, link, 0o755
            content = b"pwned\n" if type_ == tarfile.REGTYPE else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        match kind:
            case "dots":
                add("../../../../../../../run/pwned")
            case "absolute":
                add("/run/pwned")
            case "symlink":
                add("way", tarfile.SYMTYPE, "/")
                add("way/run/pwned")
            case "symlink up":
                add("way", tarfile.SYMTYPE, "../../../../../../../../..")
                add("way/run/pwned")
            case "hard link":
                add("shadow", tarfile.LNKTYPE, "../../../../../../../../etc/shadow")
            case "hard link by symlink":
                add("way", tarfile.SYMTYPE, "/etc")
                add("shadow", tarfile.LNKTYPE, "way/shadow")
            case "device":
                add("disk", tarfile.BLKTYPE)
                add("fifo", tarfile.FIFOTYPE)
            case "whiteout":
                add("../../.wh.run")
                add(".wh..wh..opq")
    return archive.getvalue()


KINDS = [
    "dots", "absolute", "symlink", "symlink up", "hard link", "hard link by symlink", "device",
    "whiteout",
]  # fmt: skip


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tar_stays_in_its_container(daemon: Daemon, kind: str, running: bool) -> None:
    """Whatever its names and links say, nothing is written to, or read of, the host."""
    verb = ("run", "-d") if running else ("create",)
    daemon.docker(*verb, "--name", "web", "busybox", "sleep", "1000000")
    shadow = daemon.machine.shell("cat /etc/shadow").stdout
    try:
        answer = daemon.api("PUT", "/containers/web/archive?path=/tmp", hostile(kind))
        assert answer.status in (200, 400, 403, 404, 500), answer
        harmless(daemon)
        got = daemon.api("GET", "/containers/web/archive?path=/tmp")
        assert got.status == 200
        assert shadow.splitlines()[0].encode() not in got.body
        assert daemon.machine.shell("cat /etc/shadow").stdout == shadow
    finally:
        daemon.docker("rm", "-f", "web")


@pytest.mark.parametrize(
    "path", ["../../../../etc/shadow", "/way/etc/shadow", "/proc/1/root/etc/shadow"]
)
@pytest.mark.parametrize("running", [True, False])
def test_what_is_read_is_the_containers(daemon: Daemon, path: str, running: bool) -> None:
    """Paths and links of a container lead to its own files."""
    verb = ("run", "-d") if running else ("create",)
    daemon.docker(*verb, "--name", "web", "busybox", "sleep", "1000000")
    shadow = daemon.machine.shell("cat /etc/shadow").stdout.splitlines()[0].encode()
    try:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo("way")
            member.type, member.linkname = tarfile.SYMTYPE, "/../../../../../.."
            tar.addfile(member)
        assert daemon.api("PUT", "/containers/web/archive?path=/", archive.getvalue()).status == 200
        answer = daemon.api("GET", f"/containers/web/archive?path={path}")
        assert shadow not in answer.body
    finally:
        daemon.docker("rm", "-f", "web")


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_stays_in_its_folder(daemon: Daemon, kind: str) -> None:
    """Neither an imported root file system nor a loaded archive writes beside its own place."""
    answer = daemon.api("POST", "/images/create?fromSrc=-&repo=evil", hostile(kind))
    if answer.status == 200 and "error" not in answer.body.decode():
        done = daemon.docker("run", "--rm", "evil", "true", check=False)
        assert done.returncode != 0
    daemon.api("POST", "/images/load", hostile(kind))
    harmless(daemon)
    daemon.api("DELETE", "/images/evil?force=1")


def test_manifests_that_point_elsewhere(daemon: Daemon) -> None:
    """An archive of images names files of its own, and none of the host's."""
    archive = io.BytesIO()
    manifest = [{"Config": "../../../../etc/shadow", "RepoTags": ["evil:latest"],
                 "Layers": ["../../../../etc/passwd", "/etc/shadow"]}]  # fmt: skip
    with tarfile.open(fileobj=archive, mode="w") as tar:
        raw = json.dumps(manifest).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(raw)
        tar.addfile(member, io.BytesIO(raw))
    answer = daemon.api("POST", "/images/load", archive.getvalue())
    assert b"root:" not in answer.body
    assert daemon.api("GET", "/images/evil/json").status == 404
