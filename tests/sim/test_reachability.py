"""Where the switch sends clients' frames, and when that is held against a host."""

from dataclasses import dataclass, field
from ipaddress import ip_interface

import pytest

from pycarp.core.host_config import HostConfig
from pycarp.dialects import NETBSD, UCARP, UNIVERSAL, Dialect
from pycarp.sim.fabric import Fabric
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Incident, Member
from pycarp.sim.reachability import Reachability, shared_mac
from pycarp.vocabulary import HostKey

KEY = HostKey("em0", 1)
DELAY_NS = 50


def member(name: str, advskew: int, dialect: Dialect, peers: list[str]) -> Member:
    config = HostConfig(
        interface="em0",
        vhid=1,
        passphrase="secret",
        addresses=["192.0.2.50/24"],
        advskew=advskew,
        dialect=dialect,
        peers=peers,
    )
    return Member(name=name, hosts=(config,), own={"em0": (ip_interface("192.0.2.1/24"),)})


@dataclass
class Segment:
    """Two hosts, ``ours`` and ``theirs``, of which the test says who answers and who is MASTER."""

    dialect: Dialect = UNIVERSAL
    fault: Fault = Fault.DEMOTION
    their_advskew: int = 0
    peers: list[str] = field(default_factory=list)
    owners: set[str] = field(default_factory=set)
    masters: set[str] = field(default_factory=set)
    violations: list[tuple[str, str]] = field(default_factory=list)
    is_healed: bool = True

    def __post_init__(self) -> None:
        members = (
            member("ours", 100, self.dialect, self.peers),
            member("theirs", self.their_advskew, NETBSD, []),
        )
        incident = Incident(at_ns=0, fault=self.fault, node="ours", amount=1.0)
        plan = FaultPlan(seed=0, members=members, incidents=(incident,), until_ns=0, delay_ns=DELAY_NS)
        self.fabric = Fabric()
        for name in ("ours", "theirs"):
            self.fabric.attach(name)
        self.watched = Reachability(
            plan,
            fabric_of=lambda _link: self.fabric,
            answers=lambda node, _key: node in self.owners,
            is_master=lambda node, _key: node in self.masters,
            violate=lambda node, words: self.violations.append((node, words)),
        )

    def look(self, at_ns: int) -> None:
        self.watched.look(KEY, at_ns, is_healed=self.is_healed)

    def heard(self, node: str, at_ns: int) -> None:
        """Let a frame from the virtual MAC address enter the switch."""
        self.fabric.announce(node, [ip_interface("192.0.2.50/24")], UNIVERSAL.arp, shared_mac(KEY))
        self.look(at_ns)

    def own(self, node: str, at_ns: int) -> None:
        """Let one host, and no other, be MASTER and answer."""
        self.owners, self.masters = {node}, {node}
        self.look(at_ns)


def misled(segment: Segment, until_ns: int) -> Segment:
    """Let the other host take over, and a frame of ours mislead the switch until it advertises."""
    segment.heard("ours", 0)
    segment.own("theirs", 0)
    segment.heard("theirs", 0)
    segment.heard("ours", 0)
    segment.heard("theirs", until_ns)
    return segment


def test_who_misleads_the_switch_for_longer_than_one_delay_is_told() -> None:
    segment = misled(Segment(), DELAY_NS + 1)

    assert [node for node, _words in segment.violations] == ["ours"]


def test_one_delay_is_what_an_answer_takes() -> None:
    assert misled(Segment(), DELAY_NS).violations == []


def test_what_lasts_to_the_end_is_told() -> None:
    segment = Segment()
    segment.own("theirs", 0)
    segment.heard("ours", 0)

    segment.watched.end(1_000)

    assert len(segment.violations) == 1


def test_a_master_that_does_not_answer_yet_is_a_takeover_under_way() -> None:
    segment = Segment()
    segment.heard("ours", 0)
    segment.owners, segment.masters = {"theirs"}, {"theirs", "ours"}
    segment.look(0)
    segment.own("ours", 1_000)

    assert segment.violations == []


def test_an_owner_that_is_no_longer_master_is_one_too() -> None:
    segment = Segment()
    segment.heard("ours", 0)
    segment.owners, segment.masters = {"theirs"}, set()
    segment.look(0)
    segment.own("ours", 1_000)

    assert segment.violations == []


def test_where_nobody_answers_no_port_is_wrong() -> None:
    segment = Segment()
    segment.heard("ours", 0)
    segment.own("theirs", 1_000)
    segment.heard("theirs", 1_000)

    assert segment.violations == []


def test_while_a_segment_is_split_frames_may_go_anywhere() -> None:
    segment = Segment(fault=Fault.PARTITION, is_healed=False)
    misled(segment, 1_000)

    assert segment.violations == []


def test_what_was_wrong_when_a_split_healed_is_not_judged_but_what_becomes_wrong_is() -> None:
    segment = Segment(fault=Fault.PARTITION, is_healed=False)
    segment.own("theirs", 0)
    segment.heard("ours", 0)
    segment.is_healed = True
    segment.look(1_000)
    segment.heard("theirs", 2_000)
    assert segment.violations == []

    segment.heard("ours", 3_000)
    segment.heard("theirs", 4_000)

    assert len(segment.violations) == 1


def test_who_leaves_while_two_answer_is_not_judged() -> None:
    segment = Segment()
    segment.owners, segment.masters = {"ours", "theirs"}, {"ours", "theirs"}
    segment.heard("ours", 0)
    segment.watched.injected(KEY)
    segment.own("theirs", 1_000)
    segment.heard("theirs", 2_000)

    assert segment.violations == []


@pytest.mark.parametrize(
    "segment",
    [
        Segment(dialect=NETBSD),
        Segment(dialect=UCARP),
        Segment(fault=Fault.LOSS),
        Segment(their_advskew=100),
        Segment(peers=["192.0.2.2"]),
    ],
    ids=["promises nothing", "the link's own MAC", "another fault", "equal claims", "unicast"],
)
def test_what_is_not_judged(segment: Segment) -> None:
    assert misled(segment, 1_000).violations == []
