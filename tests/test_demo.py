"""The demo is the first thing that a stranger runs; it checks itself as it goes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "scripts" / "demo"


@pytest.mark.root
def test_the_demo_ends_well() -> None:
    """Every step of it works, and it shows the networks at the end."""
    done = subprocess.run(
        [str(DEMO)],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "hello from web" in done.stdout
    assert "front ═ bridge br-" in done.stdout
    assert "veth and br- links: 0, namespaces: 0, rules of them: 0" in done.stdout
