"""The keyring of a cluster: hosts that make, join and turn it at once agree about it."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import count

import pytest

from fairlead.cluster import keyring, sealing
from fairlead.controller.shared.keyring import Keys
from fairlead.model.errors import Conflict, Invalid
from fairlead.model.keyring import Keyring
from tests.controller.shared.hosts import Content, Host, run

A, B, C = (ip_address(f"192.0.2.{n}") for n in (1, 2, 3))
FILE = b"0123456789abcdef0123456789abcdef"
_DRAWN = count(1)


def draw(size: int) -> bytes:
    """Never the same twice."""
    return next(_DRAWN).to_bytes(size)


def keys(content: Content, own: str = "192.0.2.1", secret: bytes | None = None) -> Keys:
    return Keys(Host(content, own).place, ip_address(own), secret, draw, lambda: 1_000_000.5)


def stored(content: Content) -> Keyring:
    return keyring.decode(content.pairs()["fairlead/v1/keys"])


def test_the_first_makes_it_and_others_join() -> None:
    """All have the same secrets; joining again changes nothing, being born again does."""
    content = Content()
    one = run(keys(content).join())
    two = run(keys(content, "192.0.2.2").join())
    assert set(two.members) == {A, B}
    assert two.secrets == one.secrets
    assert run(keys(content).join()) == two
    writings = content.writings
    assert run(keys(content).join()) == two
    assert content.writings == writings

    again = run(keys(content).join(again=True))
    assert again.members[B] == two.members[B]
    assert again.members[A].birth != two.members[A].birth
    assert list(sealing.between(again, A, B)) != list(sealing.between(two, A, B))


def test_hosts_at_once() -> None:
    """One step of each after the other: nobody's part is lost, and nobody has another's secrets."""
    content = Content()
    hosts = [keys(content, str(host)) for host in (A, B, C)]
    running = [host.join() for host in hosts]
    found: list[Keyring] = []
    while running:
        for each in list(running):
            try:
                each.send(None)
            except StopIteration as done:
                found.append(done.value)
                running.remove(each)
    assert len(found) == 3
    assert set(stored(content).members) == {A, B, C}
    assert len({ring.secrets for ring in found}) == 1


def test_a_turn_is_made_once() -> None:
    """Whoever wants the same turn later finds it made."""
    content = Content()
    ring = run(keys(content).join())
    turned = run(keys(content).turn(ring.generation))
    assert turned is not None
    assert (turned.generation, turned.since) == (ring.generation + 1, 1_000_000)
    assert run(keys(content, "192.0.2.2").turn(ring.generation)) == turned
    assert run(keys(Content()).turn(7)) is None


def test_a_host_that_leaves() -> None:
    """It is not in it any more; one that was not, and no keyring at all, are no matter."""
    content = Content()
    run(keys(content).leave())
    run(keys(content).join())
    run(keys(content, "192.0.2.2").join())
    run(keys(content, "192.0.2.3").leave())
    run(keys(content).leave())
    assert set(stored(content).members) == {B}


def test_secrets_of_a_file_are_not_in_the_store() -> None:
    """Hosts with the file agree; one with another, or with none, is told so."""
    content = Content()
    one = run(keys(content, secret=FILE).join())
    two = run(keys(content, "192.0.2.2", FILE).join())
    assert one.secrets == two.secrets != ()
    assert stored(content).secrets == ()
    turned = run(keys(content, "192.0.2.2", FILE).turn(two.generation))
    assert turned is not None
    assert turned.secrets[:2] == two.secrets[1:]
    with pytest.raises(Conflict, match="another key"):
        run(keys(content, "192.0.2.3", FILE[::-1]).join())
    with pytest.raises(Conflict, match="does not have") as caught:
        run(keys(content, "192.0.2.3").join())
    assert "fairlead.overlay.key" in caught.value.hint
    plain = Content()
    run(keys(plain).join())
    with pytest.raises(Conflict, match="another key"):
        run(keys(plain, "192.0.2.2", FILE).join())


def test_a_bad_value_is_not_overwritten() -> None:
    """Whoever put it there: nobody encrypts with it, and the error says what to do."""
    content = Content()
    content.write("fairlead/v1/keys", b"{}")
    for deed in (keys(content).join(), keys(content).turn(2), keys(content).leave()):
        with pytest.raises(Invalid, match="bad value") as caught:
            run(deed)
        assert "remove fairlead/v1/keys" in caught.value.hint
    assert content.pairs()["fairlead/v1/keys"] == b"{}"
