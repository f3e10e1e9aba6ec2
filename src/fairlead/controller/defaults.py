"""Options that a network gets because nobody gave it others: `default-network-opts`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fairlead.model.network import NetworkRequest
from fairlead.model.options import TRUE

ENABLE_IPV6 = "com.docker.network.enable_ipv6"


def completed(request: NetworkRequest, defaults: Mapping[str, Mapping[str, str]]) -> NetworkRequest:
    """The request with the default options of its driver; one made from another has its own."""
    given = defaults.get(request.driver or "bridge")
    if not given or request.config_from:
        return request
    options = {**given, **request.options}
    ipv6 = request.enable_ipv6 or options.get(ENABLE_IPV6, "") in TRUE
    return replace(request, options=options, enable_ipv6=ipv6)
