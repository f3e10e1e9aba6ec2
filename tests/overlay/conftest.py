"""A cluster of pretend machines on one switch, with a real store on a machine of its own.

::

    store 192.0.2.1 ── switch ── one 192.0.2.2, two 192.0.2.3, three 192.0.2.4
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import Switch
from tests.lab.stores import etcd
from tests.overlay.cluster import Cluster, Host

pytestmark = pytest.mark.root

# Two daemons where the processor is emulated take minutes: `make test-crash` asks for them.
collect_ignore = [] if os.environ.get("FAIRLEAD_TRUST_ALL") else ["test_encrypted_daemons.py"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three hosts and an etcd, without gossip."""
    with Switch() as switch:
        keeper = switch.machine("store")
        hosts = [Host(switch.machine(name)) for name in ("one", "two", "three")]
        with etcd(keeper) as server, Cluster(switch, server, hosts) as made:
            yield made
