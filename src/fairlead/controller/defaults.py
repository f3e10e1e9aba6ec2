"""Options that a network gets because nobody gave it others: `default-network-opts`. Pure.

Two of them say which families it has. What was asked for in so many words goes before those,
and they are not shown then, for they would tell something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fairlead.model.errors import Invalid
from fairlead.model.network import NetworkRequest
from fairlead.model.options import TRUE

ENABLE = {4: "com.docker.network.enable_ipv4", 6: "com.docker.network.enable_ipv6"}
FALSE = {"0", "f", "F", "FALSE", "false", "False"}


def completed(request: NetworkRequest, defaults: Mapping[str, Mapping[str, str]]) -> NetworkRequest:
    """The request with the default options of its driver; one made from another has its own."""
    given = {} if request.config_from else defaults.get(request.driver or "bridge", {})
    options = {**given, **request.options}
    for version in request.decided:
        options.pop(ENABLE[version], None)
    return replace(
        request,
        options=options,
        enable_ipv4=_enabled(options, 4, request.enable_ipv4),
        enable_ipv6=_enabled(options, 6, request.enable_ipv6),
    )


def _enabled(options: Mapping[str, str], version: int, otherwise: bool) -> bool:
    """What the options say of a family. Raises Invalid."""
    key = ENABLE[version]
    text = options.get(key)
    if text is None:
        return otherwise
    if text not in TRUE | FALSE:
        raise Invalid(f'driver-opt "{key}" is not a valid bool')
    return text in TRUE
