"""A host whose kernel cannot encrypt: it makes no encrypted network, and joins none of others'.

Few kernels of machines that run tests can; on one that does nothing is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host, eventually
from tests.overlay.faults import ROOT, Etcd

pytestmark = pytest.mark.root

CREATE = ("network", "create", "-d", "overlay", "--opt", "encrypted")
TRIAL = "ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 1 mode transport aead " + (
    "'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128"
)
OTHERS = "9" * 64


@pytest.fixture(scope="module")
def town() -> Iterator[tuple[Host, Etcd]]:
    """A host, and the store of its cluster."""
    with Switch() as switch:
        keeper = switch.machine("store")
        host = Host(switch.machine("one"))
        with etcd(keeper) as server, Cluster(switch, server, [host]):
            yield host, Etcd(keeper)


def test_it_is_refused_where_it_cannot_be(town: tuple[Host, Etcd]) -> None:
    """In one line that says what the kernel lacks; nothing is left, and nobody is on it."""
    host, store = town
    can = host.machine.shell(TRIAL, check=False).returncode == 0
    host.machine.shell("ip xfrm state flush")
    said = host.docker(*CREATE, "secret", check=False)
    if can:
        assert "Error" not in said
        return
    assert "this host cannot encrypt networks, its kernel" in said
    assert "CONFIG_" in said
    assert "secret" not in host.networks()
    assert not store.below(f"{ROOT}/network/")

    # Another host, which can, has made one.
    plain = host.docker("network", "create", "-d", "overlay", "plain")
    store.put(_encrypted(store, plain))
    eventually(lambda: "others" in host.networks())
    options = ("--name", "aa", "--net", "others")
    said = host.docker("run", "-d", *options, "busybox", "sleep", "600", check=False)
    assert "this host cannot encrypt networks, its kernel" in said
    assert "vxlan" not in host.machine.shell("ip -d link; ip netns").stdout
    assert not host.machine.path(f"/run/fairlead/netns/1-{OTHERS[:10]}").exists()
    host.docker("rm", "-f", "aa", check=False)
    # What is not secret is as ever.
    host.run("bb", "plain")


def _encrypted(store: Etcd, like: str) -> dict[str, str]:
    """The records of an encrypted network, made of those of one that is not."""
    found: dict[str, str] = {}
    for place in (f"{ROOT}/network/", f"{ROOT}/overlay/network/"):
        text = store.below(place)[f"{place}{like}"]
        record = json.loads(text.replace(like, OTHERS).replace("10.0.0.", "10.99.0."))
        if "generic" in record:
            record["name"] = "others"
            record["generic"]["com.docker.network.generic"] = {"encrypted": ""}
        else:
            record["secure"] = True
        found[f"{place}{OTHERS}"] = json.dumps(record)
    return found
