"""What is believed of what was heard: nothing of strangers, too often, or for the second time.

serf carries an event without saying who sent it, so a host is who the event says. Without
encryption anybody who reaches the port can be any member: then an event is a hint of where to
look, and no more.
"""

from __future__ import annotations

from collections import OrderedDict

from fairlead.cluster.gossip import PeerEvent
from fairlead.model.state import IPAddress

PER_SECOND = 200.0
BURST = 2000.0
"""Of one host: as many containers can start at once."""
MOST_HOSTS = 10_000
MOST_ENDPOINTS = 50_000


class Admission:
    """Judges events, by their host's pace and the cluster's clock."""

    def __init__(self) -> None:
        self._paces: OrderedDict[IPAddress, tuple[float, float]] = OrderedDict()
        self._times: OrderedDict[tuple[str, str, IPAddress], int] = OrderedDict()

    def refused(self, event: PeerEvent, time: int, now: float) -> str:
        """Why an event is not believed; empty if it is. `time` is serf's, `now` in seconds."""
        if self._too_fast(event.host, now):
            return f"{event.host} tells too much"
        return self._too_late(event, time)

    def forget_times(self) -> None:
        """A new agent begins to count where the cluster is: what it passes on is new to it."""
        self._times.clear()

    def _too_fast(self, host: IPAddress, now: float) -> bool:
        had, at = self._paces.pop(host, (BURST, now))
        has = min(BURST, had + (now - at) * PER_SECOND)
        allowed = has >= 1.0
        self._paces[host] = (has - 1.0 if allowed else has, now)
        if len(self._paces) > MOST_HOSTS:
            self._paces.popitem(last=False)
        return not allowed

    def _too_late(self, event: PeerEvent, time: int) -> str:
        # By host as well: an endpoint's next life may be elsewhere, and a stranger's words
        # about it are no reason to refuse its host's.
        key = (event.network, event.endpoint, event.host)
        last = self._times.pop(key, -1)
        self._times[key] = max(last, time)
        if len(self._times) > MOST_ENDPOINTS:
            self._times.popitem(last=False)
        return f"{event.host} repeats itself" if time <= last else ""
