"""Every command but run's family, judged by Docker's own client: the same questions to the
daemon, the same words on the screen, the same exit status."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.answers import everything
from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

LINES = Path(__file__).with_name("command_lines.txt").read_text().splitlines()


@pytest.fixture(autouse=True)
def answers(recorder: Recorder) -> None:
    """The daemon answers all of it."""
    recorder.answers |= everything()


@pytest.mark.parametrize("line", LINES)
def test_a_command_does_what_dockers_does(fairlead: Fairlead, docker: Fairlead, line: str) -> None:
    """What is printed and asked is what Docker's client prints and asks."""
    args = shlex.split(line)
    ours, theirs = fairlead(*args), docker(*args)
    assert (ours.out, ours.err, ours.status) == (theirs.out, theirs.err, theirs.status)
    assert [ordered(asked) for asked in ours.asked] == [ordered(asked) for asked in theirs.asked]


def ordered(asked: object) -> object:
    """A question with its subnets in order: Docker's client sends them in a random one."""
    match asked:
        case (method, path, query, {"IPAM": {"Config": list(pools)} as ipam, **body}):
            pools = sorted(pools, key=lambda pool: str(pool.get("Subnet")))
            return (method, path, query, {**body, "IPAM": {**ipam, "Config": pools}})
    return asked


def test_rows_as_json_are_dockers(fairlead: Fairlead, docker: Fairlead) -> None:
    """`ps --format json` has Docker's keys and values."""
    ours, theirs = (
        [json.loads(line) for line in run("ps", "--format", "json").out.splitlines()]
        for run in (fairlead, docker)
    )
    # Docker's client has the platform too, which no daemon answers yet.
    assert ours == [{key: row[key] for key in row if key != "Platform"} for row in theirs]


def test_several_networks_go_although_one_stays(fairlead: Fairlead) -> None:
    """`network rm` goes on after a failure and says so in its exit status."""
    said = fairlead("network", "rm", "nosuch", "net2")
    assert (said.status, said.out) == (1, "net2\n")
    assert fairlead("network", "rm", "-f", "nosuch", "net2").status == 0


@pytest.mark.parametrize(
    ("args", "request_line"),
    [
        (("network", "create", "--dry-run", "n"), "POST /networks/create"),
        (("network", "rm", "--dry-run", "net2"), "DELETE /networks/net2"),
        (("network", "connect", "--dry-run", "net2", "web"), "POST /networks/net2/connect"),
    ],
)
def test_a_dry_run_prints_the_plan(
    fairlead: Fairlead, recorder: Recorder, args: tuple[str, ...], request_line: str
) -> None:
    """--dry-run asks for the plan alone and prints its lines."""
    recorder.answers[request_line] = {"Plan": ["+ bridge br-1", "+ address 10.0.0.1/8"]}
    said = fairlead(*args)
    assert (said.status, said.out) == (0, "+ bridge br-1\n+ address 10.0.0.1/8\n")
    assert said.asked[0][2] == {"dry_run": "1"}


def test_explain_prints_the_lines(fairlead: Fairlead, recorder: Recorder) -> None:
    """`explain` shows what the daemon says of a network or container."""
    recorder.answers["GET /fairlead/explain/net2"] = {"Lines": ["bridge br-1", "  for net2"]}
    assert fairlead("explain", "net2").out == "bridge br-1\n  for net2\n"


def test_explain_knows_other_daemons(fairlead: Fairlead) -> None:
    """Asked of a daemon that is not fairlead, `explain` says so and what to do."""
    said = fairlead("explain", "net2")
    assert said.status == 1
    assert "is not fairlead" in said.err
    assert "hint: " in said.err


def test_inspect_names_what_is_missing(fairlead: Fairlead) -> None:
    """What exists is shown, what does not is named, and the exit status is 1."""
    said = fairlead("inspect", "web", "nosuch")
    assert [each["Name"] for each in json.loads(said.out)] == ["/web"]
    assert (said.status, said.err) == (1, "Error: No such object: nosuch\n")


def test_version_works_without_a_daemon(fairlead: Fairlead, tmp_path: Path) -> None:
    """`version` still tells its own when there is nobody to ask."""
    said = fairlead("-H", f"unix://{tmp_path}/none.sock", "version")
    assert said.out.startswith("Client: fairlead\n Version:")
    assert said.status == 1
    assert "Cannot connect" in said.err


def test_tag_and_push_split_the_reference(fairlead: Fairlead, recorder: Recorder) -> None:
    """A registry's port is no tag, and no tag is latest."""
    recorder.answers["POST /images/old/tag"] = Answer(status=201)
    asked = [fairlead("tag", "old", to).asked[0][2] for to in ("reg:5000/a", "b:1")]
    assert asked == [{"repo": "reg:5000/a", "tag": "latest"}, {"repo": "b", "tag": "1"}]
