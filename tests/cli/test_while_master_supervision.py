"""When ``pycarp while-master`` starts and stops its command: every rule, without a clock or a process."""

import signal

from pycarp.cli.while_master.supervision import (
    BACKOFF_LEAST_NS,
    BACKOFF_MOST_NS,
    CRASH_GRACE_NS,
    HEALTHY_NS,
    RECONNECT_NS,
    Action,
    Connect,
    Exit,
    Guard,
    HangUp,
    Say,
    Signal,
    Start,
    Supervision,
)
from pycarp.daemon.control_messages import MastershipAwaited, MastershipBegun, MastershipEnded, MastershipRenewed
from pycarp.vocabulary import NS_PER_S

LEASE_NS, CLEAN_UP_NS = NS_PER_S * 7 // 4, NS_PER_S // 3
TERM, KILL = Signal(signal.SIGTERM), Signal(signal.SIGKILL)


def begun(at_ns: int, token: int = 1) -> MastershipBegun:
    """Return the beginning of a mastership with an advbase of 1."""
    return MastershipBegun(
        cleans_up_at_ns=at_ns + LEASE_NS - CLEAN_UP_NS,
        ends_at_ns=at_ns + LEASE_NS,
        host="carp0",
        vhid=1,
        interface="fxp0",
        addresses=["192.168.1.50/24"],
        epoch=2,
        token=token,
    )


def renewed(at_ns: int) -> MastershipRenewed:
    return MastershipRenewed(cleans_up_at_ns=at_ns + LEASE_NS - CLEAN_UP_NS, ends_at_ns=at_ns + LEASE_NS)


def lost(at_ns: int) -> MastershipEnded:
    return MastershipEnded(reason="handed over", ends_at_ns=at_ns + CLEAN_UP_NS)


def effects(actions: list[Action]) -> list[Action]:
    """Return all but what is said."""
    return [each for each in actions if not isinstance(each, Say)]


def connected(*, stop_timeout_ns: int = 10 * NS_PER_S, once: bool = False) -> Supervision:
    supervision = Supervision(stop_timeout_ns=stop_timeout_ns, once=once)
    assert supervision.pass_time(0) == [Connect()]
    supervision.receive(MastershipAwaited("carp0", "BACKUP"), 0)
    return supervision


def running(*, stop_timeout_ns: int = 10 * NS_PER_S, once: bool = False) -> Supervision:
    """Return one whose command runs since the time 0."""
    supervision = connected(stop_timeout_ns=stop_timeout_ns, once=once)
    assert effects(supervision.receive(begun(0), 0)) == [Start(begun(0)), Guard(LEASE_NS)]
    return supervision


def test_nothing_is_due_while_the_host_is_backup() -> None:
    assert connected().due_at_ns is None


def test_a_sign_of_life_extends_the_time_of_the_guard() -> None:
    assert running().receive(renewed(NS_PER_S), NS_PER_S) == [Guard(NS_PER_S + LEASE_NS)]


def test_a_lost_mastership_ends_the_command_within_its_time() -> None:
    supervision = running()

    assert effects(supervision.receive(lost(NS_PER_S), NS_PER_S)) == [TERM, Guard(NS_PER_S + CLEAN_UP_NS)]
    assert supervision.due_at_ns == NS_PER_S + CLEAN_UP_NS
    assert supervision.pass_time(NS_PER_S + CLEAN_UP_NS) == [KILL]


def test_a_short_stop_timeout_kills_earlier() -> None:
    supervision = running(stop_timeout_ns=NS_PER_S // 10)

    supervision.receive(lost(NS_PER_S), NS_PER_S)

    assert supervision.due_at_ns == NS_PER_S + NS_PER_S // 10


def test_the_daemon_learns_that_the_command_has_ended_by_the_hang_up_and_is_asked_again() -> None:
    supervision = running()
    supervision.receive(lost(NS_PER_S), NS_PER_S)

    assert supervision.end(143, NS_PER_S + 1) == [HangUp()]
    assert supervision.pass_time(NS_PER_S + 1) == [Connect()]


def test_the_command_starts_again_in_the_next_mastership() -> None:
    supervision = running()
    supervision.receive(lost(NS_PER_S), NS_PER_S)
    supervision.end(143, NS_PER_S + 1)
    supervision.pass_time(NS_PER_S + 1)

    again = begun(9 * NS_PER_S, token=2)

    assert Start(again) in supervision.receive(again, 9 * NS_PER_S)


def test_without_a_sign_of_life_the_command_ends_within_the_lease() -> None:
    supervision = running()
    supervision.receive(renewed(NS_PER_S), NS_PER_S)
    cleans_up_at_ns = NS_PER_S + LEASE_NS - CLEAN_UP_NS

    assert supervision.due_at_ns == cleans_up_at_ns
    assert effects(supervision.pass_time(cleans_up_at_ns)) == [TERM, Guard(NS_PER_S + LEASE_NS)]
    assert supervision.due_at_ns == NS_PER_S + LEASE_NS


def test_a_sign_of_life_that_comes_too_late_changes_nothing() -> None:
    supervision = running()
    supervision.pass_time(LEASE_NS - CLEAN_UP_NS)

    assert supervision.receive(renewed(LEASE_NS), LEASE_NS) == []
    assert supervision.due_at_ns == LEASE_NS


def test_a_daemon_that_died_leaves_the_command_less_time_than_a_peer_waits() -> None:
    supervision = running()

    assert effects(supervision.lose_daemon("gone", NS_PER_S)) == [TERM, Guard(NS_PER_S + CRASH_GRACE_NS)]
    assert supervision.due_at_ns == NS_PER_S + CRASH_GRACE_NS


def test_a_daemon_that_dies_while_the_command_is_stopped_shortens_its_time() -> None:
    supervision = running()
    supervision.receive(lost(NS_PER_S), NS_PER_S)

    supervision.lose_daemon("gone", NS_PER_S + 1)

    assert supervision.due_at_ns == NS_PER_S + 1 + CRASH_GRACE_NS


def test_a_daemon_that_is_gone_is_asked_again_after_a_pause_and_said_once() -> None:
    supervision = connected()

    first = supervision.lose_daemon("gone", 0)
    supervision.pass_time(RECONNECT_NS)
    second = supervision.lose_daemon("gone", RECONNECT_NS)

    assert first == [Say("gone"), HangUp()]
    assert second == [HangUp()]
    assert supervision.due_at_ns == 2 * RECONNECT_NS


def test_a_command_that_ends_by_itself_starts_again_ever_later() -> None:
    supervision = running()
    now_ns, waits = 1, []
    for _ in range(7):
        supervision.receive(renewed(now_ns), now_ns)
        supervision.end(1, now_ns)
        assert supervision.due_at_ns is not None
        waits.append(supervision.due_at_ns - now_ns)
        now_ns = supervision.due_at_ns
        supervision.receive(renewed(now_ns), now_ns)
        assert any(isinstance(each, Start) for each in supervision.pass_time(now_ns))

    assert waits[:3] == [BACKOFF_LEAST_NS, 2 * BACKOFF_LEAST_NS, 4 * BACKOFF_LEAST_NS]
    assert waits[-1] == BACKOFF_MOST_NS


def test_a_command_that_ran_for_long_waits_little_again() -> None:
    supervision = running()
    supervision.end(1, 1)
    supervision.receive(renewed(BACKOFF_LEAST_NS + 1), BACKOFF_LEAST_NS + 1)
    supervision.pass_time(BACKOFF_LEAST_NS + 1)

    ended_at_ns = BACKOFF_LEAST_NS + 1 + HEALTHY_NS
    supervision.receive(renewed(ended_at_ns), ended_at_ns)
    supervision.end(1, ended_at_ns)

    assert supervision.due_at_ns == ended_at_ns + BACKOFF_LEAST_NS


def test_a_command_that_waits_for_its_next_start_does_not_start_without_the_mastership() -> None:
    supervision = running()
    supervision.end(1, 1)

    assert supervision.receive(lost(2), 2) == [HangUp()]
    assert supervision.pass_time(BACKOFF_LEAST_NS + 1) == [Connect()]


def test_a_lease_that_ran_out_before_it_was_heard_of_starts_nothing() -> None:
    supervision = connected()

    assert supervision.receive(begun(0), LEASE_NS) == [HangUp()]
    assert supervision.due_at_ns == LEASE_NS + RECONNECT_NS


def test_once_ends_with_the_status_of_the_command() -> None:
    assert running(once=True).end(3, 1) == [HangUp(), Exit(3)]


def test_once_outlives_a_lost_mastership() -> None:
    supervision = running(once=True)
    supervision.receive(lost(NS_PER_S), NS_PER_S)

    assert supervision.end(143, NS_PER_S + 1) == [HangUp()]


def test_asked_to_end_it_ends_at_once_when_nothing_runs() -> None:
    assert connected().ask_to_end(0) == [HangUp(), Exit(0)]


def test_asked_to_end_it_waits_for_the_command_while_the_mastership_lasts() -> None:
    supervision = running()
    assert effects(supervision.ask_to_end(0)) == [TERM]
    for second in range(1, 10):
        now_ns = second * NS_PER_S
        supervision.receive(renewed(now_ns), now_ns)
        assert supervision.pass_time(now_ns) == []

    assert supervision.pass_time(10 * NS_PER_S) == [KILL]
    assert supervision.end(137, 10 * NS_PER_S) == [HangUp(), Exit(0)]


def test_a_mastership_that_is_lost_meanwhile_shortens_the_end() -> None:
    supervision = running()
    supervision.ask_to_end(0)

    supervision.receive(lost(1), 1)

    assert supervision.due_at_ns == 1 + CLEAN_UP_NS


def test_asked_twice_it_kills_the_command() -> None:
    supervision = running()
    supervision.ask_to_end(0)

    assert supervision.ask_to_end(1) == [KILL]
