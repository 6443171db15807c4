"""A machine that reaches no witness: how answers count, and how long it takes until it lets go."""

import pytest

from pycarp.placement.isolation import Isolation, counted


def isolation(**settings: float) -> Isolation:
    values = {"every_s": 0.5, "timeout_s": 0.4, "rise": 2, "fall": 4, **settings}
    return Isolation(name="i", host=None, link="eth0", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "within_s"),
    [({}, (1.9, 2.4)), ({"fall": 1}, (0.4, 0.9)), ({"timeout_s": 1.0}, (4.0, 4.5))],
)
def test_it_lets_go_when_the_last_of_so_many_answers_is_missing(
    settings: dict[str, float], within_s: tuple[float, float]
) -> None:
    assert isolation(**settings).lets_go_within_s == pytest.approx(within_s)


def test_answers_count_only_in_a_row() -> None:
    passes, in_a_row, seen = False, 0, []
    for is_good in (True, True, False, False, True, False, False, False, True, True):
        passes, in_a_row = counted(in_a_row, passes=passes, is_good=is_good, rise=2, fall=3)
        seen.append(passes)

    assert seen == [False, True, True, True, True, True, True, False, False, True]
