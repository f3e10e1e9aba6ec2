"""daemon.json and flags: what is set is what runs, and a mistake stops the start."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from fairlead.cli.config import Config, load
from fairlead.ipam.pool import Base
from fairlead.model.errors import FairleadError, Invalid


def written(folder: Path, settings: Any) -> Path:
    path = folder / "daemon.json"
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return path


def test_the_file_of_the_tutorials(tmp_path: Path) -> None:
    """A bip in daemon.json is the default bridge's address."""
    assert load(written(tmp_path, {"bip": "172.100.0.1/24"}), {}).bip == "172.100.0.1/24"


def test_flags_alone(tmp_path: Path) -> None:
    """Flags take effect without a file, lists of them too."""
    config = load(
        written(tmp_path, ""), {"host": ["unix:///run/a", "tcp://127.0.0.1:1"], "mtu": 1400}
    )

    assert config.hosts == ("unix:///run/a", "tcp://127.0.0.1:1")
    assert config.mtu == 1400


def test_pools(tmp_path: Path) -> None:
    """default-address-pools as Docker writes them, and as the flag does."""
    base = Base(ip_network("10.9.0.0/16"), 24)
    settings = {"default-address-pools": [{"base": "10.9.0.0/16", "size": 24}]}

    assert load(written(tmp_path, settings), {}).default_address_pools == (base,)
    flag = {"default-address-pool": ["base=10.9.0.0/16,size=24"]}
    assert load(written(tmp_path, "{}"), flag).default_address_pools == (base,)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bpi": "1.2.3.4/24"}, "don't match any configuration option: bpi"),
        ({"mtu": "big"}, "mtu must be a number"),
        ({"mtu": 5}, "mtu must be between 68 and 65535"),
        ({"icc": "yes"}, "icc must be true or false"),
        ({"ip": "example.org"}, "is no IP address"),
        ({"dns": ["8.8.8.8", "dns"]}, "'dns' is no IP address"),
        ({"hosts": ["npipe://x"]}, "invalid host"),
        ({"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}, "does not fit"),
        (
            {"default-address-pools": [{"base": "ten", "size": 16}]},
            "needs a base subnet and a size",
        ),
        ({"bridge": "br0", "bip": "10.0.0.1/24"}, "mutually exclusive"),
        ({"iptables-prefix": "FAR-TOO-LONG"}, "at most 9"),
        ({"firewall-backend": "pf"}, "not one of iptables, nftables"),
        ([1], "must hold one JSON object"),
        ("{", "Expecting property name"),
    ],
    ids=str,
)
def test_mistakes(tmp_path: Path, settings: Any, words: str) -> None:
    """Each is one clear line."""
    with pytest.raises(FairleadError) as refused:
        load(written(tmp_path, settings), {})

    assert words in refused.value.message
    assert "\n" not in refused.value.message


def test_set_in_both_places(tmp_path: Path) -> None:
    """Nobody has to guess which of two values counts."""
    with pytest.raises(Invalid, match=r"both as a flag and in the configuration file: mtu"):
        load(written(tmp_path, {"mtu": 1400}), {"mtu": 1300})


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    """--config-file names a file; a typing error is not the same as no file."""
    with pytest.raises(Invalid, match="does not exist"):
        load(tmp_path / "nowhere.json", {})


def test_defaults(tmp_path: Path) -> None:
    """An empty file changes nothing."""
    assert load(written(tmp_path, "{}"), {}) == Config()
