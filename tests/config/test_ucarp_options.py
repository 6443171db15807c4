"""ucarp's command line, read."""

import contextlib
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp.auth.key import Passphrase
from pycarp.config.ucarp_options import BAD_ARGUMENTS, CANNOT_START, UcarpCommand, UcarpProblems, UcarpUsage, parse
from pycarp.dialects import FREEBSD, UCARP

GOOD = ("-i", "eth0", "-s", "10.0.0.1", "-v", "1", "-p", "x", "-a", "10.0.0.9")


def problems(*arguments: str) -> UcarpProblems:
    with pytest.raises(UcarpProblems) as caught:
        parse(arguments)
    return caught.value


def test_what_is_not_said_has_the_defaults_of_ucarp() -> None:
    assert parse(GOOD) == UcarpCommand(
        interface="eth0",
        source=IPv4Address("10.0.0.1"),
        vhid=1,
        passphrase=Passphrase("x"),
        address=IPv4Address("10.0.0.9"),
    )


def test_every_short_option_is_taken() -> None:
    words = [*GOOD, "-P", "-n", "-b", "2", "-k", "5", "-u", "up", "-d", "down", "-r", "4", "-z", "-B", "-S", "-M"]
    said = parse([*words, "-f", "LOCAL3", "-x", "a b", "-D"])

    assert (said.preempt, said.neutral, said.runs_script_at_exit, said.daemonizes) == (True, True, True, True)
    assert (said.advbase, said.advskew, said.dead_ratio) == (2, 5, 4)
    assert (said.up_script, said.down_script, said.extra) == ("up", "down", "a b")
    assert (said.ignores_link, said.broadcasts, said.facility, said.is_verbose) == (True, True, "local3", True)


def test_every_long_option_is_taken() -> None:
    said = parse(
        [
            "--interface=eth0",
            "--srcip=10.0.0.1",
            "--mcastip=224.0.0.19",
            "--vhid=1",
            "--pass=x",
            "--addr=10.0.0.9",
            "--preempt",
            "--neutral",
            "--advbase=2",
            "--advskew=5",
            "--upscript=up",
            "--downscript=down",
            "--deadratio=4",
            "--shutdown",
            "--daemonize",
            "--ignoreifstate",
            "--nomcast",
            "--facility=none",
            "--xparam=a",
            "--debug",
        ]
    )

    assert said == UcarpCommand(
        interface="eth0",
        source=IPv4Address("10.0.0.1"),
        vhid=1,
        passphrase=Passphrase("x"),
        address=IPv4Address("10.0.0.9"),
        multicast_group=IPv4Address("224.0.0.19"),
        advbase=2,
        advskew=5,
        dead_ratio=4,
        preempt=True,
        neutral=True,
        ignores_link=True,
        broadcasts=True,
        up_script="up",
        down_script="down",
        extra="a",
        runs_script_at_exit=True,
        daemonizes=True,
        facility=None,
        is_verbose=True,
    )


@pytest.mark.parametrize("option", ["--mcast=224.0.0.19", "--m=224.0.0.19"])
def test_long_options_can_be_shortened(option: str) -> None:
    assert parse([*GOOD, option]).multicast_group == IPv4Address("224.0.0.19")


@pytest.mark.parametrize("arguments", [["-zPnB"], ["-zPn", "-B"], ["-z", "extra", "-PnB"]])
def test_short_options_can_be_joined_and_come_in_any_order(arguments: list[str]) -> None:
    said = parse([*arguments, *GOOD])

    assert (said.runs_script_at_exit, said.preempt, said.neutral, said.daemonizes) == (True, True, True, True)


def test_a_value_may_follow_its_letter_at_once() -> None:
    assert parse(["-ieth0", "-s10.0.0.1", "-v1", "-px", "-a10.0.0.9"]) == parse(GOOD)


def test_the_last_of_two_equal_options_wins() -> None:
    assert parse([*GOOD, "--vhid=2"]).vhid == 2


def test_words_that_belong_to_no_option_are_counted_and_not_kept() -> None:
    assert parse([*GOOD, "secret words"]).ignored_arguments == 1


@pytest.mark.parametrize(("text", "number"), [("0x10", 16), ("010", 8), ("+7", 7), (" 7", 7), ("0X1f", 31)])
def test_numbers_have_the_bases_of_c(text: str, number: int) -> None:
    assert parse([*GOOD, "-v", text]).vhid == number


@pytest.mark.parametrize("text", ["0", "256", "abc", "1x", "-1", "08", "", "9" * 5000, "٣"])
def test_a_number_out_of_range_is_refused_as_bad_arguments(text: str) -> None:
    found = problems(*GOOD, "-v", text)

    assert found.exit_status == BAD_ARGUMENTS
    assert "vhid must be" in str(found)


@pytest.mark.parametrize(("option", "value"), [("-b", "256"), ("-b", "0"), ("-k", "256"), ("-r", "0"), ("-r", "300")])
def test_numbers_are_not_cut_to_eight_bits(option: str, value: str) -> None:
    assert "must be between" in str(problems(*GOOD, option, value))


def test_the_machines_own_address_cannot_be_shared() -> None:
    """The down-script would take it away at the start."""
    (text,) = problems(*GOOD, "-a", "10.0.0.1").problems

    assert text.startswith("10.0.0.1 is srcip, this machine's own address")


def test_all_problems_are_told_at_once() -> None:
    assert [text.partition(":")[0] for text in problems("-k", "999").problems] == [
        "You must supply a valid virtual host id",
        "You must supply a password",
        "You must supply a persistent source address",
        "You must supply a virtual host address",
        "advskew must be between 0 and 255, not 999",
    ]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("-p", "y" * 20), CANNOT_START),
        (("--mcastip=10.0.0.3",), CANNOT_START),
        (("--mcastip=bogus",), BAD_ARGUMENTS),
        (("-p", ""), BAD_ARGUMENTS),
        (("-s", "10.0.0.1/24"), BAD_ARGUMENTS),
        (("-p", "y" * 20, "-v", "0"), BAD_ARGUMENTS),
        (("--dialect=vrrp",), BAD_ARGUMENTS),
        (("--transport=pigeon",), BAD_ARGUMENTS),
        (("--script-timeout=0",), BAD_ARGUMENTS),
    ],
)
def test_the_exit_status_is_that_of_ucarp(words: tuple[str, ...], status: int) -> None:
    assert problems(*GOOD, *words).exit_status == status


@pytest.mark.parametrize("words", [[], ["-h"], [*GOOD, "--help"], ["-v", "0", "-h"]])
def test_help_and_nothing_at_all_ask_for_the_usage(words: list[str]) -> None:
    with pytest.raises(UcarpUsage) as caught:
        parse(words)

    assert caught.value.complaint == ""


@pytest.mark.parametrize("words", [["--bogus"], ["-m", "224.0.0.19"], ["--ad=1"], ["-i"], ["--preempt=1"]])
def test_an_unknown_option_asks_for_the_usage_with_a_complaint(words: list[str]) -> None:
    with pytest.raises(UcarpUsage) as caught:
        parse(words)

    assert caught.value.complaint


@pytest.mark.parametrize(
    ("octets", "secret"),
    [(b"first  \nsecond\n", b"first  "), (b"no end", b"no end"), (b"crlf\r\n", b"crlf\r"), (b"\xff\n", b"\xff")],
)
def test_the_password_is_the_first_line_of_its_file(tmp_path: Path, octets: bytes, secret: bytes) -> None:
    (tmp_path / "pass").write_bytes(octets)

    assert parse([*GOOD, "-o", str(tmp_path / "pass")]).passphrase == Passphrase(secret)


def test_the_last_password_wins_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("filed\n")

    assert parse([*GOOD, "-o", str(tmp_path / "pass"), "-p", "given"]).passphrase == Passphrase("given")
    assert parse([*GOOD, "-o", str(tmp_path / "pass")]).passphrase == Passphrase("filed")


@pytest.mark.parametrize(("octets", "complaint"), [(b"", "unexpected end of file"), (b"\nx\n", "supply a password")])
def test_an_empty_password_file_is_refused(tmp_path: Path, octets: bytes, complaint: str) -> None:
    (tmp_path / "pass").write_bytes(octets)

    assert complaint in str(problems(*GOOD, "-o", str(tmp_path / "pass")))


def test_an_unreadable_password_file_is_named(tmp_path: Path) -> None:
    assert f"unable to open passfile {tmp_path}/none for reading" in str(problems(*GOOD, f"-o{tmp_path}/none"))


def test_a_password_in_the_wrong_place_is_not_shown() -> None:
    assert "hunter2" not in str(problems("-v", "hunter2", "-b", "hunter2", "-a", "hunter2", "-s", "hunter2"))


def test_the_host_has_the_settings_and_another_dialect_if_asked() -> None:
    host = parse([*GOOD, "-M", "-S", "-n", "-r", "5"]).host()

    assert (host.dialect, host.broadcasts, host.ignores_link, host.neutral, host.dead_ratio) == (
        UCARP,
        True,
        True,
        True,
        5,
    )
    assert parse([*GOOD, "--dialect=freebsd"]).dialect == FREEBSD


def test_what_the_dialect_does_not_allow_is_a_problem() -> None:
    assert "dialect freebsd" in str(problems(*GOOD, "--dialect=freebsd", "-r", "5"))


@given(st.lists(st.text(max_size=8) | st.sampled_from(["-o", "-i", "-v", "--vhid=", "-p", "--", "-", "-s10.0.0.1"])))
def test_no_command_line_is_too_odd_to_be_answered(words: list[str]) -> None:
    with contextlib.suppress(UcarpUsage, UcarpProblems):
        assert isinstance(parse(words), UcarpCommand)
