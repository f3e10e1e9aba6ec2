"""What a sandbox hears: every row of the embedded name server's table, judged by dnspython."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.dns import answer as answers
from fairlead.dns import message
from fairlead.dns.answer import Upstream, View
from fairlead.dns.message import IP
from fairlead.dns.zone import Zones

WEB, TWIN, SIX = ip_address("172.18.0.2"), ip_address("172.18.0.3"), ip_address("fd00::2")
ZONES = Zones()
ZONES.put("n1", "e1", ("web1", "web1.n1", "al.dotted", "al"), (WEB,), "Web1.n1.")
ZONES.put("n1", "e2", ("al",), (TWIN,), "twin.n1.")
ZONES.put("n1", "e3", ("both",), (WEB, SIX), "both.n1.")
ZONES.put("n1", "e4", ("only6",), (SIX,), "only6.n1.")
VIEW = View(zones=("n1",), upstreams=(Upstream(ip_address("192.0.2.53")),))


def hear(
    name: str,
    type_: str = "A",
    view: View = VIEW,
    limit: int = 65535,
    class_: str = "IN",
    zones: Zones = ZONES,
) -> dns.message.Message | None:
    """Ask a view as a client would."""
    ask = dns.message.make_query(name, type_, class_)
    wire = answers.answer(view, zones, message.parse(ask.to_wire()), _leave, limit)
    if wire is None:
        return None
    reply = dns.message.from_wire(wire)
    assert ask.is_response(reply)
    return reply


def _leave(found: list[IP]) -> None:
    """Shuffle nothing."""


def said(reply: dns.message.Message | None) -> list[str]:
    """The answers, given without an error and with Docker's flags."""
    assert reply is not None, "the question would have been forwarded"
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
    assert all(rrset.ttl == 600 for rrset in reply.answer)
    return [str(record) for rrset in reply.answer for record in rrset]


@pytest.mark.parametrize("name", ["web1", "Web1", "WEB1", "wEb1.N1", "al.dotted"])
def test_names_are_known_in_any_case(name: str) -> None:
    """A container is found by each of its names however they are spelt."""
    assert said(hear(name)) == ["172.18.0.2"]


def test_the_question_comes_back_as_it_was_asked() -> None:
    """A client that mixes case to tell forged replies sees its own mix again."""
    reply = hear("wEB1.n1")
    assert reply is not None
    assert reply.question[0].name.to_text() == "wEB1.n1."
    assert reply.answer[0].name.to_text() == "wEB1.n1."


def test_each_family_has_its_question() -> None:
    """A asks for IPv4, AAAA for IPv6; a name with only the other family has no answers."""
    assert said(hear("both", "A")) == ["172.18.0.2"]
    assert said(hear("both", "AAAA")) == ["fd00::2"]
    assert said(hear("al", "AAAA")) == []
    assert said(hear("only6", "A")) == []


def test_an_address_has_a_name() -> None:
    """PTR finds addresses of both families; a stranger's address is asked elsewhere."""
    assert said(hear(str(dns.reversename.from_address("172.18.0.2")), "PTR")) == ["Web1.n1."]
    assert said(hear(str(dns.reversename.from_address("fd00::2")).upper(), "PTR")) == ["both.n1."]
    assert hear(str(dns.reversename.from_address("172.18.0.9")), "PTR") is None


# IPv4 written as IPv6 is IPv4 again to dnspython, and nobody's address here.
@given(st.ip_addresses().filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None))
def test_reversed_names_are_undone(ip: IP) -> None:
    """Whatever address is written backwards is read forwards."""
    labels = dns.reversename.from_address(str(ip)).labels[:-1]
    assert answers.reversed_address(labels) == ip


@pytest.mark.parametrize(
    "name",
    ["2.0.18.in-addr.arpa", "02.0.18.172.in-addr.arpa", "x.0.18.172.in-addr.arpa",
     "1.2.0.18.172.in-addr.arpa", "2.ip6.arpa", "in-addr.arpa", "arpa", "web1"],
)  # fmt: skip
def test_other_names_are_no_addresses(name: str) -> None:
    """PTR of what is not exactly an address is somebody else's question."""
    assert hear(name, "PTR") is None


def test_a_known_name_takes_mail_itself() -> None:
    """MX of a known name has no answers, so mailers go to its address."""
    assert said(hear("web1", "MX")) == []
    assert hear("example.com", "MX") is None


@pytest.mark.parametrize(
    ("name", "type_"),
    [("nosuch", "A"), ("example.com", "A"), ("web1.n2", "A"), ("web1", "TXT"),
     ("_http._tcp.web1", "SRV"), ("web1", "ANY"), (".", "NS")],
)  # fmt: skip
def test_what_is_not_known_is_forwarded(name: str, type_: str) -> None:
    """Other names, and other types of known ones, go to the upstreams."""
    assert hear(name, type_) is None


def test_only_the_internet_class_is_ours() -> None:
    """A known name in another class is not answered from the table."""
    assert hear("web1", "A", class_="CH") is None


@pytest.mark.parametrize("view", [replace(VIEW, forward=False), replace(VIEW, upstreams=())])
def test_without_a_way_out_strange_names_fail_at_once(view: View) -> None:
    """On internal networks, and without upstreams, own names work and others are SERVFAIL."""
    assert said(hear("web1", view=view)) == ["172.18.0.2"]
    for name, type_ in (("example.com", "A"), ("nosuch", "A"), ("web1", "TXT")):
        reply = hear(name, type_, view)
        assert reply is not None
        assert reply.rcode() == dns.rcode.SERVFAIL


def test_with_ndots_single_labels_stay_here() -> None:
    """A stub that was told ndots hears "nothing" and walks its search list."""
    view = replace(VIEW, ndots=True)
    assert said(hear("nosuch", "A", view)) == []
    assert said(hear("nosuch", "AAAA", view)) == []
    assert hear("nosuch", "TXT", view) is None
    assert hear("nosuch.example", "A", view) is None


def test_the_host_has_a_name() -> None:
    """It is the asker's own gateway, of each family; a container of that name is meant before."""
    view = replace(VIEW, gateways=(ip_address("172.18.0.1"), ip_address("fd00::1")))
    for name in ("host.docker.internal", "gateway.docker.internal", "HOST.docker.INTERNAL"):
        assert said(hear(name, view=view)) == ["172.18.0.1"]
        assert said(hear(name, "AAAA", view)) == ["fd00::1"]
        assert said(hear(name, "MX", view)) == []
        assert said(hear(name)) == [], "without a way out it is nobody's name outside either"
    zones = Zones()
    zones.put("n1", "e1", ("host.docker.internal",), (TWIN,), "host.docker.internal.n1.")
    assert said(hear("host.docker.internal", view=view, zones=zones)) == [str(TWIN)]


def test_what_cannot_be_public_is_denied_here() -> None:
    """No top-level domain has an underscore, networks of Compose do; other names may be real."""
    for type_ in ("A", "AAAA", "TXT", "MX"):
        reply = hear("gone.shop_default", type_)
        assert reply is not None
        assert reply.rcode() == dns.rcode.NXDOMAIN
    for name in ("gone.n1", "my_host", "_sip._tcp.example.com", "shop_default"):
        assert hear(name) is None
    own = replace(VIEW, upstreams=(Upstream(ip_address("10.0.0.53"), inside=True),))
    assert hear("gone.shop_default", view=own) is None


def test_single_labels_that_stay_here() -> None:
    """Nobody else is asked for them, in no type, whoever the servers are; ours are known."""
    inside = (Upstream(ip_address("10.0.0.53"), inside=True),)
    for view in (replace(VIEW, single_labels=False),
                 replace(VIEW, single_labels=False, upstreams=inside)):  # fmt: skip
        for type_ in ("A", "AAAA", "TXT", "MX", "HTTPS"):
            reply = hear("db", type_, view)
            assert reply is not None
            assert reply.rcode() == dns.rcode.NXDOMAIN
        assert said(hear("web1", view=view)) == ["172.18.0.2"]
        assert hear("db.example.com", view=view) is None
        # What a resolver in a container asks to check signatures.
        for name, type_ in (("com", "DS"), ("com", "DNSKEY"), ("com", "NS"), (".", "NS")):
            assert hear(name, type_, view) is None
    assert hear("db") is None


def test_letters_are_letters_in_any_script() -> None:
    """A name with an umlaut is found in either case, as it is registered in lower case."""
    zones = Zones()
    zones.put("n1", "e1", ("äpfel",), (WEB,), "äpfel.n1.")
    for name in ("äpfel", "ÄPFEL", "Äpfel"):
        wire = message.ask(1, name, message.A)
        found = answers.answer(VIEW, zones, message.parse(wire), _leave)
        assert found is not None
        assert found.endswith(WEB.packed)


def test_a_dot_within_a_label_is_another_name() -> None:
    """The label "al.dotted" is not the name al.dotted."""
    wire = message.HEADER.pack(1, 0x100, 1, 0, 0, 0) + b"\x09al.dotted\x00\x00\x01\x00\x01"
    assert answers.answer(VIEW, ZONES, message.parse(wire), _leave) is None


def test_the_order_is_the_shufflers() -> None:
    """Several addresses come as the shuffler leaves them, each once; a single one is not asked."""
    view = View(names={"all": (WEB, TWIN, WEB), "one": (WEB,)})
    query = message.parse(message.ask(1, "all", message.A))
    wire = answers.answer(view, ZONES, query, list.reverse)
    assert wire is not None
    reply = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert [str(rrset[0]) for rrset in reply.answer] == [str(TWIN), str(WEB)]

    asked: list[list[IP]] = []
    answers.answer(view, ZONES, message.parse(message.ask(1, "one", message.A)), asked.append)
    assert asked == []


def test_what_does_not_fit_is_cut() -> None:
    """A long answer is cut to whole records with TC set, and the rest is had by TCP."""
    many = tuple(ip_address(f"10.0.{number}.1") for number in range(100))
    view = View(names={"many": many})
    short, long = hear("many", view=view, limit=512), hear("many", view=view)
    assert short is not None
    assert short.flags & dns.flags.TC
    assert 20 < len(short.answer[0]) < 100
    assert len(said(long)) == 100


def test_a_name_too_long_to_speak_has_no_answer() -> None:
    """A container's name may exceed what DNS can say: its address then has no name."""
    zones = Zones()
    zones.put("n1", "e1", (), (WEB,), "x" * 64 + ".n1.")
    assert said(hear(str(dns.reversename.from_address("172.18.0.2")), "PTR", zones=zones)) == []


def test_links_come_before_networks_and_these_in_order() -> None:
    """A sandbox's own names win, then those of the network it joined first."""
    zones = Zones()
    zones.put("n1", "e1", ("db", "cache"), (WEB,), "one.n1.")
    zones.put("n2", "e2", ("db", "cache", "web"), (WEB, TWIN), "two.n2.")
    view = View(zones=("n1", "n2"), names={"db": (SIX,)})
    other = replace(view, zones=("n2", "n1"), names={})
    reverse = str(dns.reversename.from_address("172.18.0.2"))

    assert said(hear("db", "AAAA", view, zones=zones)) == ["fd00::2"]
    assert said(hear("cache", "A", view, zones=zones)) == ["172.18.0.2"]
    assert said(hear("web", "A", view, zones=zones)) == ["172.18.0.2", "172.18.0.3"]
    assert said(hear(reverse, "PTR", view, zones=zones)) == ["one.n1."]
    assert said(hear("cache", "A", other, zones=zones)) == ["172.18.0.2", "172.18.0.3"]
    assert said(hear(reverse, "PTR", other, zones=zones)) == ["two.n2."]


def test_other_networks_are_not_heard_of() -> None:
    """A name or address on a network the sandbox is not on is a stranger's."""
    view = replace(VIEW, zones=("n2", "nowhere"))
    assert hear("web1", view=view) is None
    assert hear(str(dns.reversename.from_address("172.18.0.2")), "PTR", view) is None


views = st.builds(
    View,
    zones=st.lists(st.text(max_size=12), max_size=3).map(tuple),
    names=st.dictionaries(st.text(max_size=12), st.lists(st.ip_addresses(), max_size=3).map(tuple)),
    upstreams=st.lists(
        st.builds(Upstream, st.ip_addresses(), st.integers(1, 65535), st.booleans()), max_size=3
    ).map(tuple),
    forward=st.booleans(),
    ndots=st.booleans(),
    ttl_seconds=st.integers(0, 2**31 - 1),
    gateways=st.lists(st.ip_addresses(), max_size=2).map(tuple),
    project=st.text(max_size=12),
)


@given(views)
def test_views_travel_as_json(view: View) -> None:
    """What the daemon sends is what the dataplane answers from."""
    assert answers.decode(json.loads(json.dumps(answers.encode(view)))) == view
