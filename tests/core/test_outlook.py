"""What would have to happen for another state: each way that is foretold is walked, and no other."""

import pytest

from pycarp.core.inputs import Action, AdminChanged, HandOverAsked, LinkChanged
from pycarp.core.outlook import Outlook, outlook
from pycarp.core.state import Reason, State
from pycarp.dialects import OPENBSD
from pycarp.vocabulary import NS_PER_SKEW
from tests.support.hosts import KEY, Bench, advert, bench, changes, config, link, master, seconds


def ways(host: Bench) -> dict[Reason, Outlook]:
    return {each.reason: each for each in outlook(host.engine.host_snapshot(KEY))}


def test_a_backup_becomes_master_exactly_when_foretold() -> None:
    host = bench(config(advskew=100))
    at_ns = ways(host)[Reason.MASTER_SILENT].at_ns

    assert at_ns == seconds(3) + 100 * NS_PER_SKEW
    assert changes(host.pass_time(to_ns=at_ns - 1)) == []
    assert [each.reason for each in changes(host.pass_time(to_ns=at_ns))] == [Reason.MASTER_SILENT]


def test_an_advertisement_puts_it_off() -> None:
    host = bench(config(advskew=100))
    before = ways(host)[Reason.MASTER_SILENT].at_ns

    host.hear(advert(), at_ns=seconds(1))

    assert before is not None
    assert ways(host)[Reason.MASTER_SILENT].at_ns == before + seconds(1)


def test_each_family_has_a_time_of_its_own() -> None:
    host = bench(config(addresses=("192.168.1.50/24", "2001:db8::50/64")))

    found = [each for each in outlook(host.engine.host_snapshot(KEY)) if each.reason is Reason.MASTER_SILENT]

    assert [each.condition for each in found] == [
        "no advertisement over IPv4 until then",
        "no advertisement over IPv6 until then",
    ]


def test_what_has_a_time_comes_first() -> None:
    times = [each.at_ns is None for each in outlook(bench(config()).engine.host_snapshot(KEY))]

    assert times == sorted(times)


@pytest.mark.parametrize("preempt", [True, False])
def test_only_a_host_that_preempts_is_foretold_to(*, preempt: bool) -> None:
    assert (Reason.PREEMPTING in ways(bench(config(preempt=preempt)))) is preempt


def test_a_host_that_handed_over_is_not_foretold_to_preempt() -> None:
    host = master(config(preempt=True))
    host.feed(HandOverAsked(KEY))

    assert Reason.PREEMPTING not in ways(host)


def test_a_master_is_told_which_advertisement_would_end_it() -> None:
    host = master(config(advskew=100))

    assert ways(host)[Reason.BETTER_MASTER].condition == "another host advertises more often than every 1.391 s"
    assert [each.reason for each in changes(host.hear(advert(advskew=99)))] == [Reason.BETTER_MASTER]


def test_a_tie_is_foretold_only_where_a_peer_claims_the_same() -> None:
    host = master(config(advskew=100))
    alone = ways(host)
    host.hear(advert(advskew=100))

    assert (Reason.TIE_LOST in alone, Reason.TIE_LOST in ways(host)) == (False, True)


def test_in_init_everything_that_is_missing_is_named() -> None:
    host = bench(config())
    host.feed(LinkChanged(link(is_up=False)))
    host.feed(AdminChanged(KEY, False))

    (way,) = outlook(host.engine.host_snapshot(KEY))

    assert (way.state, way.condition) == (State.BACKUP, "fxp0 is up and the administrator sets the host up")


def test_a_host_that_cannot_hold_is_foretold_to_leave_the_addresses_to_others() -> None:
    host = master(config(preempt=True))
    host.report(Action.HOLD, error="no such device")
    host.report(Action.DROP)

    assert set(ways(host)) == {Reason.MASTER_SILENT, Reason.MASTER_LEFT}


def test_openbsd_is_foretold_to_relieve_a_demoted_master() -> None:
    host = bench(config(dialect=OPENBSD))
    condition = ways(host)[Reason.MASTER_DEMOTED].condition

    assert condition == "the master advertises a demotion above 0"
    assert [each.reason for each in changes(host.hear(advert(demote=1)))] == [Reason.MASTER_DEMOTED]
