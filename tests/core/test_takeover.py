"""The hand-shake of a takeover: who may still hold the addresses, ties, answers and farewells."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from itertools import product
from typing import Any

import pytest

from pycarp.auth.reply import Reply
from pycarp.core import Announce, Effect, HoldAddresses, Transmit
from pycarp.core.host.decision import Decision
from pycarp.core.host.states import Stage
from pycarp.core.host.takeover import OUTCOMES, TIE_GRACE_NS, Heard, weaker_than
from pycarp.core.inputs import Action, DemotionSet, StateForced
from pycarp.core.state import Reason, State
from pycarp.dialects import UNIVERSAL, Claim
from pycarp.vocabulary import NS_PER_S
from tests.support.hosts import KEY, Bench, advert, bench, changes, config, master, seconds, transmitted

LOWER = IPv4Address("192.168.1.2")
HIGHER = IPv4Address("192.168.1.9")
BOW_OUT: dict[str, Any] = {"advbase": 255, "advskew": 255}
LISTENING_NS = UNIVERSAL.takeover_listen_ns
WAITING_NS = UNIVERSAL.yield_grace_ns


def asks_for_addresses(effects: Iterable[Effect]) -> bool:
    return any(isinstance(effect, HoldAddresses) for effect in effects)


def sent(effects: Iterable[Effect]) -> list[int]:
    """Return the counters of the advertisements among effects."""
    return [each.counter for each in transmitted(effects)]


def relieving(**settings: Any) -> tuple[Bench, int]:
    """Return a host that preempts a MASTER of advskew 100 at 1 s, and the counter of its advertisement."""
    host = bench(config(preempt=True, **settings))
    (counter,) = sent(host.hear(advert(advskew=100), at_ns=seconds(1)))
    return host, counter


def test_the_table_has_an_outcome_for_whatever_is_heard_in_every_stage() -> None:
    assert set(OUTCOMES) == set(product(Stage, Heard))


# A MASTER that is relieved


def test_a_new_master_holds_the_addresses_when_the_old_one_says_that_it_has_dropped_them() -> None:
    host, counter = relieving()
    before = host.pass_time(to_ns=seconds(1.004))
    farewell = host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(1.005))

    assert (asks_for_addresses(before), asks_for_addresses(farewell)) == (False, True)


def test_a_second_advertisement_of_the_old_master_is_no_farewell() -> None:
    host, _counter = relieving()
    second = host.hear(advert(advskew=101, counter=8), at_ns=seconds(1.004))

    assert not asks_for_addresses(second)


@pytest.mark.parametrize("claimed", [1, 2, 100])
def test_a_farewell_is_told_by_its_counter_whatever_it_claims(claimed: int) -> None:
    host, counter = relieving()
    farewell = host.hear(advert(advskew=claimed, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(1.005))

    assert asks_for_addresses(farewell)


def test_a_farewell_to_an_advertisement_of_an_earlier_mastership_says_nothing() -> None:
    host, counter = relieving()
    host.feed(StateForced(KEY, State.BACKUP), at_ns=seconds(1.001))
    host.hear(advert(advskew=100, counter=500), at_ns=seconds(2))

    replayed = host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(2.005))

    assert (host.state, asks_for_addresses(replayed)) == (State.MASTER, False)


def test_a_farewell_ends_the_waiting_only_after_others_were_listened_for() -> None:
    host, counter = relieving()
    host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(1.001))

    assert host.step.deadline_ns == seconds(1) + LISTENING_NS
    assert asks_for_addresses(host.pass_time(to_ns=seconds(1) + LISTENING_NS))


def test_a_kernel_that_says_nothing_is_waited_for_no_longer_than_the_grace() -> None:
    host, _counter = relieving()

    assert not asks_for_addresses(host.pass_time(to_ns=seconds(1) + WAITING_NS - 1))
    assert asks_for_addresses(host.pass_time(to_ns=seconds(1) + WAITING_NS))


def test_every_master_that_turns_up_is_waited_for() -> None:
    host, counter = relieving()
    host.hear(advert(advskew=50, source=HIGHER), at_ns=seconds(1.001))
    first = host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(1.004))
    second = host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter), source=HIGHER), at_ns=seconds(1.005))

    assert (asks_for_addresses(first), asks_for_addresses(second)) == (False, True)


def test_a_duplicated_farewell_ends_no_waiting_for_somebody_else() -> None:
    host, counter = relieving()
    host.hear(advert(advskew=50, source=HIGHER), at_ns=seconds(1.001))
    twice = [
        host.hear(advert(advskew=1, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(at)) for at in (1.004, 1.005)
    ]

    assert [asks_for_addresses(each) for each in twice] == [False, False]


def test_those_who_turn_up_cannot_put_the_holding_off_for_ever() -> None:
    host, _counter = relieving()
    for number in range(10):
        host.hear(advert(advskew=50, source=HIGHER + number), at_ns=seconds(1.001 + number / 1000))

    assert asks_for_addresses(host.pass_time(to_ns=seconds(1) + WAITING_NS))


def test_a_third_host_that_was_relieved_a_moment_ago_is_waited_for_too() -> None:
    """Two MASTERs were heard, and only the second has said that it dropped: the first may still be at it."""
    host = bench(config(preempt=True, advskew=10))
    host.hear(advert(source=HIGHER), at_ns=seconds(0.999))
    host.hear(advert(advskew=5), at_ns=seconds(1))
    host.feed(StateForced(KEY, State.MASTER), at_ns=seconds(1.001))
    (counter,) = sent(host.step.effects)
    one = host.hear(advert(advskew=11, counter=Reply.FAREWELL.to(counter)), at_ns=seconds(1.005))

    assert not asks_for_addresses(one)


# A MASTER that left or fell silent


def test_after_silence_the_addresses_are_held_once_others_were_listened_for() -> None:
    host = bench()
    takes_over = host.pass_time(to_ns=seconds(3))

    assert (asks_for_addresses(takes_over), host.step.deadline_ns) == (False, seconds(3) + LISTENING_NS)
    assert asks_for_addresses(host.pass_time(to_ns=seconds(3) + LISTENING_NS))


def test_after_a_bow_out_the_addresses_are_held_once_others_were_listened_for() -> None:
    host = bench()
    host.hear(advert(counter=7), at_ns=seconds(1))
    takes_over = host.hear(advert(counter=8, **BOW_OUT), at_ns=seconds(2))

    assert (asks_for_addresses(takes_over), host.step.deadline_ns) == (False, seconds(2) + LISTENING_NS)


def test_a_guardian_may_send_a_bow_out_that_was_signed_a_while_ago() -> None:
    host = bench()
    for number in range(30):
        host.hear(advert(counter=100 + number), at_ns=seconds(1 + number))
    host.hear(advert(counter=101, **BOW_OUT), at_ns=seconds(30.5))

    assert asks_for_addresses(host.pass_time(to_ns=seconds(30.5) + LISTENING_NS))


def test_the_sender_of_a_bow_out_that_was_heard_before_is_waited_for() -> None:
    """It may be replayed, and the MASTER be alive."""
    host = bench(config(advskew=10))
    host.hear(advert(counter=8, **BOW_OUT), at_ns=seconds(1))
    host.hear(advert(counter=1000), at_ns=seconds(1.001))
    host.hear(advert(counter=8, **BOW_OUT), at_ns=seconds(2))

    assert not asks_for_addresses(host.pass_time(to_ns=seconds(2) + WAITING_NS - 1))
    assert asks_for_addresses(host.pass_time(to_ns=seconds(2) + WAITING_NS))


def test_a_host_that_hears_a_stronger_one_take_over_as_well_never_holds_anything() -> None:
    host = bench(config(advskew=100))
    host.hear(advert(advskew=50), at_ns=seconds(1))
    host.hear(advert(counter=8, **BOW_OUT), at_ns=seconds(2))
    yields = host.hear(advert(source=HIGHER), at_ns=seconds(2.001))

    assert (host.state, asks_for_addresses(yields)) == (State.BACKUP, False)


def test_a_host_that_hears_a_weaker_one_take_over_as_well_answers_it_when_it_has_listened() -> None:
    host = bench()
    host.hear(advert(), at_ns=seconds(1))
    host.hear(advert(counter=8, **BOW_OUT), at_ns=seconds(2))
    at_once = host.hear(advert(advskew=100, source=HIGHER, counter=9), at_ns=seconds(2.001))
    later = host.pass_time(to_ns=seconds(2) + LISTENING_NS)

    assert (sent(at_once), sent(later)) == ([], [Reply.ANSWER.to(9)])


# Ties


def tied(source: IPv4Address) -> tuple[Bench, int, tuple[Effect, ...]]:
    """Return a host that hears an equal claim while it listens, its own counter, and what it does then."""
    host = bench()
    host.hear(advert(source=source), at_ns=seconds(1))
    (counter,) = sent(host.hear(advert(counter=8, source=source, **BOW_OUT), at_ns=seconds(2)))
    other = IPv4Address(int(source) + 256)
    return host, counter, host.hear(advert(source=other, counter=9), at_ns=seconds(2.001))


def test_the_winner_of_a_tie_answers_at_once() -> None:
    _host, _counter, effects = tied(HIGHER)

    assert sent(effects) == [Reply.ANSWER.to(9)]


def test_the_loser_of_a_tie_waits() -> None:
    host, _counter, _effects = tied(LOWER)

    assert host.state is State.MASTER
    assert not asks_for_addresses(host.pass_time(to_ns=seconds(2) + WAITING_NS - 1))


def test_the_loser_of_a_tie_yields_to_the_answer() -> None:
    host, counter, _effects = tied(LOWER)
    answer = advert(source=LOWER + 256, counter=Reply.ANSWER.to(counter))

    assert [change.reason for change in changes(host.hear(answer, at_ns=seconds(2.002)))] == [Reason.TIE_LOST]


def test_the_loser_of_a_tie_does_not_yield_to_a_duplicate() -> None:
    host, _counter, _effects = tied(LOWER)

    assert changes(host.hear(advert(source=LOWER + 256, counter=9), at_ns=seconds(2.002))) == []


def test_without_an_answer_the_other_one_was_a_kernel_and_has_yielded() -> None:
    """Source: carp.md 5.1 and section 13 (u28): kernels yield to an equal claim, so both must not."""
    host, _counter, _effects = tied(LOWER)

    assert asks_for_addresses(host.pass_time(to_ns=seconds(2) + WAITING_NS))


def test_a_master_that_holds_its_addresses_since_a_moment_answers_an_equal_claim_whatever_its_address() -> None:
    host = master()
    effects = host.hear(advert(source=LOWER, counter=9), at_ns=host.now_ns + TIE_GRACE_NS // 2)

    assert (host.state, sent(effects)) == (State.MASTER, [Reply.ANSWER.to(9)])


def test_a_master_that_holds_its_addresses_for_longer_lets_the_address_decide() -> None:
    host = master()
    effects = host.hear(advert(source=LOWER), at_ns=host.now_ns + 2 * TIE_GRACE_NS)

    assert [change.reason for change in changes(effects)] == [Reason.TIE_LOST]


# Answers


def test_a_weaker_master_is_answered_at_once_also_just_after_the_takeover() -> None:
    host = master()
    effects = host.hear(advert(advskew=9, counter=41), at_ns=host.now_ns + 1)

    assert sent(effects) == [Reply.ANSWER.to(41)]


def test_replayed_advertisements_are_answered_ten_times_a_second_and_the_last_one_is_not_left_out() -> None:
    host = master()
    began_ns = seconds(4.1)
    answers = []
    for number in range(4000):
        at_ns = began_ns + number * NS_PER_S // 1000
        due_ns = host.step.deadline_ns
        if due_ns is not None and due_ns < at_ns:
            answers += [due_ns for _ in sent(host.pass_time(to_ns=due_ns))]
        answers += [at_ns for _ in sent(host.hear(advert(advskew=9, counter=1000 - 20 * number % 900), at_ns=at_ns))]

    first = [each for each in answers if each < began_ns + seconds(1)]
    last = [each for each in answers if each >= began_ns + seconds(3)]
    assert len(first) <= 31
    assert 9 <= len(last) <= 11
    step = host.hear(advert(advskew=9, counter=77), at_ns=host.now_ns)
    while not sent(step):
        assert host.step.deadline_ns is not None
        step = host.pass_time(to_ns=host.step.deadline_ns)
    assert host.now_ns < began_ns + seconds(4.2)


def test_replayed_advertisements_do_not_use_up_the_answers_to_expected_ones() -> None:
    host = master()
    for number in range(100):
        host.hear(advert(advskew=9, counter=3), at_ns=seconds(4.1 + number / 1000))
    host.hear(advert(advskew=9, counter=500, source=HIGHER), at_ns=seconds(4.3))

    fresh = host.hear(advert(advskew=9, counter=501, source=HIGHER), at_ns=seconds(4.301))

    assert sent(fresh) == [Reply.ANSWER.to(501)]


# Farewells


def loser(**settings: Any) -> tuple[Bench, tuple[Effect, ...]]:
    """Return a MASTER that yields to another one (advskew 5, counter 41), and what it sends once it has dropped."""
    host = master(config(advskew=100, **settings))
    yields = host.hear(advert(advskew=5, counter=41), at_ns=host.now_ns + seconds(1))
    assert transmitted(yields) == []
    return host, host.report(Action.DROP)


def test_a_master_that_yields_says_so_when_it_has_dropped_the_addresses() -> None:
    _host, dropped = loser()

    assert sent(dropped) == [Reply.FAREWELL.to(41)]


def test_a_farewell_claims_just_less_than_the_winner() -> None:
    """So that no third host preempts because of it, and no kernel yields. Source: carp.md section 12."""
    _host, dropped = loser()

    assert [(each.advbase, each.advskew) for each in transmitted(dropped)] == [(1, 6)]


@pytest.mark.parametrize(
    ("winner", "claimed"),
    [((1, 0, 7), (1, 1, 7)), ((1, 253, 0), (1, 254, 0)), ((1, 254, 0), (2, 0, 0)), ((0, 254, 0), (1, 0, 0))],
)
def test_the_strongest_weaker_claim_keeps_the_demote_octet_and_is_no_bow_out(
    winner: tuple[int, int, int], claimed: tuple[int, int, int]
) -> None:
    """Source: carp.md 15: an OpenBSD MASTER yields to any smaller octet."""
    advbase, advskew, demote = winner
    weaker = weaker_than(Claim(advbase=advbase, advskew=advskew, demote=demote))

    assert weaker == Claim(advbase=claimed[0], advskew=claimed[1], demote=claimed[2])


def test_there_is_no_claim_weaker_than_the_weakest() -> None:
    assert weaker_than(Claim(advbase=255, advskew=254)) is None


def test_what_leaves_after_the_drop_does_not_leave_from_the_virtual_mac() -> None:
    """Source: carp.md section 12: a switch would send the clients' frames to the loser."""
    _host, farewell = loser()

    assert [each.outgoing.source_mac for each in farewell if isinstance(each, Transmit)] == [None]


def test_a_third_host_recognises_a_farewell_to_somebody_else() -> None:
    host = bench(config(advskew=200))
    host.hear(advert(advskew=100, source=HIGHER, counter=40), at_ns=seconds(1))
    host.hear(advert(advskew=5, counter=41), at_ns=seconds(1.001))
    host.hear(advert(advskew=6, source=HIGHER, counter=Reply.FAREWELL.to(41)), at_ns=seconds(1.003))

    decisions = {peer.source: peer.decision for peer in host.engine.host_snapshot(KEY).peers}
    assert decisions[HIGHER] is Decision.SENDER_LEFT


def test_a_bow_out_after_a_farewell_is_a_vacancy() -> None:
    """The loser of a moment ago is no MASTER that could show itself."""
    host = bench(config(advskew=200))
    host.hear(advert(advskew=100, source=HIGHER, counter=40), at_ns=seconds(1))
    host.hear(advert(advskew=5, counter=41), at_ns=seconds(1.001))
    host.hear(advert(advskew=6, source=HIGHER, counter=Reply.FAREWELL.to(41)), at_ns=seconds(1.003))
    host.hear(advert(counter=42, **BOW_OUT), at_ns=seconds(1.5))

    assert host.state is State.MASTER


# Below a second


def test_a_host_that_yields_below_a_second_waits_for_the_winner_however_seldom_it_advertises() -> None:
    host = master(config(advbase=0, advskew=1))
    host.feed(DemotionSet(None, "test", 200))
    host.hear(advert(advbase=0, advskew=100), at_ns=host.now_ns + seconds(0.01))
    host.pass_time(to_ns=host.now_ns + seconds(1))

    assert host.state is State.BACKUP


def test_an_equally_demoted_master_is_not_too_slow_for_a_host_below_a_second() -> None:
    host = bench(config(advbase=0, advskew=50))
    host.feed(DemotionSet(None, "test", 240))
    host.hear(advert(advbase=0, advskew=240), at_ns=seconds(0.1))

    assert host.state is State.BACKUP


def source_macs(effects: Iterable[Effect]) -> set[str]:
    return {str(each.outgoing.source_mac) for each in effects if isinstance(each, Transmit)}


def test_a_master_advertises_from_the_virtual_mac_only_once_it_holds_the_addresses() -> None:
    """A switch sends the clients' frames to where the virtual MAC was seen last. Source: carp.md section 12."""
    host = bench()
    before = source_macs(host.pass_time(to_ns=seconds(3)))
    host.wait_for_hold()
    host.report(Action.HOLD)
    after = source_macs(host.pass_time(to_ns=seconds(4)))

    assert (before, after) == ({"None"}, {"00:00:5e:00:01:01"})


def test_an_announcement_is_repeated_from_the_links_own_mac() -> None:
    host = bench()
    host.wait_for_hold()
    first = host.report(Action.HOLD)
    again = [*host.pass_time(to_ns=seconds(4)), *host.pass_time(to_ns=seconds(5))]
    forms = [effect.form.link_source for effect in (*first, *again) if isinstance(effect, Announce)]

    assert forms == [False, True]


def listening() -> Bench:
    """Return a host that became MASTER by a bow-out at 1 s and listens."""
    host = bench(config(advskew=100))
    host.hear(advert(**BOW_OUT), at_ns=seconds(1))
    return host


def test_a_host_that_waits_for_the_end_of_a_tie_advertises_once_more() -> None:
    """The winner may have heard its first advertisement as BACKUP, before an administrator made it MASTER."""
    host = listening()

    first = host.hear(advert(advskew=100, source=LOWER, counter=40), at_ns=seconds(1.001))
    second = host.hear(advert(advskew=100, source=LOWER, counter=41), at_ns=seconds(1.0015))

    assert (len(sent(first)), len(sent(second))) == (1, 0)


def test_a_tie_with_a_host_that_was_forced_ends_with_its_answer() -> None:
    host = listening()
    (asked,) = sent(host.hear(advert(advskew=100, source=LOWER, counter=40), at_ns=seconds(1.001)))

    answer = advert(advskew=100, source=LOWER, counter=Reply.ANSWER.to(asked))

    assert [each.reason for each in changes(host.hear(answer, at_ns=seconds(1.0012)))] == [Reason.TIE_LOST]


def test_a_whole_segment_that_took_over_at_once_is_answered_at_once() -> None:
    """Each has counters of its own, which nobody could expect, and one more may be forced a moment later."""
    host = master(config())
    host.report(Action.HOLD)
    at_ns = host.now_ns + seconds(1)

    answers = [
        sent(
            host.hear(
                advert(advskew=100, source=IPv4Address(f"192.168.1.{10 + number}"), counter=1000 * number), at_ns=at_ns
            )
        )
        for number in range(1, 17)
    ]

    assert [len(each) for each in answers] == [1] * 16
