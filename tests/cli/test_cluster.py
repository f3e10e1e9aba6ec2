"""What the daemon says at its start about a cluster it was told of."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fairlead.cli.cluster import cluster
from fairlead.cli.config import load
from fairlead.cli.main import main


def test_flags_and_file_say_the_same(tmp_path: Path) -> None:
    """Options are an object in the file, and key=value on the command line."""
    file = tmp_path / "daemon.json"
    store, address = "etcd://192.0.2.9:2379", "eth0:2376"
    file.write_text(
        json.dumps(
            {
                "cluster-store": store,
                "cluster-advertise": address,
                "cluster-store-opts": {"kv.path": "x", "kv.api": "2"},
            }
        )
    )
    empty = tmp_path / "empty.json"
    empty.touch()
    flags = {
        "cluster-store": store,
        "cluster-advertise": address,
        "cluster-store-opt": ("kv.path=x", "kv.api=2"),
    }
    found = cluster(load(file, {}))
    assert found == cluster(load(empty, flags))
    assert found is not None
    assert (found.place.api, found.discovery.path) == (2, "x")
    assert found.advertised is not None
    assert found.advertised.interface == "eth0"
    assert cluster(load(empty, {})) is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cluster-advertise=eth0:1"], "--cluster-advertise must be accompanied by"),
        (["--cluster-store=redis://h:1"], "discovery service not supported"),
        (["--cluster-store=zk://h:1", "--cluster-advertise=eth0"], "invalid --cluster-advertise"),
        (["--cluster-store=zk://h:1", "--cluster-store-opt=kv.path"], "is not key=value"),
        (["--cluster-store=zk://h:1", "--cluster-store-opt=kv.x=1"], "invalid cluster-store-opt"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    """The daemon does not start, and says why."""
    file = tmp_path / "daemon.json"
    file.touch()
    words = ["daemon", "--validate", "--config-file", str(file), *flags]
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(words))
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_keys_come_of_files(tmp_path: Path) -> None:
    """Of networks and of gossip; what is in them is not shown with the rest."""
    empty, overlay, gossip = (tmp_path / name for name in ("empty.json", "overlay", "gossip"))
    empty.touch()
    overlay.write_text("0123456789abcdef" * 4 + "\n")
    gossip.write_text("MDEyMzQ1Njc4OWFiY2RlZg==\n")
    flags = {
        "cluster-store": "etcd://192.0.2.9",
        "cluster-store-opt": (f"fairlead.overlay.key={overlay}", f"fairlead.gossip.key={gossip}"),
    }
    found = cluster(load(empty, flags))
    assert found is not None
    assert found.secret == b"0123456789abcdef" * 4
    assert "0123456789abcdef" not in repr(found)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "fairlead.overlay.key: {} cannot be read: No such file"),
        ("tooshort", "the overlay key has 8 bytes, fewer than 32"),
    ],
)
def test_a_bad_file_of_keys_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    """It is known before anything is encrypted with it."""
    empty, overlay = tmp_path / "empty.json", tmp_path / "overlay"
    empty.touch()
    if content is not None:
        overlay.write_text(content)
    words = ["daemon", "--validate", "--config-file", str(empty), "--cluster-store=etcd://h"]
    with pytest.raises(SystemExit) as ended:
        sys.exit(main([*words, f"--cluster-store-opt=fairlead.overlay.key={overlay}"]))
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said.format(overlay) in line
