"""The demos are the first things that a stranger runs; they check themselves as they go."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def shown(demo: str) -> str:
    """What a demo prints; it must end well."""
    done = subprocess.run(
        [str(SCRIPTS / demo)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.root
def test_the_demo_ends_well() -> None:
    """Every step of it works, and it shows the networks at the end."""
    said = shown("demo")

    assert "hello from web" in said
    assert "front ═ bridge br-" in said
    assert "veth and br- links: 0, namespaces: 0, rules of them: 0" in said


@pytest.mark.root
def test_the_demo_of_a_cluster_ends_well() -> None:
    """A network through two machines, a ping across, what stands for it, and a picture."""
    said = shown("demo-cluster")

    assert re.search(r"ov_net1 +overlay +global", said)
    assert "2 packets transmitted, 2 packets received, 0% packet loss" in said
    assert re.search(r"02:42:\S+ dst 192\.0\.2\.3 .*self static", said)
    assert "20 packets transmitted, 20 packets received, 0% packet loss" in said
    assert re.search(r"╠═══ 192\.0\.2\.2  this host\n  ║ +└── web  10\.0\.0\.2\n", said)
    assert re.search(r"╚═\)\)\) 192\.0\.2\.3\n +└── db  10\.0\.0\.3\n", said)
    assert "namespaces: 0" in said
