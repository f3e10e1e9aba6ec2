"""Routes of the doctor: what is wrong with the host, and its repair. Our extension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fairlead.api.answers import answer
from fairlead.api.call import Call, Reply, Serve
from fairlead.api.router import Route
from fairlead.model.step import Step
from fairlead.plan.doctor import Finding, is_sick
from fairlead.plan.explain import plan_lines


async def examine(call: Call) -> Reply:
    """What is wrong; nothing is changed."""
    return answer(_report(await call.controller.doctor.examine()))


async def fix(call: Call) -> Reply:
    """Repair what differs from what is wanted, edits by hand too."""
    steps, findings = await call.controller.doctor.fix()
    return answer(_report(findings, steps))


def _report(findings: Sequence[Finding], steps: Sequence[Step] = ()) -> dict[str, Any]:
    return {
        "Healthy": not is_sick(findings),
        "Repaired": plan_lines(steps),
        "Findings": [
            {
                "Severity": str(finding.severity),
                "Kind": finding.kind,
                "What": finding.what,
                "Why": finding.why,
                "Todo": finding.todo,
                "Details": list(finding.details),
            }
            for finding in findings
        ],
    }


def routes() -> Iterator[Route[Serve]]:
    """The table of this noun."""
    yield Route("GET", "/fairlead/doctor", examine)
    yield Route("POST", "/fairlead/doctor", fix)
