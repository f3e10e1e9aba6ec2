"""`fairlead trace`: what it asks of the daemon, and what it shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

ROUTE = "POST /fairlead/trace"


def report(verdict: str, *lines: str) -> bytes:
    """What the daemon says of one packet."""
    return json.dumps({"Lines": lines, "Verdict": verdict, "Why": "", "Todo": ""}).encode() + b"\n"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("192.0.2.7", ":8080"), {"From": "192.0.2.7", "To": ":8080"}),
        (("web", ":5432", "--to", "db"), {"From": "web", "To": "db:5432"}),
        (("web", ":80", "--to", "2001:db8::7"), {"From": "web", "To": "[2001:db8::7]:80"}),
        (("--udp", "host", "db:53"), {"From": "host", "To": "db:53/udp"}),
        (("--udp", "host", "db:53/udp"), {"From": "host", "To": "db:53/udp"}),
        (("host", ":1", "--all"), {"From": "host", "To": ":1", "All": True}),
        (("any", ":1", "--watch"), {"From": "any", "To": ":1", "Seconds": 60}),
        (("any", ":1", "--seconds", "5"), {"From": "any", "To": ":1", "Seconds": 5}),
    ],
)
def test_what_is_asked(
    fairlead: Fairlead, recorder: Recorder, words: tuple[str, ...], asked: dict[str, Any]
) -> None:
    recorder.answers[ROUTE] = Answer(report("open", "open: it is"))
    said = fairlead("trace", *words)
    assert (said.status, said.out) == (0, "open: it is\n")
    assert said.asked[-1][3] == asked


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        (["open"], 0),
        (["leaves"], 0),
        (["closed"], 1),
        (["unknown"], 2),
        (["open", "", "closed"], 1),
    ],
)
def test_the_status_is_the_verdict(
    fairlead: Fairlead, recorder: Recorder, verdicts: list[str], status: int
) -> None:
    """Of several packets the worst; what only announces them is none."""
    recorder.answers[ROUTE] = Answer(b"".join(report(each, each or "-") for each in verdicts))
    said = fairlead("trace", "host", ":80")
    assert (said.status, said.out.split()) == (status, [each or "-" for each in verdicts])


def test_for_programs(fairlead: Fairlead, recorder: Recorder) -> None:
    recorder.answers[ROUTE] = Answer(report("closed", "closed: no"))
    said = fairlead("trace", "host", ":80", "--format", "json")
    assert json.loads(said.out)["Verdict"] == "closed"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("host",), "requires 2 arguments"),
        (("host", "db:80", "--to", "web"), "both name who is sent to"),
        (("host", ":80", "--format", "yaml"), "unknown format 'yaml'"),
        (("host", ":80", "--seconds", "x"), "invalid argument"),
    ],
)
def test_what_makes_no_sense(fairlead: Fairlead, words: tuple[str, ...], why: str) -> None:
    """It is refused before anybody is asked."""
    said = fairlead("trace", *words)
    assert said.status
    assert why in said.err
    assert not said.asked


def test_other_daemons_cannot(fairlead: Fairlead) -> None:
    said = fairlead("trace", "host", ":80")
    assert said.status == 1
    assert "is not fairlead" in said.err
    assert "hint: " in said.err
