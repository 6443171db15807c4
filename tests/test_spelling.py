"""What a misspelt name was meant to be."""

import pytest

from pycarp.spelling import meant

KNOWN = ("vhid", "mac_mode", "password", "password_file", "advskew")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vhdi", "vhid"), ("mac", "mac_mode"), ("pasword", "password"), ("colour", "")],
)
def test_the_name_that_resembles_it_most_is_meant(name: str, expected: str) -> None:
    assert meant(name, KNOWN) == expected


def test_the_beginning_of_two_names_means_neither_by_that() -> None:
    assert meant("a", ("a_first_thing", "a_second_thing")) == ""
