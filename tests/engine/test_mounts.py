"""-v, --mount, --tmpfs and volumes of images."""

from __future__ import annotations

import pytest

from fairlead.engine import mounts
from fairlead.engine.record import MountPoint
from fairlead.model.container import MountKind
from fairlead.model.errors import Invalid
from tests.engine.build import config, host


def points(**given: object) -> dict[str, MountPoint]:
    found = mounts.mount_points(
        config(Volumes=given.pop("Volumes", None)), host(**given), lambda name: ()
    )
    return {p.destination: p for p in found}


def test_each_form_of_v() -> None:
    """A slash in front makes a source a path of the host; without a source it is anonymous."""
    found = points(Binds=["/srv/x:/a:ro", "data:/b", "/c"])

    assert (found["/a"].type, found["/a"].source, found["/a"].rw) == ("bind", "/srv/x", False)
    assert (found["/b"].type, found["/b"].name, found["/b"].rw) == ("volume", "data", True)
    assert (found["/c"].type, found["/c"].name) == ("volume", "")


def test_explicit_mounts_beat_the_images() -> None:
    """A user's mount where the image wants a volume takes its place."""
    found = points(Volumes={"/data": {}, "/other": {}}, Binds=["/srv:/data"])

    assert {path: p.type for path, p in found.items()} == {"/data": "bind", "/other": "volume"}


def test_mount_options() -> None:
    """The long form says the same things by name."""
    found = points(
        Mounts=[
            {"Type": "bind", "Source": "/srv", "Target": "/a", "ReadOnly": True},
            {"Type": "volume", "Source": "v1", "Target": "/b", "VolumeOptions": {"NoCopy": True}},
            {"Type": "tmpfs", "Target": "/c", "TmpfsOptions": {"SizeBytes": 9, "Mode": 0o700}},
        ],
        Tmpfs={"/d": "rw,size=1m"},
    )

    assert not found["/a"].rw
    assert (found["/b"].name, found["/b"].copy) == ("v1", False)
    assert found["/c"].options == ("size=9", "mode=700")
    assert found["/d"].options == ("rw", "size=1m")


def test_parents_are_mounted_before_children() -> None:
    """Else the child would be hidden."""
    assert list(points(Binds=["/1:/a/b/c", "/2:/a", "/3:/a/b"])) == ["/a", "/a/b", "/a/b/c"]


def test_volumes_from_lends_with_less_rights() -> None:
    """`:ro` makes what is borrowed read-only."""
    lent = MountPoint(type="volume", destination="/data", name="v", source="/v", rw=True)
    found = mounts.mount_points(
        config(), host(VolumesFrom=["other:ro"]), lambda name: [lent] if name == "other" else []
    )

    assert [(p.name, p.source, p.rw) for p in found] == [("v", "/v", False)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Binds": ["/a:/b:/c:/d"]}, "invalid volume specification: '/a:/b:/c:/d'"),
        ({"Binds": ["/a:/b:zz"]}, "invalid mode: zz"),
        ({"Binds": ["/a:/b", "/c:/b"]}, "Duplicate mount point: /b"),
        ({"Binds": ["a b:/b"]}, "includes invalid characters for a local volume name"),
        ({"Binds": ["/a:b"]}, "mount path must be absolute"),
        ({"Binds": ["/a:/"]}, "destination can't be '/'"),
        (
            {"Mounts": [{"Type": "bind", "Target": "/b"}]},
            'invalid mount config for type "bind": field Source must not be empty',
        ),
        (
            {"Mounts": [{"Type": "nfs", "Target": "/b"}]},
            'invalid mount config for type "nfs": mount type unknown',
        ),
    ],
)
def test_refused(given: dict[str, object], message: str) -> None:
    """What cannot be mounted is refused when the container is created."""
    with pytest.raises(Invalid) as caught:
        points(**given)

    assert message in caught.value.message


def test_our_files_give_way_to_the_users() -> None:
    """Whoever mounts an /etc/hosts of their own gets that one."""
    mine = MountPoint(type="bind", destination="/etc/hosts", source="/my/hosts")

    found = mounts.as_mounts([mine], {"/etc/hosts": "/ours", "/etc/resolv.conf": "/r"})

    assert {m.target: m.source for m in found} == {
        "/etc/hosts": "/my/hosts",
        "/etc/resolv.conf": "/r",
    }
    assert found[0].kind is MountKind.BIND


def test_what_may_be_written_below_a_read_only_root() -> None:
    """The innermost mount decides."""
    given = [
        MountPoint(type="bind", destination="/a", rw=True),
        MountPoint(type="bind", destination="/a/b", rw=False),
    ]

    assert mounts.writable(given, "/a/x")
    assert not mounts.writable(given, "/a/b/x")
    assert not mounts.writable(given, "/etc")
