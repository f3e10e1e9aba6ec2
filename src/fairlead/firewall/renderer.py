"""What a renderer is: policy in, resources out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fairlead.firewall.policy import Policy
from fairlead.model.state import Resource


class Renderer(Protocol):
    """Turns a policy into the resources of one firewall backend."""

    name: str

    def resources(self, policy: Policy) -> Iterable[Resource]: ...
