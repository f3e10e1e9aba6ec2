"""The kept iptables-restore: each change whole, errors told in its words, never stuck."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from fairlead.kernel.errors import Refused
from fairlead.kernel.linux import LinuxKernel
from fairlead.kernel.restorer import Restorer
from fairlead.model.errors import Failed
from fairlead.model.iptables import Chain
from fairlead.model.step import Step
from tests.contract.conftest import linux, private_host  # noqa: F401

pytestmark = pytest.mark.root

CHAIN = "*filter\n:TEST - [0:0]\n-A TEST -s 10.0.0.1/32 -j ACCEPT\nCOMMIT\n"


@pytest.fixture(params=["iptables-restore", "iptables-legacy-restore"])
def restorer(request: pytest.FixtureRequest, private_host: None) -> Iterator[Restorer]:  # noqa: F811
    """Both kinds of the program."""
    kept = Restorer((request.param, "-w", "5"))
    yield kept
    kept.close()


def rules(restorer: Restorer, chain: str = "TEST") -> list[str]:
    """What stands in a chain, by a program of the same kind."""
    program = restorer.argv[0].removesuffix("-restore")
    done = subprocess.run([program, "-S", chain], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line.startswith("-A")]


def test_when_it_returns_the_change_is_made(restorer: Restorer) -> None:
    """There is nothing to wait for, the first time and later."""
    restorer.apply(CHAIN)
    assert rules(restorer) == ["-A TEST -s 10.0.0.1/32 -j ACCEPT"]

    restorer.apply("*filter\n-D TEST -s 10.0.0.1/32 -j ACCEPT\nCOMMIT\n")
    assert rules(restorer) == []


def test_two_tables_in_one_change(restorer: Restorer) -> None:
    """All COMMITs of a change are done when it returns."""
    restorer.apply(CHAIN + CHAIN.replace("*filter", "*nat"))

    assert rules(restorer) == ["-A TEST -s 10.0.0.1/32 -j ACCEPT"]


def test_an_error_is_told_in_the_programs_words_and_changes_nothing(restorer: Restorer) -> None:
    """And the next change is made as if nothing had been."""
    restorer.apply(CHAIN)

    with pytest.raises(Failed, match="nonsense"):
        restorer.apply("*filter\n-A TEST -s 10.0.0.2/32 -j ACCEPT\nnonsense\nCOMMIT\n")
    assert rules(restorer) == ["-A TEST -s 10.0.0.1/32 -j ACCEPT"]

    restorer.apply("*filter\n-A TEST -s 10.0.0.3/32 -j ACCEPT\nCOMMIT\n")
    assert len(rules(restorer)) == 2


def test_what_was_committed_before_an_error_is_told_and_can_be_undone(linux: LinuxKernel) -> None:  # noqa: F811
    """Each table is committed by itself: those before the refused one stand until taken back."""
    closed = Step(None, Chain("ip", "raw", "TEST-DIRECT", ("-d 10.9.0.0/24 -j DROP",)))
    opened = Step(None, Chain("ip", "nat", "TEST", ("-j NO-SUCH-TARGET",)))
    six = Step(None, Chain("ip6", "raw", "TEST-DIRECT", ("-j RETURN",)))

    with pytest.raises(Refused) as refused:
        linux.apply([closed, opened, six])
    assert refused.value.step == opened
    assert refused.value.applied == (closed,)
    linux.apply([step.undo() for step in refused.value.applied])

    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert "TEST" not in saved


def test_it_sees_what_others_changed(restorer: Restorer) -> None:
    """A kept program must not go by what it knew before."""
    restorer.apply(CHAIN)
    program = restorer.argv[0].removesuffix("-restore")
    subprocess.run([program, "-I", "TEST", "-s", "10.9.9.9/32", "-j", "DROP"], check=True)

    restorer.apply("*filter\n-I TEST 2 -s 10.0.0.2/32 -j ACCEPT\nCOMMIT\n")

    assert [rule.split()[3] for rule in rules(restorer)] == [
        "10.9.9.9/32",
        "10.0.0.2/32",
        "10.0.0.1/32",
    ]


def test_killed_it_is_started_again(restorer: Restorer) -> None:
    """Whoever kills it does not take the firewall from us."""
    restorer.apply(CHAIN)
    assert restorer.pid is not None
    os.kill(restorer.pid, signal.SIGKILL)
    os.waitid(os.P_PID, restorer.pid, os.WEXITED | os.WNOWAIT)

    restorer.apply("*filter\n-F TEST\nCOMMIT\n")

    assert rules(restorer) == []


def test_a_change_longer_than_every_buffer(restorer: Restorer) -> None:
    """Neither side waits for the other to read."""
    many = "".join(f"-A TEST -s 10.1.{i // 250}.{i % 250}/32 -j ACCEPT\n" for i in range(5000))
    comments = "# as it was said\n" * 5000

    restorer.apply(f"*filter\n:TEST - [0:0]\n{comments}{many}COMMIT\n")

    assert len(rules(restorer)) == 5000


def test_a_missing_program_is_named(private_host: None) -> None:  # noqa: F811
    """With what to do about it."""
    with pytest.raises(Failed, match="no-such-restore") as caught:
        Restorer(("no-such-restore",)).apply(CHAIN)
    assert "install" in (caught.value.hint or "")
