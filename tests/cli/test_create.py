"""`create`'s flags, judged by Docker's own client: the same request, or the same refusal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

CONTAINER = "a" * 64
# One command line a line, after `create`.
LINES = Path(__file__).with_name("create_lines.txt").read_text().splitlines()


@pytest.fixture(autouse=True)
def creation(recorder: Recorder) -> None:
    """The daemon creates whatever is asked for."""
    recorder.answers["POST /containers/create"] = Answer({"Id": CONTAINER, "Warnings": []}, 201)


@pytest.mark.parametrize("line", LINES)
def test_create_says_what_docker_says(fairlead: Fairlead, docker: Fairlead, line: str) -> None:
    """Every flag makes the request Docker's client makes, or is refused in its words."""
    args = shlex.split(line)
    assert fairlead("create", *args) == docker("create", *args)


def test_binds_keep_their_order(fairlead: Fairlead) -> None:
    """Bind mounts are sent in the order given, and a relative one from where we stand."""
    args = [word for bind in ("/a:/b", "/own", "vol:/d:ro", "./e:/f") for word in ("-v", bind)]
    (_, _, _, body) = fairlead("create", *args, "image").asked[0]
    assert body["HostConfig"]["Binds"] == ["/a:/b", "vol:/d:ro", f"{Path.cwd()}/e:/f"]
    assert body["Volumes"] == {"/own": {}}


def test_environment_comes_from_options_files_and_here(
    fairlead: Fairlead, docker: Fairlead, tmp_path: Path
) -> None:
    """-e takes a value from here when it gives none; --env-file and --label-file are read."""
    file = tmp_path / "settings"
    file.write_text('# a comment\nA=1\n  B=2 3\nHOME\nNOT_SET_ANYWHERE\n\nC="x"\n')
    args = ["--env-file", str(file), "--label-file", str(file), "-e", "HOME", "-e", "X=y"]
    args += ["--label", "q", "--label", "r=s", "image"]
    said = fairlead("create", *args)
    assert said == docker("create", *args)
    assert 'C="x"' in said.asked[0][3]["Env"]


@pytest.mark.parametrize("text", ["A B=1", "=x"])
def test_a_bad_env_file_is_refused(
    fairlead: Fairlead, docker: Fairlead, tmp_path: Path, text: str
) -> None:
    """A line of an env file that is no setting is named, and nothing is created."""
    file = tmp_path / "settings"
    file.write_text(text + "\n")
    args = ["--env-file", str(file), "image"]
    assert fairlead("create", *args) == docker("create", *args)


def test_the_cid_file_holds_the_id(fairlead: Fairlead, tmp_path: Path) -> None:
    """--cidfile keeps the id, and refuses to overwrite an older one."""
    file = tmp_path / "cid"
    assert fairlead("create", "--cidfile", str(file), "image").status == 0
    assert file.read_text() == CONTAINER
    again = fairlead("create", "--cidfile", str(file), "image")
    assert again.status == 125
    assert "container ID file found" in again.err
    assert again.asked == ()


def test_a_failed_create_leaves_no_cid_file(
    fairlead: Fairlead, recorder: Recorder, tmp_path: Path
) -> None:
    """An empty --cidfile does not stay behind."""
    recorder.answers["POST /containers/create"] = Answer({"message": "no room"}, 500)
    file = tmp_path / "cid"
    assert fairlead("create", "--cidfile", str(file), "image").status == 125
    assert not file.exists()


def test_options_end_at_the_image(fairlead: Fairlead) -> None:
    """What follows the image is the command's, however much it looks like a flag."""
    said = fairlead("create", "-t", "image", "ls", "-t", "--rm", "-p", "80")
    (_, _, _, body) = said.asked[0]
    assert body["Cmd"] == ["ls", "-t", "--rm", "-p", "80"]
    assert "AutoRemove" not in body["HostConfig"]
