"""Policies of IPsec, on both kernels; associations are in `tests/security/test_encryption.py`.

Every kernel with XFRM has policies; few machines that run tests can make an SA.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import ip_address

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.port import Kernel
from fairlead.model.state import Resource, Scope, state
from fairlead.model.step import Step
from fairlead.model.xfrm import XfrmBlock, XfrmDemand, XfrmPolicy
from fairlead.plan.diff import diff

FOUR = XfrmPolicy(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 0x101)
SIX = XfrmPolicy(ip_address("2001:db8::1"), ip_address("2001:db8::2"), 0x102, port=7777)
ALL: list[Resource] = [
    *(FOUR, SIX),
    *(XfrmBlock(4), XfrmBlock(6, 7777)),
    *(XfrmDemand(4), XfrmDemand(6, 7777)),
]


def test_policies_come_change_and_go(kernel: Kernel) -> None:
    """They are read as they were written."""
    kernel.apply(diff(state(ALL), {}))
    assert kernel.observe(Scope()) == state(ALL)

    turned = replace(FOUR, spi=0xFFFFFF02)
    kernel.apply([Step(FOUR, turned)])
    assert kernel.observe(Scope()) == state([turned, *ALL[1:]])

    kernel.apply(diff({}, kernel.observe(Scope())))
    assert kernel.observe(Scope()) == {}


def test_a_policy_is_not_made_twice_and_may_be_gone(kernel: Kernel) -> None:
    """The step that was refused is named, and the others are told as taken."""
    kernel.apply([Step(None, FOUR)])
    with pytest.raises(Refused, match=r"xfrm-policy 192\.0\.2\.1 192\.0\.2\.2") as caught:
        kernel.apply([Step(None, SIX), Step(None, FOUR)])
    assert caught.value.applied == (Step(None, SIX),)
    kernel.apply([Step(FOUR, None)])
    kernel.apply([Step(FOUR, None)])


@pytest.mark.root
def test_others_see_what_was_meant(linux: LinuxKernel) -> None:
    """The program ip tells it, and what others made is neither told nor touched."""
    foreign = "dir out src 192.0.2.1 dst 192.0.2.2 proto udp dport 4789 mark 7 priority 5"
    _ip(f"xfrm policy add {foreign} tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 9")
    _ip("xfrm policy add dir out src 0.0.0.0/0 dst 0.0.0.0/0 mark 0xd0c4e3 action block priority 3")

    linux.apply(diff(state(ALL), {}))
    said = " ".join(_ip("xfrm policy").split())
    for words in (
        "src 192.0.2.1/32 dst 192.0.2.2/32 proto udp dport 4799 dir out priority 100 ptype main "
        "tmpl src 192.0.2.1 dst 192.0.2.2 "
        "proto esp spi 0x00000101 reqid 3237998080 mode transport",
        "src ::/0 dst ::/0 proto udp dport 7777 dir out action block",
        "src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 4799 dir in priority 3237998080 ptype main "
        "tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 3237998080 mode transport",
    ):
        assert words in said
    assert linux.observe(Scope()) == state(ALL)

    linux.apply(diff({}, state(ALL)))
    left = _ip("xfrm policy")
    assert left.count("dir out") == 2
    assert "reqid 9" in left


def _ip(words: str) -> str:
    return subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True).stdout
