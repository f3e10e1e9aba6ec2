"""The examples of the pages, run on two hosts as they stand there."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docker.stage import Stage
from tests.lab import Daemon, Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import eventually

pytestmark = pytest.mark.root

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "heading"), [("README.md", "## Many hosts"), ("docs/cluster.md", "## Quick start")]
)
def test_the_example(page: str, heading: str) -> None:
    """The daemon on each host, the network and a container on one, and a ping from the other."""
    part = (ROOT / page).read_text().split(f"\n{heading}\n")[1].split("\n## ")[0]
    start, one, other = BLOCK.findall(part)
    words = shlex.split(start.rstrip("&\n"))
    assert words[:2] == ["fairlead", "daemon"]
    with Switch() as switch, ExitStack() as stack:
        keeper = switch.machine("store")
        assert str(keeper.address) in start
        stack.enter_context(etcd(keeper))
        stages = []
        for name in ("one", "two"):
            daemon = stack.enter_context(Daemon(switch.machine(name), *words[2:]))
            daemon.import_busybox()
            stages.append(Stage(daemon, keeper))
        stages[0].sh(f"set -e\n{one}")
        eventually(lambda: "ov_net1" in stages[1].sh("docker network ls"))
        said = stages[1].sh("set -e\n" + other.replace("fairlead cluster", ""))
        assert " 0% packet loss" in said
        if "fairlead cluster" in other:
            picture = stages[1].daemon.fairlead("cluster").stdout
            assert re.search(rf"╚═·+ {stages[0].host.address}\n +└── web  10\.0\.0\.2\n", picture)
