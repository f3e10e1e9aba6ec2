"""Docker's path for namespaces: ours where nobody else is, and never over something of others."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from fairlead.cli.docker_place import in_dockers_place, lead_to


def test_it_leads_to_ours(tmp_path: Path) -> None:
    """Where nothing is; again at the next start; not any more when Docker may run here."""
    folder, namespaces = tmp_path / "docker" / "netns", tmp_path / "fairlead" / "netns"
    namespaces.mkdir(parents=True)
    (namespaces / "1-46663fb66b").touch()
    for _ in range(2):
        lead_to(namespaces, True, folder)
        assert [path.name for path in folder.iterdir()] == ["1-46663fb66b"]
    lead_to(namespaces, False, folder)
    assert not folder.is_symlink()
    assert (namespaces / "1-46663fb66b").exists()


@pytest.mark.parametrize("ours", [True, False])
def test_what_others_have_there_stays(tmp_path: Path, ours: bool) -> None:
    """A folder of Docker's, and a link to somewhere else."""
    folder = tmp_path / "docker" / "netns"
    folder.mkdir(parents=True)
    lead_to(tmp_path / "netns", ours, folder)
    assert not folder.is_symlink()
    link = tmp_path / "link"
    link.symlink_to(folder)
    lead_to(tmp_path / "netns", ours, link)
    assert link.readlink() == folder


def test_the_folder_may_be_dockers_own(tmp_path: Path) -> None:
    """With `--exec-root /var/run/docker` nothing is to be done."""
    folder = tmp_path / "docker" / "netns"
    folder.mkdir(parents=True)
    lead_to(folder, True, folder)
    assert folder.is_dir()
    assert not folder.is_symlink()


def test_who_stands_in_dockers_place(tmp_path: Path) -> None:
    """Whoever has its socket, given as a path of either spelling."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "sock"))
        assert in_dockers_place(["unix:///var/run/docker.sock"], [])
        assert in_dockers_place(["tcp://127.0.0.1:2375", "unix:///run/docker.sock"], [])
        assert not in_dockers_place(["unix:///run/fairlead.sock", "fd://"], [other])
