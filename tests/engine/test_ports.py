"""Published ports: from what clients write to what the controller is asked for."""

from __future__ import annotations

from fairlead.engine import ports
from fairlead.engine.documents import PortBinding
from fairlead.model.endpoint import PortRequest


def test_each_form_of_a_binding() -> None:
    """A port, a range, any port, an address: each is what it says."""
    bindings = {
        "80/tcp": [PortBinding("", "8080"), PortBinding("127.0.0.1", "")],
        "53/udp": [PortBinding("::1", "5300-5310")],
    }

    assert ports.requests(bindings, ["80/tcp", "53/udp"], publish_all=False) == (
        PortRequest("udp", 53, "::1", 5300, 5310),
        PortRequest("tcp", 80, "", 8080),
        PortRequest("tcp", 80, "127.0.0.1", 0),
    )


def test_only_exposed_ports_are_published() -> None:
    """As Docker does up to the API we speak; the CLI always exposes what it publishes."""
    assert ports.requests({"80/tcp": [PortBinding("", "80")]}, [], publish_all=False) == ()


def test_publish_all_gives_every_exposed_port_one_of_the_systems_choice() -> None:
    """-P leaves alone what -p has said."""
    found = ports.requests(
        {"80/tcp": [PortBinding("", "8080")]}, ["80/tcp", "81/tcp"], publish_all=True
    )

    assert found == (PortRequest("tcp", 80, "", 8080), PortRequest("tcp", 81))


def test_an_empty_list_means_any_port() -> None:
    """Some clients write [] for "publish it somewhere"."""
    assert ports.requests({"80/tcp": []}, ["80/tcp"], publish_all=False) == (
        PortRequest("tcp", 80),
    )


def test_exposed_ranges_are_single_ports() -> None:
    """`--expose 80-82` is three ports."""
    assert ports.expand(["80-82/tcp", "81", "53/udp"]) == [
        "80/tcp",
        "81/tcp",
        "82/tcp",
        "53/udp",
    ]


def test_what_is_no_port_is_not_exposed() -> None:
    """Docker takes such a request; it just means nothing."""
    assert ports.exposed(["zz/tcp", "80"]) == ["80/tcp"]
    assert ports.requests({}, ["zz/tcp"], publish_all=True) == ()
