"""cp, export, save, load and import: what goes where, and as what."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from fairlead.cli.copy import Place, landing, place
from tests.cli.recorder import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Fairlead
    from tests.cli.recorder import Recorder

GO_DIRECTORY = 1 << 31


def archive(**files: str | None) -> bytes:
    """A tar archive: a name and its text, or None for a directory; __ in a name is a slash."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            if text is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def stat(mode: int, name: str = "x") -> dict[str, str]:
    """The header that describes a path in a container."""
    text = json.dumps({"name": name, "size": 1, "mode": mode, "linkTarget": ""})
    return {"X-Docker-Container-Path-Stat": base64.b64encode(text.encode()).decode()}


FOLDER = archive(etc=None, etc__hosts="127.0.0.1", etc__deep=None, etc__deep__file="x")


@pytest.mark.parametrize(
    ("source", "is_directory", "target", "kind", "lands"),
    [
        ("/etc/hosts", False, "here", "missing", (".", "here")),
        ("/etc/hosts", False, "/a/b", "missing", ("/a", "b")),
        ("/etc/hosts", False, "/a", "directory", ("/a", "hosts")),
        ("/etc/hosts", False, "/a", "file", ("/", "a")),
        ("/etc", True, "/a/b", "missing", ("/a", "b")),
        ("/etc", True, "/a", "directory", ("/a", "etc")),
        ("/etc/", True, "/a", "directory", ("/a", "etc")),
        ("/etc/.", True, "/a", "directory", ("/a", ".")),
    ],
)
def test_where_a_copy_lands(
    source: str, is_directory: bool, target: str, kind: str, lands: tuple[str, str]
) -> None:
    """The table at the top of the module holds."""
    assert landing(source, target, is_directory=is_directory, target_kind=kind) == lands


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("web:/etc", Place("web", "/etc")),
        ("/a:b", Place("", "/a:b")),
        ("./a:b", Place("", "./a:b")),
        ("file", Place("", "file")),
        ("-", Place("", "-")),
    ],
)
def test_which_side_is_the_container(text: str, read: Place) -> None:
    """A colon makes a container of what stands before it, unless it begins as a path."""
    assert place(text) == read


@pytest.mark.parametrize(
    ("source", "target", "file"),
    [
        ("/etc", "new", "new/hosts"),
        ("/etc", ".", "etc/hosts"),
        ("/etc/.", ".", "hosts"),
        ("/etc", "new", "new/deep/file"),
    ],
)
def test_a_folder_comes_out(
    fairlead: Fairlead, recorder: Recorder, tmp_path: Path, source: str, target: str, file: str
) -> None:
    """A folder of a container is unpacked under the name the rules give it."""
    answer = Answer(FOLDER, headers=stat(GO_DIRECTORY | 0o755))
    recorder.answers["GET /containers/web/archive"] = answer
    said = fairlead("cp", f"web:{source}", str(tmp_path / target))
    assert (said.status, said.err) == (0, "")
    assert (tmp_path / file).is_file()


def test_a_file_comes_out(fairlead: Fairlead, recorder: Recorder, tmp_path: Path) -> None:
    """A file gets the target's name, and replaces what was there."""
    answer = Answer(archive(hosts="127.0.0.1"), headers=stat(0o644))
    recorder.answers["GET /containers/web/archive"] = answer
    target = tmp_path / "mine"
    target.write_text("old")
    assert fairlead("cp", "web:/etc/hosts", str(target)).status == 0
    assert target.read_text() == "127.0.0.1"


def test_an_archive_cannot_leave_its_folder(
    fairlead: Fairlead, recorder: Recorder, tmp_path: Path
) -> None:
    """A name with .. in it is refused, whatever the container put into the archive."""
    evil = archive(**{"etc": None, "etc__..__..__evil": "x"})
    recorder.answers["GET /containers/web/archive"] = Answer(evil, headers=stat(GO_DIRECTORY))
    target = tmp_path / "in"
    target.mkdir()
    said = fairlead("cp", "web:/etc", str(target))
    assert said.status == 1
    assert "outside" in said.err
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_goes_in(fairlead: Fairlead, recorder: Recorder, tmp_path: Path) -> None:
    """A folder here is sent as an archive to the folder it lands in."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index").write_text("hello")
    recorder.answers["HEAD /containers/web/archive"] = Answer(headers=stat(GO_DIRECTORY | 0o755))
    recorder.answers["PUT /containers/web/archive"] = Answer(status=200)
    assert fairlead("cp", str(tmp_path / "site"), "web:/srv").status == 0
    (sent,) = recorder.find("PUT", "/containers/web/archive")
    assert sent.query == {"path": "/srv", "noOverwriteDirNonDir": "true"}
    assert _names(sent.body) == ["site", "site/index"]


def test_a_file_goes_in_under_a_new_name(
    fairlead: Fairlead, recorder: Recorder, tmp_path: Path
) -> None:
    """A target that is not there names the file."""
    (tmp_path / "f").write_text("hello")
    missing = Answer({"message": "Could not find the file /srv/g in container web"}, 404)
    recorder.answers["HEAD /containers/web/archive"] = missing
    recorder.answers["PUT /containers/web/archive"] = Answer(status=200)
    assert fairlead("cp", str(tmp_path / "f"), "web:/srv/g").status == 0
    (sent,) = recorder.find("PUT", "/containers/web/archive")
    assert (sent.query["path"], _names(sent.body)) == ("/srv", ["g"])


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("a:/x", "b:/y"), "copying between containers is not supported"),
        (("x", "y"), "must specify at least one container source"),
        (("/no/such/file", "web:/y"), "lstat /no/such/file: no such file or directory"),
    ],
)
def test_what_cannot_be_copied(
    fairlead: Fairlead, recorder: Recorder, args: tuple[str, str], why: str
) -> None:
    """A copy that makes no sense is refused in one line."""
    recorder.answers["HEAD /containers/web/archive"] = Answer(headers=stat(GO_DIRECTORY))
    said = fairlead("cp", *args)
    assert (said.status, said.err) == (1, why + "\n")


def test_archives_pass_through_pipes(process: Fairlead, recorder: Recorder) -> None:
    """cp to - writes the archive, cp from - and import - send what comes in."""
    answer = Answer(FOLDER, headers=stat(GO_DIRECTORY))
    recorder.answers["GET /containers/web/archive"] = answer
    recorder.answers["HEAD /containers/web/archive"] = Answer(headers=stat(GO_DIRECTORY))
    recorder.answers["PUT /containers/web/archive"] = Answer(status=200)
    recorder.answers["POST /images/create"] = Answer(b'{"status":"sha256:abc"}\n')
    assert process("cp", "web:/etc", "-").out.encode() == FOLDER
    process("cp", "-", "web:/etc", stdin=FOLDER)
    assert recorder.find("PUT", "/containers/web/archive")[0].body == FOLDER
    said = process("import", "-", "mine:1", stdin=FOLDER)
    assert said.out == "sha256:abc\n"
    (sent,) = recorder.find("POST", "/images/create")
    assert (sent.query, sent.body) == ({"fromSrc": "-", "repo": "mine", "tag": "1"}, FOLDER)


def test_save_and_export_write_whole_files(
    fairlead: Fairlead, recorder: Recorder, tmp_path: Path
) -> None:
    """-o writes the archive, and a failure leaves no half of one."""
    recorder.answers["GET /images/get"] = Answer(FOLDER)
    recorder.answers["GET /containers/web/export"] = Answer(FOLDER)
    for args in (("save", "a"), ("export", "web")):
        target = tmp_path / args[0]
        assert fairlead(*args, "-o", str(target)).status == 0
        assert target.read_bytes() == FOLDER
    assert fairlead("export", "nosuch", "-o", str(tmp_path / "none")).status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "save"]


def test_load_sends_the_archive(fairlead: Fairlead, recorder: Recorder, tmp_path: Path) -> None:
    """load -i streams the file and prints what the daemon says about it."""
    (tmp_path / "a.tar").write_bytes(FOLDER)
    recorder.answers["POST /images/load"] = Answer(b'{"stream":"Loaded image: a:latest\\n"}\n')
    said = fairlead("load", "-i", str(tmp_path / "a.tar"))
    assert said.out == "Loaded image: a:latest\n"
    assert recorder.find("POST", "/images/load")[0].body == FOLDER


def test_pull_shows_each_change_once(fairlead: Fairlead, recorder: Recorder) -> None:
    """Off a terminal a pull prints states, and no bars."""
    lines: list[dict[str, Any]] = [
        {"status": "Pulling from library/busybox", "id": "latest"},
        {"status": "Downloading", "id": "abc", "progress": "[==>  ]", "progressDetail": {}},
        {"status": "Downloading", "id": "abc", "progress": "[====>]", "progressDetail": {}},
        {"status": "Pull complete", "id": "abc"},
        {"status": "Status: Downloaded newer image for busybox:latest"},
    ]
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    recorder.answers["POST /images/create"] = Answer(body)
    assert fairlead("pull", "busybox").out.splitlines() == [
        "Using default tag: latest",
        "latest: Pulling from library/busybox",
        "abc: Pull complete",
        "Status: Downloaded newer image for busybox:latest",
        "docker.io/library/busybox:latest",
    ]


def _names(body: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        return sorted(tar.getnames())
