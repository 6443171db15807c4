"""What is tried beside BSD kernels. In each of them the switch can be taught the wrong port; see ``kernel_trial``."""

import time

from benchmarks.failover.kernel_trial import OURS, THEIRS, THIRD, Bench, Event, settle

_ADVERTISED_S = 1.2
_BEFORE_THE_SECOND_ANNOUNCEMENT_S = 0.9
"""With the second before the event, between the first and the second advertisement after a takeover at 1/100."""


def _kernel_first(bench: Bench) -> None:
    bench.start_kernel()
    bench.wait_for_master(THEIRS)
    bench.start_ours()
    settle()


def _kernel_first_ours_demoted(bench: Bench) -> None:
    _kernel_first(bench)
    bench.control("sysctl", "net.inet.carp.demotion=50")


def _ours_first(bench: Bench) -> None:
    bench.start_ours()
    bench.wait_for_master(OURS)
    bench.start_kernel()
    bench.outlast_announcements()


def _ours_first_kernel_down(bench: Bench) -> None:
    bench.start_ours()
    bench.wait_for_master(OURS)
    bench.start_kernel(is_up=False)
    bench.outlast_announcements()


def _set_kernel_up(bench: Bench) -> None:
    bench.tell("up")


def _kernel_alone(bench: Bench) -> None:
    bench.start_kernel()
    bench.wait_for_master(THEIRS)
    settle()


def _split(bench: Bench) -> None:
    """Cut pycarp and the kernel off from each other until both are MASTER, and have advertised."""
    _kernel_first(bench)
    bench.split(OURS, [THEIRS])
    bench.wait_until_masters(2)
    time.sleep(_ADVERTISED_S)


def _three(bench: Bench) -> None:
    bench.start_kernel()
    bench.wait_for_master(THEIRS)
    bench.start_kernel(THIRD)
    bench.start_ours()
    settle()


def _cut_off_from_two(bench: Bench) -> None:
    _three(bench)
    bench.split(OURS, [THEIRS, THIRD])
    bench.wait_until_masters(2)
    time.sleep(_ADVERTISED_S)


def _kernel_comes_back_patient(bench: Bench) -> None:
    """Let pycarp have taken over, and wait until its announcement is due again with its next advertisement."""
    _kernel_first(bench)
    bench.tell("down")
    bench.wait_for_master(OURS)
    bench.tell("up")
    time.sleep(_BEFORE_THE_SECOND_ANNOUNCEMENT_S)


EVENTS = (
    Event(name="a split heals, the kernel wins", prepare=_split, act=Bench.heal, winner=THEIRS),
    Event(
        name="a split heals, pycarp wins", prepare=_split, act=Bench.heal, winner=OURS, advskew=0, kernel_advskew=100
    ),
    Event(name="the kernel joins and preempts", prepare=_ours_first_kernel_down, act=_set_kernel_up, winner=THEIRS),
    Event(
        name="the kernel joins and preempts, advbase 5",
        prepare=_ours_first_kernel_down,
        act=_set_kernel_up,
        winner=THEIRS,
        advbase=5,
        lasts_s=12.0,
    ),
    Event(
        name="pycarp joins and preempts",
        prepare=_kernel_alone,
        act=Bench.start_ours,
        winner=OURS,
        advskew=0,
        kernel_advskew=100,
    ),
    Event(name="pycarp joins as BACKUP", prepare=_kernel_alone, act=Bench.start_ours, winner=THEIRS),
    Event(
        name="pycarp is demoted, the kernel preempts",
        prepare=_ours_first,
        act=lambda bench: bench.control("sysctl", "net.inet.carp.demotion=240"),
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
    ),
    Event(
        name="pycarp gets advskew 200, the kernel preempts",
        prepare=_ours_first,
        act=lambda bench: bench.control("ifconfig", "carp0", "advskew", "200"),
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
    ),
    Event(
        name="pycarp hands over",
        prepare=_ours_first,
        act=lambda bench: bench.control("handover", "carp0"),
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
    ),
    Event(name="pycarp leaves", prepare=_ours_first, act=Bench.end_ours, winner=THEIRS, advskew=0, kernel_advskew=100),
    Event(
        name="pycarp leaves, IPv4 and IPv6",
        prepare=_ours_first,
        act=Bench.end_ours,
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
        is_dual_stack=True,
    ),
    Event(
        name="the kernel leaves",
        prepare=_kernel_first,
        act=lambda bench: bench.tell("down"),
        winner=OURS,
        beside=("netbsd", "openbsd"),
    ),
    Event(
        name="the kernel leaves, IPv4 and IPv6, pycarp demoted",
        prepare=_kernel_first_ours_demoted,
        act=lambda bench: bench.tell("down"),
        winner=OURS,
        beside=("netbsd", "openbsd"),
        is_dual_stack=True,
    ),
    Event(
        name="a repeated announcement, the kernel preempts",
        prepare=_kernel_comes_back_patient,
        act=lambda bench: bench.tell("preempt 1"),
        winner=THEIRS,
        kernel_preempts=False,
        preempts=False,
    ),
    Event(
        name="three hosts, pycarp cut off and healed",
        prepare=_cut_off_from_two,
        act=Bench.heal,
        winner=THEIRS,
        third_advskew=50,
    ),
    Event(
        name="three hosts, the first kernel leaves",
        prepare=_three,
        act=lambda bench: bench.tell("down"),
        winner=THIRD,
        beside=("netbsd", "openbsd"),
        third_advskew=50,
    ),
    Event(
        name="unicast: pycarp is set down",
        prepare=_ours_first,
        act=lambda bench: bench.control("ifconfig", "carp0", "down"),
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
        beside=("freebsd",),
        is_unicast=True,
        lasts_s=6.0,
    ),
    Event(
        name="unicast: the kernel joins and preempts",
        prepare=_ours_first_kernel_down,
        act=_set_kernel_up,
        winner=THEIRS,
        beside=("freebsd",),
        is_unicast=True,
        lasts_s=6.0,
    ),
    Event(
        name="unicast: pycarp and its guardian are killed",
        prepare=_ours_first,
        act=Bench.kill_ours,
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
        beside=("freebsd",),
        is_unicast=True,
        is_planned=False,
        lasts_s=8.0,
    ),
    Event(
        name="demoted: a split heals, the kernel wins",
        prepare=_split,
        act=Bench.heal,
        winner=THEIRS,
        beside=("openbsd",),
        demote=1,
    ),
    Event(
        name="demoted: pycarp leaves",
        prepare=_ours_first,
        act=Bench.end_ours,
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
        demote=1,
        beside=("openbsd",),
    ),
    Event(
        name="demoted: pycarp leaves, IPv4 and IPv6",
        prepare=_ours_first,
        act=Bench.end_ours,
        winner=THEIRS,
        advskew=0,
        kernel_advskew=100,
        demote=1,
        is_dual_stack=True,
        beside=("openbsd",),
        lasts_s=6.0,
    ),
    Event(
        name="demoted: the kernel leaves",
        prepare=_kernel_first,
        act=lambda bench: bench.tell("down"),
        winner=OURS,
        demote=1,
        beside=("openbsd",),
    ),
)
