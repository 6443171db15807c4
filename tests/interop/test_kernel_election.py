"""The election of the peer that behaves like a BSD kernel: what the tests and the benchmark beside it rest on."""

import pytest
from benchmarks.failover.kernel_election import BOW_OUT, FREEBSD, KERNELS, NETBSD, OPENBSD, Claim, Election, Kernel

from pycarp.vocabulary import NS_PER_S, Family

SENT = Claim(1, 100)
IPV4, IPV6 = Family.IPV4, Family.IPV6


class Wire:
    """Notes what is sent: claims, and ``ARP`` for an announcement."""

    def __init__(self) -> None:
        self.sent: list[Claim | str] = []

    def advertise(self, claim: Claim) -> None:
        """Note it."""
        self.sent.append(claim)

    def announce(self) -> None:
        """Note it."""
        self.sent.append("ARP")


def backup(
    kernel: Kernel = NETBSD, *, advbase: int = 1, advskew: int = 100, families: tuple[Family, ...] = (IPV4,)
) -> tuple[Election, Wire]:
    wire = Wire()
    return Election(kernel, wire, families=families, advbase=advbase, advskew=advskew, now_ns=0), wire


def master(kernel: Kernel = NETBSD, *, advskew: int = 100) -> tuple[Election, Wire]:
    election, wire = backup(kernel, advskew=advskew)
    election.pass_time(4 * NS_PER_S)
    assert election.is_master
    wire.sent.clear()
    return election, wire


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_lone_host_becomes_master_after_three_intervals_and_its_skew(kernel: Kernel) -> None:
    election, wire = backup(kernel)
    election.pass_time(3_390_624_999)
    assert wire.sent == []

    election.pass_time(3_390_625_000)

    assert wire.sent == [SENT, "ARP"]


def test_either_family_that_is_silent_makes_a_master() -> None:
    election, _wire = backup(families=(IPV4, IPV6))
    election.hear(Claim(1, 0), IPV4, NS_PER_S)
    election.pass_time(3_390_625_000)

    assert election.is_master


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_master_yields_to_an_equal_claim_and_says_nothing(kernel: Kernel) -> None:
    election, wire = master(kernel)
    election.hear(SENT, IPV4, 5 * NS_PER_S)

    assert not election.is_master
    assert wire.sent == []


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_master_does_not_answer_a_weaker_one(kernel: Kernel) -> None:
    election, wire = master(kernel)
    election.hear(Claim(1, 200), IPV4, 5 * NS_PER_S)

    assert election.is_master
    assert wire.sent == []


@pytest.mark.parametrize("preempts", [False, True])
def test_a_backup_takes_over_from_a_weaker_master_if_it_preempts(preempts: bool) -> None:
    election, _wire = backup()
    election.preempts = preempts
    election.hear(Claim(1, 200), IPV4, NS_PER_S)

    assert election.is_master is preempts


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_a_bow_out_is_taken_over_from_at_once(kernel: Kernel) -> None:
    election, _wire = backup(kernel)
    election.hear(Claim(BOW_OUT, BOW_OUT, BOW_OUT), IPV4, NS_PER_S)

    assert election.is_master


@pytest.mark.parametrize(("kernel", "sent"), [(NETBSD, [Claim(255, 255)]), (FREEBSD, []), (OPENBSD, [Claim(255, 255)])])
def test_only_some_bow_out(kernel: Kernel, sent: list[Claim]) -> None:
    election, wire = master(kernel)
    election.set_down()

    assert wire.sent == sent
    assert election.due_at_ns is None


def test_the_bow_out_of_openbsd_carries_its_octet() -> None:
    election, wire = master(OPENBSD)
    election.demote(3, 5 * NS_PER_S)
    election.set_down()

    assert wire.sent == [Claim(1, 100, 3), Claim(255, 255, 3)]


@pytest.mark.parametrize(
    ("kernel", "demotion", "claim"),
    [
        (NETBSD, 1, Claim(1, 240)),
        (FREEBSD, 20, Claim(1, 120)),
        (FREEBSD, 1000, Claim(1, 240)),
        (OPENBSD, 1, Claim(1, 100, 1)),
        (OPENBSD, 1000, Claim(1, 100, 255)),
    ],
)
def test_demotion_is_claimed_as_each_kernel_does(kernel: Kernel, demotion: int, claim: Claim) -> None:
    election, wire = master(kernel)
    election.demote(demotion, 5 * NS_PER_S)

    assert wire.sent == [claim]


def test_a_demoted_openbsd_yields_to_any_claim_with_a_smaller_octet() -> None:
    election, _wire = master(OPENBSD)
    election.demote(1, 5 * NS_PER_S)
    election.hear(Claim(BOW_OUT, BOW_OUT), IPV4, 5 * NS_PER_S)

    assert not election.is_master


def test_a_demoted_openbsd_keeps_what_a_larger_octet_claims() -> None:
    election, _wire = master(OPENBSD)
    election.demote(1, 5 * NS_PER_S)
    election.hear(Claim(1, 0, 2), IPV4, 5 * NS_PER_S)

    assert election.is_master


def test_openbsd_takes_over_from_a_larger_octet_without_preempting() -> None:
    election, _wire = backup(OPENBSD)
    election.hear(Claim(1, 0, 1), IPV4, NS_PER_S)

    assert election.is_master


def test_a_demoted_openbsd_does_not_preempt_a_smaller_octet() -> None:
    election, _wire = backup(OPENBSD)
    election.preempts = True
    election.demote(1, 0)
    election.hear(Claim(1, 200), IPV4, NS_PER_S)

    assert not election.is_master


def test_openbsd_announces_again_with_its_second_advertisement() -> None:
    election, wire = master(OPENBSD)
    for second in (6, 8, 10):
        election.pass_time(second * NS_PER_S)

    assert wire.sent == [SENT, SENT, "ARP", SENT]


def test_a_host_that_is_set_up_again_waits_as_backup() -> None:
    election, _wire = master()
    election.set_down()
    election.set_up(10 * NS_PER_S)

    assert not election.is_master
    assert election.due_at_ns == 13_390_625_000
