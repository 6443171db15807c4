"""Views of an engine: what they show, and that making one changes nothing."""

from ipaddress import ip_address

import pytest

from pycarp.core.effects import Publish
from pycarp.core.events import MasterHeard
from pycarp.core.host.decision import Decision, Peer
from pycarp.core.inputs import AdminChanged, DemotionSet, LinkChanged, SettingsChanged
from pycarp.core.settings import Settings
from pycarp.core.snapshot import HostSnapshot
from pycarp.core.state import Reason, State
from pycarp.core.statistics import Statistic
from pycarp.dialects import Claim
from pycarp.vocabulary import Address, Family, HostKey
from tests.support.hosts import KEY, PEER, Bench, advert, bench, config, link, master, seconds


def view(host: Bench) -> HostSnapshot:
    return host.engine.host_snapshot(KEY)


def test_it_tells_what_the_host_was_told() -> None:
    told = config(advskew=100)

    assert view(bench(told)).config == told
    assert view(bench(told)).key == told.key


def test_it_tells_state_epoch_and_deadline() -> None:
    seen = view(bench(config(advskew=0)))

    assert (seen.state, seen.epoch, seen.deadline_ns) == (State.BACKUP, 1, seconds(3))


def test_what_is_told_without_a_snapshot_is_as_in_one() -> None:
    host = master()
    host.hear(advert(advskew=200), at_ns=host.now_ns)
    shown = host.engine.snapshot()

    assert host.engine.statistics() == shown.statistics
    assert shown.statistics[Statistic.RECEIVED_IPV4] == 1
    assert host.engine.deadline_ns == host.step.deadline_ns is not None


def test_a_host_in_init_has_no_deadline() -> None:
    host = bench()
    host.feed(AdminChanged(KEY, is_up=False))

    assert (view(host).state, view(host).deadline_ns) == (State.INIT, None)


def test_it_tells_why_the_host_is_in_its_state() -> None:
    last = view(master()).last_change

    assert last is not None
    assert (last.old, last.new, last.reason) == (State.BACKUP, State.MASTER, Reason.MASTER_SILENT)


def test_it_tells_whose_advertisement_was_heard_last() -> None:
    host = bench()
    host.hear(advert(advskew=7), at_ns=seconds(1))

    assert view(host).peer == Peer(
        source=PEER,
        family=Family.IPV4,
        claim=Claim(advbase=1, advskew=7),
        counter=7,
        at_ns=seconds(1),
        decision=Decision.NOT_PREEMPTING,
    )


def test_nobody_was_heard_in_the_beginning() -> None:
    assert view(bench()).peer is None


OTHER = ip_address("192.168.1.7")


def test_the_strongest_that_was_heard_is_master() -> None:
    host = bench(config(advskew=200))
    host.hear(advert(advskew=5), at_ns=seconds(1))
    host.hear(advert(advskew=100, source=OTHER, counter=50), at_ns=seconds(1.001))

    found = view(host).master

    assert found is not None
    assert found.source == PEER


def test_a_host_of_both_families_has_one_name() -> None:
    shared = ("192.168.1.50/24", "fd00::50/64")
    host = bench(config(advskew=200, addresses=shared))
    heard: list[Address] = []
    for number, source in enumerate((PEER, ip_address("fe80::7"), PEER, ip_address("fe80::7"))):
        packet = advert(addresses=shared, source=source, counter=number + 1)
        effects = host.hear(packet, at_ns=seconds(1.5 * number + 0.1))
        events = [each.event for each in effects if isinstance(each, Publish)]
        heard += [each.source for each in events if isinstance(each, MasterHeard)]

    assert heard == [PEER]
    assert view(host).name_of(ip_address("fe80::7")) == PEER


def test_hosts_of_other_claims_keep_their_names() -> None:
    shared = ("192.168.1.50/24", "fd00::50/64")
    host = bench(config(advskew=200, addresses=shared))
    host.hear(advert(addresses=shared, advskew=1), at_ns=seconds(1))
    host.hear(advert(addresses=shared, advskew=2, source=ip_address("fe80::7")), at_ns=seconds(1.1))

    assert view(host).name_of(ip_address("fe80::7")) == ip_address("fe80::7")


def test_a_peer_that_bowed_out_is_not_master() -> None:
    host = bench(config(advskew=200))
    host.hear(advert(advskew=100, source=OTHER), at_ns=seconds(1))
    host.hear(advert(advbase=255, advskew=255, counter=8), at_ns=seconds(1.1))

    found = view(host).master

    assert found is not None
    assert found.source == OTHER


def test_a_peer_that_fell_silent_is_master_no_more() -> None:
    host = bench(config(advskew=200))
    host.hear(advert(advskew=5), at_ns=seconds(1))
    for second in (3.6, 4.6):
        host.hear(advert(advskew=100, source=OTHER, counter=int(10 * second)), at_ns=seconds(second))

    found = view(host).master

    assert found is not None
    assert found.source == OTHER


def test_a_master_of_two_families_has_one_name() -> None:
    both = ("192.168.1.50/24", "2001:db8::50/64")
    host = bench(config(advskew=200, addresses=both))
    host.hear(advert(addresses=both), at_ns=seconds(1))
    for number, source in enumerate(("fe80::99", "::")):
        host.hear(advert(addresses=both, source=ip_address(source), counter=8 + number), at_ns=seconds(1))

    found = view(host).master

    assert found is not None
    assert found.source == PEER


def test_nobody_is_master_in_the_beginning() -> None:
    assert view(bench()).master is None


def test_it_tells_the_claim_with_the_demotion_and_its_causes() -> None:
    host = bench(config(advskew=100))
    host.feed(DemotionSet(KEY, "maintenance", 50))
    host.feed(DemotionSet(None, "link", 10))

    assert view(host).claim == Claim(advbase=1, advskew=160)
    assert view(host).demotion == (("link", 10), ("maintenance", 50))


@pytest.mark.parametrize("is_up", [True, False])
def test_it_tells_what_the_administrator_wants(*, is_up: bool) -> None:
    host = bench()
    host.feed(AdminChanged(KEY, is_up=is_up))

    assert view(host).admin_is_up is is_up


@pytest.mark.parametrize("is_up", [True, False])
def test_it_tells_whether_the_link_is_up(*, is_up: bool) -> None:
    host = bench()
    host.feed(LinkChanged(link(is_up=is_up)))

    assert view(host).link_is_up is is_up


def test_a_view_stays_as_it_was() -> None:
    host = bench()
    before = view(host)
    host.pass_time(to_ns=seconds(3))

    assert (before.state, view(host).state) == (State.BACKUP, State.MASTER)


def test_the_counters_of_a_view_stay_as_they_were() -> None:
    host = bench()
    before = host.engine.snapshot()
    host.hear(advert())

    assert before.statistics.get(Statistic.RECEIVED_IPV4, 0) == 0


def test_a_view_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        view(bench()).epoch = 7  # type: ignore[misc]  # that it is refused is the point


def test_an_unknown_host_has_no_view() -> None:
    with pytest.raises(KeyError):
        bench().engine.host_snapshot(HostKey("fxp0", 99))


def test_the_view_of_the_engine_has_every_host_in_the_order_of_addition() -> None:
    host = bench(config(vhid=2), config(vhid=1))

    assert [each.key.vhid for each in host.engine.snapshot().hosts] == [2, 1]


def test_the_view_of_the_engine_has_the_switches() -> None:
    host = bench()
    switches = Settings(allow=False, preempt=True)
    host.feed(SettingsChanged(switches))

    assert host.engine.snapshot().settings == switches


def test_the_demotion_of_the_engine_is_that_of_the_node() -> None:
    """Source: carp.md 6.1, what the sysctl shows."""
    host = bench()
    host.feed(DemotionSet(KEY, "maintenance", 50))
    host.feed(DemotionSet(None, "link", 10))

    assert host.engine.snapshot().demotion == 10
