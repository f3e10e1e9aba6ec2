"""POST /fairlead/trace: questions that make no sense, in Docker's way of saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.house import House


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 400, "names no port"),
        ({"From": "host"}, 400, "names no port"),
        ({"To": ":80"}, 400, "nobody is named who sends"),
        ({"From": "any", "To": ":80"}, 400, "nobody is named who sends"),
        ({"From": "host", "To": ":0"}, 400, "is no port"),
        ({"From": "host", "To": "x:80/sctp"}, 400, "cannot be followed"),
        ({"From": "nosuch", "To": ":80"}, 404, "no running container or sandbox is called nosuch"),
        ({"From": "host", "To": "nosuch:80"}, 404, "called nosuch"),
        ({"From": "host", "To": ":80", "Seconds": 0}, 400, "1 to 600 seconds"),
        ({"From": "any", "To": "nosuch:80", "Seconds": 5}, 404, "called nosuch"),
        # There is no kernel here that could be asked.
        ({"From": "host", "To": ":80"}, 501, "no packets pass here"),
    ],
)
def test_a_refusal(house: House, body: dict[str, Any], status: int, why: str) -> None:
    """The status says what kind of error it is, the message which."""
    answer = house.ask("POST", "/fairlead/trace", body)
    assert (answer.status, why in answer.message) == (status, True), answer.message


def test_it_can_be_asked_again(house: House) -> None:
    """A refusal keeps nobody's turn."""
    for _ in range(2):
        assert house.ask("POST", "/fairlead/trace", {"From": "host", "To": ":80"}).status == 501
        body = {"From": "any", "To": ":80", "Seconds": 5}
        assert house.ask("POST", "/fairlead/trace", body).status == 501
