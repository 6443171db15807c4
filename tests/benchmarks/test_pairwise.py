"""Pairs of two checkouts: what is read from their programs, and what is made of it."""

from pathlib import Path

import pytest
from benchmarks.checkouts import Checkout, Run, checked_out
from benchmarks.pairwise import (
    Compared,
    Trial,
    Values,
    markdown,
    measure,
    real_soak_values,
    storm_values,
    virtual_soak_values,
)

from pycarp.errors import CarpError, UsageError

STORMS = "200 runs in 42 s, 4.8 a second; 2 failed\n     2   1.00 %  two owners (seed 17)\n"
VIRTUAL_SOAK = """1.7 virtual days in 71 s, 521 takeovers
after 120 events: Footprint(blocks=112760, rss_kib=36756, objects=31525, tasks=4, descriptors=9)
at the end: Footprint(blocks=113379, rss_kib=36800, objects=31521, tasks=4, descriptors=9)
"""
REAL_SOAK = """round   1  a      10 s  RSS   67016 KiB  descriptors  29  processes  2  state    598 octets
round   1  b      10 s  RSS   66896 KiB  descriptors  27  processes  2  state    515 octets
round   2  a      19 s  RSS   67216 KiB  descriptors  29  processes  2  state    598 octets
round   2  b      19 s  RSS   66996 KiB  descriptors  28  processes  2  state    520 octets
"""
BEFORE = Checkout("before", Path("/before"), "python", Path("/compiled"))
AFTER = BEFORE._replace(name="after")


def silent(_words: str) -> None:
    pass


def seconds(checkout: Checkout, number: int) -> Values:
    return {("time", "s"): float(number + (checkout.name == "after"))}


def test_storms_give_broken_promises_and_cpu() -> None:
    assert storm_values(Run(STORMS, 1, 38.0)) == {
        ("200 storms: broken promises", ""): 2,
        ("storms: CPU of a plan", "ms"): 190,
    }


def test_a_virtual_soak_gives_what_has_grown() -> None:
    found = virtual_soak_values(Run(VIRTUAL_SOAK, 0, 70.0))

    assert found["virtual soak: blocks more", ""] == 619
    assert found["virtual soak: rss more", "KiB"] == 44
    assert found["virtual soak: CPU", "s"] == 70


def test_a_real_soak_gives_what_has_grown_since_the_first_round() -> None:
    assert real_soak_values(Run(REAL_SOAK, 0, 1.0)) == {
        ("soak: a round", "s"): 9.5,
        ("soak: memory more, MASTER", "KiB"): 200,
        ("soak: descriptors more, MASTER", ""): 0,
        ("soak: state more, MASTER", "octets"): 0,
        ("soak: memory more, BACKUP", "KiB"): 100,
        ("soak: descriptors more, BACKUP", ""): 1,
        ("soak: state more, BACKUP", "octets"): 5,
    }


@pytest.mark.parametrize("values", [storm_values, virtual_soak_values, real_soak_values])
def test_a_program_that_broke_off_says_how_it_ended(values: object) -> None:
    assert callable(values)
    with pytest.raises(CarpError, match="broke off: AssertionError: nobody is MASTER"):
        values(Run("AssertionError: nobody is MASTER", 1, 1.0))


def test_both_of_a_pair_are_compared_run_by_run() -> None:
    (found,) = measure([Trial("clock", seconds)], (BEFORE, AFTER), runs=3, say=silent)

    assert sorted(found.pairs) == [(0, 1), (1, 2), (2, 3)]
    assert sorted(found.ratios) == [1.5, 2.0]
    assert found.worse == 3


def test_in_turn_each_begins_every_other_run() -> None:
    order: list[str] = []

    def note(checkout: Checkout, _number: int) -> Values:
        order.append(checkout.name)
        return {}

    measure([Trial("order", note, is_at_once=False)], (BEFORE, AFTER), runs=2, say=silent)

    assert order == ["before", "after", "after", "before"]


def test_a_pair_of_which_one_says_nothing_does_not_count() -> None:
    def stalled(checkout: Checkout, number: int) -> Values | None:
        return None if checkout.name == "after" and number == 0 else seconds(checkout, number)

    (found,) = measure([Trial("clock", stalled)], (BEFORE, AFTER), runs=2, say=silent)

    assert found.pairs == ((1, 2),)


def test_a_trial_that_breaks_off_is_a_result() -> None:
    def fail(checkout: Checkout, number: int) -> Values:
        if checkout.name == "after":
            raise CarpError("nobody is MASTER")
        return seconds(checkout, number)

    (found,) = measure([Trial("clock", fail)], (BEFORE, AFTER), runs=2, say=silent)

    assert found == Compared("clock: broke off", "", ((0, 1), (0, 1)))


def test_a_row_has_least_median_and_most_and_no_ratio_of_nothing() -> None:
    rows = markdown([Compared("gap", "ms", ((10, 12), (20, 18), (30, 33))), Compared("two owners", "ms", ((0, 0),))])

    assert rows.splitlines()[2:] == [
        "| gap, ms | 10 / 20 / 30 | 12 / 18 / 33 | 0.9 / 1.1 / 1.2 | 2 of 3 |",
        "| two owners, ms | 0 | 0 |  | 0 of 1 |",
    ]


def test_a_checkout_runs_its_own_code(tmp_path: Path) -> None:
    package = tmp_path / "src" / "pycarp"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("print('an older one')")

    with checked_out("before", str(tmp_path)) as checkout:
        ended = checkout.run(["pycarp"])

    assert (ended.output, ended.code) == ("an older one\n", 0)
    assert ended.cpu_s > 0


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no src/pycarp in it"), checked_out("before", str(tmp_path)):
        pass
    with pytest.raises(UsageError, match=r"no-such-commit is neither a folder nor a commit"):
        checked_out("before", "no-such-commit").__enter__()
