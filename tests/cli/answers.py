"""What a busy daemon would answer: containers, images, networks and volumes of every shape."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.cli.recorder import Answer

MINUTE, HOUR, DAY = 60, 3600, 86400
# Ages in the middle of the unit they are shown in, so that no test runs across its edge.
AGES = (
    *(90, 150, 1800, 1.2 * HOUR, 2 * HOUR, 20 * HOUR, 47 * HOUR),
    *(2.5 * DAY, 10 * DAY, 20 * DAY, 45 * DAY, 100 * DAY, 500 * DAY, 900 * DAY),
)
IMAGES = ("busybox", "sha256:" + "d" * 64, "reg.io:5000/a/b:v1", "busybox@sha256:" + "e" * 64)
COMMANDS = ("sleep 1", "/bin/sh -c 'echo \"hi there\" && sleep 9'", "a\tb\n\\", "é" * 30)
GONE = Answer({"message": "No such container: gone"}, 404)
DONE = Answer(status=204)


def port(inner: int, kind: str, address: str = "", outer: int = 0) -> dict[str, Any]:
    """One row of a container's ports."""
    made: dict[str, Any] = {"PrivatePort": inner, "Type": kind}
    return made | ({"IP": address, "PublicPort": outer} if address else {})


PORTS: tuple[list[dict[str, Any]], ...] = (
    [],
    [port(80, "tcp"), port(81, "tcp"), port(53, "udp")],
    [port(80, "tcp", "0.0.0.0", 8080), port(80, "tcp", "::", 8080)],
    [port(n, "tcp", "0.0.0.0", n) for n in (8001, 8000, 8002, 443)] + [port(8000, "udp")],
    [port(80, "tcp", "127.0.0.1", 80), port(80, "udp", "127.0.0.1", 81), port(81, "tcp")],
)


def containers(now: float) -> list[dict[str, Any]]:
    """Containers of all ages, images, commands, ports and mounts."""
    made = []
    for index, age in enumerate(AGES):
        mounts = [{"Name": "f" * 64, "Driver": "local"}, {"Source": "/a/very/long/path/in/here"}]
        made.append(
            {
                "Id": f"{index:02x}" * 32,
                "Names": [f"/c{index}"] + ([f"/other/c{index}"] if index % 3 == 0 else []),
                "Image": IMAGES[index % 4],
                "ImageID": "sha256:" + "d" * 64,
                "Command": COMMANDS[index % 4],
                "Created": int(now - age),
                "Ports": PORTS[index % 5],
                "Labels": {"a": str(index)},
                "State": "running",
                "Status": f"Up {index} seconds",
                "SizeRw": index**3 * 12345,
                "SizeRootFs": index * 99999999 if index % 2 else 0,
                "NetworkSettings": {"Networks": {"bridge": {}}},
                "Mounts": mounts if index % 2 else [],
            }
        )
    return made


def images(now: float) -> list[dict[str, Any]]:
    """Images with several names of one repository (Docker shuffles more), one, none, a digest."""
    common = {"SharedSize": -1, "Containers": -1, "Created": int(now - 20 * HOUR)}
    return [
        common
        | {
            "Id": "sha256:" + "a" * 64,
            "RepoTags": ["busybox:latest", "busybox:1.0"],
            "RepoDigests": ["busybox@sha256:" + "b" * 64],
            "Size": 4261234,
        },
        common | {"Id": "e" * 64, "RepoTags": ["reg:5000/x/y:z"], "RepoDigests": [], "Size": 7},
        common | {"Id": "sha256:" + "c" * 64, "RepoTags": [], "RepoDigests": [], "Size": 0},
        common
        | {
            "Id": "sha256:" + "d" * 64,
            "RepoTags": ["<none>:<none>"],
            "RepoDigests": ["foo@sha256:" + "e" * 64],
            "Size": 1999999999,
        },
    ]


NETWORKS: list[dict[str, Any]] = [
    {
        "Name": name,
        "Id": digit * 64,
        "Created": "2026-11-20T10:11:12.123456789Z",
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}],
        },
        "Internal": name == "net2",
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            "c" * 64: {
                "Name": "web",
                "EndpointID": "e" * 64,
                "MacAddress": "02:42:ac:12:00:02",
                "IPv4Address": "172.18.0.2/16",
                "IPv6Address": "",
            }
        }
        if name == "net2"
        else {},
        "Options": {},
        "Labels": {"a": "b"} if name == "net2" else {},
    }
    for name, digit, driver in (
        ("net10", "a", "bridge"),
        ("net2", "b", "bridge"),
        ("host", "c", "host"),
        ("a-rather-long-name-for-a-network", "d", "bridge"),
    )
]

WEB: dict[str, Any] = {
    "Id": "c" * 64,
    "Name": "/web",
    "State": {"Running": True},
    "Config": {"Tty": False, "OpenStdin": False},
    "HostConfig": {},
    "NetworkSettings": {
        "Ports": {
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "8080"},
                {"HostIp": "::", "HostPort": "8080"},
            ],
            "443/tcp": None,
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        },
        "IPAddress": "172.17.0.2",
        "Networks": {"bridge": {"IPAddress": "172.17.0.2"}, "web": {"IPAddress": "10.0.0.2"}},
    },
}

EVENTS: list[dict[str, Any]] = [
    {
        "status": "start",
        "id": "a" * 64,
        "from": "busybox",
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "a" * 64, "Attributes": {"image": "busybox", "name": "web"}},
        "scope": "local",
        "time": 1795189440,
        "timeNano": 1795189440123456789,
    },
    {
        "Type": "network",
        "Action": "connect",
        "Actor": {"ID": "b" * 64, "Attributes": {"container": "c", "type": "bridge"}},
        "scope": "local",
        "time": 1795189441,
        "timeNano": 1795189441000000001,
    },
]

USAGE: dict[str, Any] = {
    "LayersSize": 5261234,
    "Images": [
        {"Id": "sha256:" + "a" * 64, "Size": 4261234, "SharedSize": 0, "Containers": 1},
        {"Id": "sha256:" + "b" * 64, "Size": 1000000, "SharedSize": 0, "Containers": 0},
    ],
    "Containers": [
        {"Id": "c" * 64, "State": "running", "SizeRw": 100},
        {"Id": "d" * 64, "State": "exited", "SizeRw": 50},
    ],
    "Volumes": [
        {"Name": "v", "Driver": "local", "UsageData": {"RefCount": 0, "Size": 1234}},
        {"Name": "w", "Driver": "local", "UsageData": {"RefCount": 1, "Size": 0}},
    ],
    "BuildCache": [],
}

STATS: dict[str, Any] = {
    "name": "/web",
    "id": "c" * 64,
    "read": "2026-11-21T02:00:01Z",
    "preread": "2026-11-21T02:00:00Z",
    "cpu_stats": {
        "cpu_usage": {"total_usage": 2 * 10**9},
        "system_cpu_usage": 20 * 10**9,
        "online_cpus": 2,
    },
    "precpu_stats": {
        "cpu_usage": {"total_usage": 10**9},
        "system_cpu_usage": 10**10,
        "online_cpus": 2,
    },
    "memory_stats": {
        "usage": 12345678,
        "stats": {"total_inactive_file": 345678},
        "limit": 8000000000,
    },
    "pids_stats": {"current": 5},
    "networks": {"eth0": {"rx_bytes": 1234, "tx_bytes": 56789}},
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"op": "read", "value": 4096},
            {"op": "Write", "value": 8192},
        ]
    },
}


def everything() -> dict[str, Any]:
    """Answers for every command that is compared."""
    now = time.time()
    history = [
        {
            "Id": "sha256:" + "a" * 64,
            "Created": int(now - 20 * HOUR),
            "CreatedBy": '/bin/sh -c #(nop)  CMD ["sh"] and something longer than that',
            "Size": 1234567,
            "Comment": "imported",
        }
    ]
    volumes = [
        {
            "Name": "zz",
            "Driver": "local",
            "Scope": "local",
            "Mountpoint": "/m",
            "Labels": {"a": "b"},
        },
        {"Name": "a" * 64, "Driver": "local", "Scope": "local", "Mountpoint": "/m", "Labels": None},
    ]
    top = [["root", "1", "sleep 1"], ["root", "22", "a very long command line indeed"]]
    made: dict[str, Any] = {
        "GET /containers/json": containers(now),
        "GET /images/json": images(now),
        "GET /networks": NETWORKS,
        "GET /networks/net2": NETWORKS[1],
        "GET /containers/web/json": WEB,
        "GET /containers/web/stats": STATS,
        "GET /containers/web/top": {"Titles": ["UID", "PID", "CMD"], "Processes": top},
        "GET /containers/web/changes": [{"Path": f"/{kind}", "Kind": kind} for kind in range(3)],
        "POST /containers/web/wait": {"StatusCode": 3},
        "POST /containers/prune": {"ContainersDeleted": ["a", "b"], "SpaceReclaimed": 123456},
        "DELETE /images/old": [{"Untagged": "old:latest"}, {"Deleted": "sha256:abc"}],
        "GET /images/old/history": history,
        "GET /images/old/json": {"Id": "sha256:x", "RepoTags": ["old:latest"]},
        "POST /images/prune": {
            "ImagesDeleted": [{"Untagged": "a"}, {"Deleted": "b"}],
            "SpaceReclaimed": 5,
        },
        "GET /volumes": {"Volumes": volumes},
        "POST /volumes/create": Answer({"Name": "v"}, 201),
        "POST /volumes/prune": {"VolumesDeleted": ["v"], "SpaceReclaimed": 1000},
        "POST /networks/create": Answer({"Id": "n" * 64, "Warning": ""}, 201),
        "POST /networks/prune": {"NetworksDeleted": ["a", "b"]},
        "GET /events": Answer(b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)),
        "GET /system/df": USAGE,
        "GET /info": {"Driver": "overlay2", "NCPU": 2},
        "GET /version": {"Version": "28.2.2"},
        "POST /containers/web/update": {"Warnings": None},
        "DELETE /containers/web": DONE,
        "DELETE /containers/gone": GONE,
        "DELETE /volumes/v": DONE,
        "DELETE /networks/net2": DONE,
        "POST /networks/net2/connect": Answer(status=200),
        "POST /networks/net2/disconnect": Answer(status=200),
    }
    for action in ("start", "stop", "restart", "kill", "pause", "unpause", "rename"):
        made[f"POST /containers/web/{action}"] = DONE
        made[f"POST /containers/gone/{action}"] = GONE
    return made
