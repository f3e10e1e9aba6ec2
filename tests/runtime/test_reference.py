"""References: what people write is what Docker would understand."""

from __future__ import annotations

import pytest

from fairlead.model.errors import Invalid
from fairlead.runtime.reference import Reference, parse

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("me/app:v1", "docker.io/me/app:v1", "me/app:v1"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("quay.io/a/b/c", "quay.io/a/b/c", "quay.io/a/b/c"),
        ("ABC/x", "ABC/x", "ABC/x"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}", f"busybox@{DIGEST}"),
        (f"a/b:c@{DIGEST}", f"docker.io/a/b:c@{DIGEST}", f"a/b:c@{DIGEST}"),
    ],
)
def test_names(text: str, full: str, familiar: str) -> None:
    """A short name means the hub's, a host keeps its own, and both are shown as written."""
    reference = parse(text)

    assert (str(reference), reference.familiar) == (full, familiar)
    assert parse(str(reference)) == reference


def test_latest_is_only_a_default() -> None:
    """The tag is added where neither a tag nor a digest was given."""
    assert parse("busybox").tagged == Reference("docker.io", "library/busybox", "latest")
    assert parse("busybox:1").tagged.tag == "1"
    assert parse(f"busybox@{DIGEST}").tagged.tag == ""


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "a:", "a@", "-a", "a/", "/a", "a//b", "a:b:c", "a b", "a:" + "x" * 129,
        "a@sha256:ab",
        "a@md5:" + "0" * 64, "Upper", "a/Upper", "a..b", "a/../b", "x" * 260, "ab" * 32, "ä", "a\n",
    ],
)  # fmt: skip
def test_what_is_no_reference(text: str) -> None:
    """Everything else is refused with a message that begins as Docker's."""
    with pytest.raises(Invalid, match=r"^invalid re(ference format|pository name)"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("localhost:5000/a", True), ("127.0.0.1/a", True), ("127.9.9.9:5000/a", True),
        ("[::1]:5000/a", True), ("127.0.0.1.example.org/a", False), ("10.0.0.1:5000/a", False),
        ("busybox", False),
    ],
)  # fmt: skip
def test_loopback_registries(text: str, loopback: bool) -> None:
    """Only this host's own registries are spoken to without a certificate."""
    assert parse(text).on_loopback is loopback
