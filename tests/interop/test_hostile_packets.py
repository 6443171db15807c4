"""An attacker on the segment sends what he likes, as fast as he can: nothing happens to the election.

What a MASTER sends is timed at its port of the switch, by the kernel. The flood, the switch and both daemons share the
processors, so that at the highest rate fewer packets leave than were ordered; the benchmark says how many.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.failover.systems import BACKUP, MASTER, Pycarp
from benchmarks.hostile import INTERVAL_S, SAFE_KINDS, Arena, arena

from tests.support.system import require

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MASTER_DOWN_S = 3 * INTERVAL_S + 100 / 256
LOG_LINES_MAX = 8
"""Both daemons: rejections once a minute, a warning for each of a few sources, the flood."""


@pytest.fixture(scope="module")
def fight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    require("ip", "bridge")
    with arena(Pycarp, Path(tmp_path_factory.mktemp("hostile"))) as made:
        yield made


@pytest.mark.parametrize(("rate", "seconds", "late_max_ms"), [(50, 5, 100), (1000, 8, 100), (100_000, 10, 250)])
def test_a_flood_of_bad_packets_costs_nothing(rate: int, seconds: float, late_max_ms: float, fight: Arena) -> None:
    outcome = fight.attack(rate, seconds, SAFE_KINDS)

    assert outcome.reached > rate / 10, "the attacker was too slow to say anything"
    assert outcome.advertisements >= outcome.expected
    assert outcome.late_ms < late_max_ms
    assert outcome.from_backup == 0
    assert max(outcome.grown_kib.values()) < 4096
    assert outcome.log_lines <= LOG_LINES_MAX


def test_the_highest_flood_was_noticed_by_both(fight: Arena) -> None:
    """Without it these tests would say nothing of the packet filter: such a machine may bear the flood even so."""
    for host in (MASTER, BACKUP):
        assert "packets a second of no use arrive" in (fight.system.folder / f"{host}.log").read_text()


def test_a_flood_of_the_masters_own_packets_costs_the_election_nothing(fight: Arena) -> None:
    outcome = fight.attack(100_000, 5, ["replay"])

    assert outcome.advertisements >= outcome.expected
    assert outcome.from_backup == 0
    assert outcome.log_lines <= LOG_LINES_MAX


def test_a_master_that_dies_in_a_flood_is_missed_in_time(fight: Arena) -> None:
    took_s = fight.kill_under_fire(100_000, 9, SAFE_KINDS)

    assert took_s is not None
    assert took_s < MASTER_DOWN_S + 1
    assert fight.has_address(BACKUP)
    assert not fight.has_address(MASTER)
