"""Zones: whatever was put in and taken out before, only who is in it now counts."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fairlead.dns.message import IP
from fairlead.dns.zone import Entry as Held
from fairlead.dns.zone import Zone, Zones

ONE, TWO, THREE, SIX = (ip_address(ip) for ip in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"))
NAMES = ("web", "db", "web.n1", "db.n1")

Entry = tuple[tuple[str, ...], tuple[IP, ...], str, tuple[str, ...], str]

endpoints = st.sampled_from(["e1", "e2", "e3", "e4"])
zone_ids = st.sampled_from(["n1", "n2"])
entries = st.tuples(
    st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    st.lists(st.sampled_from([ONE, TWO, THREE, SIX]), max_size=2).map(tuple),
    st.sampled_from(["web.n1.", "db.n1."]),
    st.lists(st.sampled_from(NAMES), max_size=1).map(tuple),
    st.sampled_from(["", "shop"]),
)

# What a zone says about all there is to ask.
Said = tuple[list[tuple[IP, ...] | None], list[str | None], frozenset[str]]


def said(zone: Zone) -> Said:
    """Everything that can be heard of a zone."""
    return (
        [zone.addresses(name, project) for name in NAMES for project in ("", "shop", "blog")],
        [zone.target(ip) for ip in (ONE, TWO, THREE, SIX)],
        zone.endpoints,
    )


def rebuilt(joined: dict[str, Entry]) -> Zone:
    """A zone that these endpoints joined in this order, and where nothing else ever happened."""
    zone = Zone()
    for number, (endpoint, entry) in enumerate(joined.items()):
        zone.put(endpoint, Held(number, *entry))
    return zone


class Machine(RuleBasedStateMachine):
    """Endpoints come, change and go; beside it what is there is kept as a plain dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.zones = Zones()
        self.joined: dict[str, dict[str, Entry]] = {"n1": {}, "n2": {}}
        # As a resolver does: what was heard last, and the epoch then.
        self.kept: dict[tuple[str, ...], tuple[int, list[Said]]] = {}

    @rule(zone=zone_ids, endpoint=endpoints, entry=entries)
    def put(self, zone: str, endpoint: str, entry: Entry) -> None:
        """An endpoint joins, or changes and keeps its place."""
        self.zones.put(zone, endpoint, *entry)
        self.joined[zone][endpoint] = entry

    @rule(zone=zone_ids, endpoint=endpoints)
    def drop(self, zone: str, endpoint: str) -> None:
        """An endpoint leaves, perhaps one that was never there."""
        self.zones.drop(zone, endpoint)
        self.joined[zone].pop(endpoint, None)

    @rule(asked=st.sampled_from([("n1",), ("n2",), ("n1", "n2"), ("n2", "n1")]))
    def ask(self, asked: tuple[str, ...]) -> None:
        """Who compares epochs never hears what is out of date."""
        epoch, now = self.zones.epoch(asked), [said(zone) for zone in self.zones.within(asked)]
        before = self.kept.get(asked)
        if before is None or before[0] != epoch:
            self.kept[asked] = epoch, now
        else:
            assert before[1] == now

    @invariant()
    def only_the_present_counts(self) -> None:
        """The zones say what zones made of those who are there would say."""
        there = {zone: joined for zone, joined in self.joined.items() if joined}
        assert self.zones.endpoints() == {zone: frozenset(them) for zone, them in there.items()}
        for zone, joined in there.items():
            (found,) = self.zones.within((zone,))
            assert said(found) == said(rebuilt(joined))


TestZones = Machine.TestCase


@given(st.permutations(["e1", "e2", "e3", "e4"]))
def test_nothing_is_left_of_who_leaves(order: list[str]) -> None:
    """When all have left, in whatever order, nobody knows the name any more."""
    zones = Zones()
    for endpoint in ("e1", "e2", "e3", "e4"):
        zones.put("n1", endpoint, ("web", "web"), (ONE, ONE), "web.n1.")
    (zone,) = zones.within(("n1",))
    for endpoint in order:
        assert zone.target(ONE) == "web.n1."
        zones.drop("n1", endpoint)
    assert (zone.addresses("web"), zone.target(ONE)) == (None, None)
    assert zones.endpoints() == {}


def test_a_shared_name_is_all_of_its_holders() -> None:
    """Two endpoints of one name are both found, oldest first, and leave one by one."""
    zones = Zones()
    zones.put("n1", "e1", ("a", "web"), (ONE, SIX), "a.n1.")
    zones.put("n1", "e2", ("b", "web"), (TWO,), "b.n1.")
    (zone,) = zones.within(("n1",))
    assert zone.addresses("web") == (ONE, SIX, TWO)
    zones.drop("n1", "e1")
    assert zone.addresses("web") == (TWO,)
    assert zone.addresses("a") is None


def test_a_change_keeps_the_place() -> None:
    """The older endpoint stays first, also for a name that it gets late and with a new address."""
    zones = Zones()
    zones.put("n1", "e1", ("a",), (ONE,), "a.n1.")
    zones.put("n1", "e2", ("b", "web"), (TWO,), "b.n1.")
    zones.put("n1", "e1", ("a", "web"), (THREE,), "a.n1.")
    (zone,) = zones.within(("n1",))
    assert zone.addresses("web") == (THREE, TWO)
    assert zone.target(ONE) is None


def test_an_address_belongs_to_its_oldest_holder() -> None:
    """Two endpoints of one address, as a shared interface has: the first one's name is given."""
    zones = Zones()
    zones.put("n1", "e1", ("a",), (ONE,), "a.n1.")
    zones.put("n1", "e2", ("b",), (ONE,), "b.n1.")
    (zone,) = zones.within(("n1",))
    assert zone.target(ONE) == "a.n1."
    zones.drop("n1", "e1")
    assert zone.target(ONE) == "b.n1."


def test_what_changes_nothing_makes_nothing_stale() -> None:
    """Being told the same again costs no ready reply."""
    zones = Zones()
    zones.put("n1", "e1", ("a",), (ONE,), "a.n1.")
    before = zones.epoch(("n1",))
    zones.put("n1", "e1", ("a",), (ONE,), "a.n1.")
    zones.drop("n1", "nobody")
    zones.drop("nowhere", "e1")
    zones.put("n2", "e1", ("a",), (TWO,), "a.n2.")
    assert zones.epoch(("n1",)) == before


def test_who_is_called_so_comes_before_who_is_also_called_so() -> None:
    """A container's own name wins over others' aliases of the same text."""
    zones = Zones()
    zones.put("n1", "e1", ("app", "db"), (ONE,), "app.n1.", ("app",))
    zones.put("n1", "e2", ("db",), (TWO,), "db.n1.", ("db",))
    zones.put("n1", "e3", ("web", "db"), (THREE,), "web.n1.", ("web",))
    (zone,) = zones.within(("n1",))
    assert zone.addresses("db") == (TWO,)
    zones.drop("n1", "e2")
    assert zone.addresses("db") == (ONE, THREE)


def test_ones_own_project_comes_first() -> None:
    """Of two projects' services of one name on a shared network, each finds its own."""
    zones = Zones()
    zones.put("n1", "e1", ("shop-db-1", "db"), (ONE,), "a.n1.", ("shop-db-1",), "shop")
    zones.put("n1", "e2", ("blog-db-1", "db"), (TWO,), "b.n1.", ("blog-db-1",), "blog")
    zones.put("n1", "e3", ("shop-db-2", "db"), (THREE,), "c.n1.", ("shop-db-2",), "shop")
    (zone,) = zones.within(("n1",))
    assert zone.addresses("db", "shop") == (ONE, THREE)
    assert zone.addresses("db", "blog") == (TWO,)
    assert zone.addresses("db", "else") == zone.addresses("db") == (ONE, TWO, THREE)
