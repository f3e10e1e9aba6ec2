"""What the doctor says to facts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from fairlead.kernel.exam import base_chains
from fairlead.model.endpoint import Endpoint, Port
from fairlead.model.facts import BaseChain, Exam
from fairlead.model.iptables import Chain, Rule
from fairlead.model.network import Network, Pool
from fairlead.model.sandbox import Sandbox
from fairlead.model.state import state
from fairlead.model.world import Change, World
from fairlead.model.zone import Member
from fairlead.plan.doctor import Finding, Patient, Severity, diagnose, is_sick

NET = Network(
    "n" * 64, "red", "bridge", 1, (Pool(ip_network("10.5.0.0/28"), ip_address("10.5.0.1")),)
)
JUMP = Rule("ip", "filter", "FORWARD", "-j DOCKER-FORWARD", 1)
DNAT = Rule("ip", "nat", "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER")
WANT = state([JUMP, DNAT, Chain("ip", "filter", "DOCKER-FORWARD", ("-j ACCEPT",))])
FORWARD, PREROUTING = ("ip", "filter", "FORWARD"), ("ip", "nat", "PREROUTING")


def world(names: tuple[str, ...] = ("web",), aliases: tuple[str, ...] = ()) -> World:
    """Containers on `red`, each with port 8080 of all addresses."""
    port = Port("tcp", 80, ip_address("0.0.0.0"), 8080)
    things: list[Sandbox | Endpoint | Network] = [NET]
    for number, name in enumerate(names):
        box = Sandbox(f"{number}" * 64, f"{number}" * 64, name, name, ports=(port,))
        ends = Endpoint(
            f"e{number}", NET.id, box.id, f"veth{number}", "eth0", "", (), aliases=aliases
        )
        things += [box, ends]
    return World().after(Change(put=tuple(things)))


def found(kind: str, **facts: object) -> list[Finding]:
    """Findings of one kind."""
    patient = Patient(**{"world": World(), "want": WANT, "have": WANT, **facts})  # type: ignore[arg-type]
    return [finding for finding in diagnose(patient) if finding.kind == kind]


def rules(**chains: tuple[str, ...]) -> Exam:
    return Exam(rules={FORWARD: chains.get("f", ()), PREROUTING: chains.get("p", ())})


def test_a_healthy_host() -> None:
    facts = rules(f=(JUMP.spec,), p=(DNAT.spec,))
    assert diagnose(Patient(World(), WANT, WANT, exam=facts)) == []


def test_drift_is_told_once_a_thing_with_its_reason() -> None:
    have = {**WANT, JUMP.key: Rule("ip", "filter", "FORWARD", JUMP.spec, 3, copies=2)}
    (finding,) = found("drift", have=have, owners={JUMP.key: "firewall"})
    assert finding.what == "rule filter FORWARD: -j DOCKER-FORWARD differs"
    assert "it is there 2 times" in "\n".join(finding.details)
    assert "it is rule 3 of the chain, and should be 1" in "\n".join(finding.details)
    assert is_sick([finding])


def test_what_nobody_wants_is_drift() -> None:
    stale = Chain("ip", "filter", "DOCKER-OLD", ())
    (finding,) = found("drift", have={**WANT, stale.key: stale})
    assert finding.what.endswith("should not be there")


def test_foreign_rules_above_ours_that_decide() -> None:
    above = ("-j LOG", "-p tcp -m tcp --dport 25 -j DROP", JUMP.spec, "-j DROP")
    (finding,) = found("shadow", exam=rules(f=above))
    assert finding.what.endswith("-p tcp -m tcp --dport 25 -j DROP")


def test_a_redirection_counts_if_it_takes_a_published_port() -> None:
    for ports, count in (("8080", 1), ("8000:9000", 1), ("99", 0)):
        rule = f"-p tcp -m tcp --dport {ports} -j REDIRECT --to-ports 1"
        exam = rules(p=(rule, DNAT.spec))
        assert len(found("shadow", exam=exam, world=world())) == count


def test_chains_of_other_tables() -> None:
    text = """\
table inet guard {
\tset s {
\t\ttype ipv4_addr
\t}

\tchain closed {
\t\ttype filter hook forward priority filter - 10; policy drop;
\t\tct state established accept
\t}

\tchain picky {
\t\ttype filter hook forward priority 5; policy accept;
\t\ttcp dport 25 drop
\t}

\tchain open {
\t\ttype filter hook forward priority 0; policy accept;
\t\ttcp dport 25 accept
\t}

\tchain aside {
\t\ttcp dport 26 drop
\t}

\tchain early {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\ttcp dport 80 redirect to :3128
\t}
}
"""
    chains = tuple(base_chains(text))
    assert [(c.name, c.priority) for c in chains] == [
        ("closed", -10),
        ("picky", 5),
        ("open", 0),
        ("early", -100),
    ]
    said = [finding.what for finding in found("shadow", exam=Exam(base_chains=chains))]
    assert said == [
        "nft inet guard closed (hook forward) drops what it has no rule for",
        "nft inet guard picky (hook forward) drops some packets",
        "nft inet guard early (hook prerouting) leads connections elsewhere before fairlead does",
    ]


def test_older_iptables_and_the_users_own_chain() -> None:
    exam = Exam(
        rules={("ip", "filter", "DOCKER-USER"): ("-s 10.0.0.9/32 -j DROP", "-j RETURN")},
        legacy_rules={"ip": 3, "ip6": 0},
    )
    said = found("shadow", exam=exam)
    assert [f.severity for f in said] == [Severity.WARNING, Severity.NOTE]
    assert said[1].details == ("-s 10.0.0.9/32 -j DROP",)


def test_a_route_into_a_network() -> None:
    (finding,) = found("subnet", world=world(), occupied=(ip_network("10.5.0.8/29"),))
    assert finding.severity == Severity.ERROR
    assert "10.5.0.8/29 overlaps 10.5.0.0/28 of network red" in finding.what
    assert found("subnet", world=world(), occupied=(ip_network("10.6.0.0/16"),)) == []


def test_limits() -> None:
    exam = Exam(
        limits={"tracked connections": (95, 100), "neighbours": (5, 100)},
        bridge_ports={NET.ifname: 1000},
    )
    said = "\n".join(f.what for f in found("limit", exam=exam, world=world(tuple("abcdefghijkl"))))
    assert "95 of at most 100 tracked connections" in said
    assert "red has 1000 of at most 1024 ports" in said
    assert "red has 12 containers in 16 addresses" in said
    assert "neighbours" not in said


def test_names_and_ports_are_worth_a_note() -> None:
    town = world(("one", "two"), aliases=("db",))
    (shared,) = found("name", world=town)
    assert "2 containers are called db" in shared.what
    assert [f.what for f in found("port", world=world())] == [
        "ports of web are open to the world: 8080/tcp"
    ]
    assert not is_sick([shared])


def test_who_may_come_to_a_port_is_told() -> None:
    port = Port("tcp", 80, ip_address("::"), 8080, (ip_network("192.0.2.0/24"),))
    box = Sandbox("b" * 64, "c" * 64, "web", "web", ports=(port,))
    (told,) = found("port", world=World().after(Change(put=(NET, box))))
    assert told.what == "ports of web are open to 192.0.2.0/24: 8080/tcp"


def test_firewalld_that_lets_containers_through_is_only_noted() -> None:
    drop = BaseChain("inet", "firewalld", "filter_FORWARD", "forward", 10, "accept", ("reject",))
    exam = Exam(base_chains=(drop,), running=("firewalld",))
    want = {**WANT, **state([Member("br-0123456789ab")])}
    assert [f.severity for f in found("shadow", exam=exam)] == [Severity.WARNING, Severity.NOTE]
    (note,) = found("shadow", exam=exam, want=want, have=want)
    assert (note.severity, note.what) == (Severity.NOTE, "firewalld runs on this host")
    assert "zone docker" in note.why


def test_settings_services_programs() -> None:
    exam = Exam(
        settings={"net.ipv4.conf.all.route_localnet": "1", "net.ipv4.ip_forward": "0"},
        missing_programs=("conmon",),
        running=("firewalld",),
    )
    facts = Patient(
        World(),
        WANT,
        WANT,
        exam=exam,
        warnings=("something", "the host's route to x"),
        dataplane=False,
        store="page 7 is bad",
    )
    said = [(f.severity, f.what) for f in diagnose(facts)]
    assert said == [
        (Severity.ERROR, "the dataplane does not answer"),
        (Severity.ERROR, "the store is damaged: page 7 is bad"),
        (Severity.WARNING, "something"),
        (Severity.WARNING, "net.ipv4.conf.all.route_localnet is on"),
        (Severity.WARNING, "net.ipv4.ip_forward is off"),
        (Severity.WARNING, "conmon is not installed"),
        (Severity.NOTE, "firewalld runs on this host"),
    ]
