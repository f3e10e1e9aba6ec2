"""A body that is wrong is answered in Docker's words, one that is odd is understood."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.api.bodies import check_content_type, decode
from fairlead.api.network_json import Connect, NetworkCreate, network_request
from fairlead.api.versions import NEWEST, Version
from fairlead.model.errors import Invalid


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"Name":', "invalid JSON: unexpected EOF"),
        (b'{"Name":"x"}{}', "unexpected content after JSON"),
        (b"  ", "invalid JSON: got EOF while reading request body"),
        (b'{"Name":1}', "invalid JSON: Expected `str | null`, got `int` - at `$.Name`"),
        (b"[" * 100_000, None),
        (b'{"Name":"\xff"}', None),
        (b'{"Labels":{"a":1}}', None),
        (b"[]", None),
    ],
)
def test_broken_json_is_refused(raw: bytes, message: str | None) -> None:
    """Never a traceback, always what is wrong."""
    with pytest.raises(Invalid) as bad:
        decode(raw, NetworkCreate)
    assert message is None or bad.value.message == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error(raw: bytes) -> None:
    """No input makes the decoder fail in a way nobody foresaw."""
    with contextlib.suppress(Invalid):
        assert isinstance(decode(raw, Connect), Connect)


def test_null_and_unknown_fields_stand_for_nothing() -> None:
    """`null` is absent, and fields of the future are ignored."""
    odd = b'{"Name":"n","IPAM":null,"Options":null,"Driver":null,"Future":{"x":[1]}}'
    assert network_request(decode(odd, NetworkCreate), NEWEST) == network_request(
        decode(b'{"Name":"n"}', NetworkCreate), NEWEST
    )
    assert decode(b"null", NetworkCreate) == NetworkCreate()


@pytest.mark.parametrize("given_type", ["application/json", "application/json; charset=utf-8"])
def test_json_may_say_so_in_either_way(given_type: str) -> None:
    """Parameters of the content type do not matter."""
    check_content_type(given_type)


def test_other_content_types_are_refused() -> None:
    """As Docker does, in the same words."""
    with pytest.raises(Invalid) as other:
        check_content_type("text/plain")
    assert other.value.message == (
        "unsupported Content-Type header (text/plain): must be 'application/json'"
    )
    with pytest.raises(Invalid, match="malformed Content-Type"):
        check_content_type("")


def test_a_network_without_ipv4_can_only_be_asked_for_since_1_48() -> None:
    """Before, the field did not exist, so it says nothing."""
    body = NetworkCreate(Name="n", EnableIPv4=False, EnableIPv6=True)
    assert not network_request(body, Version(1, 48)).enable_ipv4
    assert network_request(body, Version(1, 47)).enable_ipv4
