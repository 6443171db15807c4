"""The values that dialects are made of."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp import HostConfig
from pycarp.dialects import UNIVERSAL, Claim


@pytest.mark.parametrize(
    ("advbase", "advskew", "interval_ns"),
    [(1, 0, 1_000_000_000), (0, 1, 3_906_250), (1, 100, 1_390_625_000), (255, 255, 255_996_093_750)],
)
def test_the_interval_is_advbase_seconds_and_advskew_256ths(advbase: int, advskew: int, interval_ns: int) -> None:
    """Source: carp.md 0.1, T."""
    assert Claim(advbase=advbase, advskew=advskew).interval_ns == interval_ns


@given(st.integers(0, 254))
def test_256_units_of_advskew_are_exactly_a_second(advbase: int) -> None:
    assert Claim(advbase=advbase, advskew=256).interval_ns == Claim(advbase=advbase + 1, advskew=0).interval_ns


def test_a_dialect_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        UNIVERSAL.name = "other"  # type: ignore[misc]  # that it is refused is the point


def test_a_dialect_is_shown_by_its_name() -> None:
    assert repr(UNIVERSAL) == "<dialect universal>"


def test_a_configuration_is_shown_on_a_line_that_people_can_read() -> None:
    config = HostConfig(interface="em0", vhid=1, passphrase="testpass", addresses=["192.0.2.10/24"])

    assert "dialect=<dialect universal>" in repr(config)
    assert "testpass" not in repr(config)
