"""The language of scenarios: what it understands, and what it says when it does not."""

from pathlib import Path

import pytest

from pycarp.core.state import State
from pycarp.dialects import NETBSD
from pycarp.sim.scenario.forgery import FIELDS
from pycarp.sim.scenario.scenario import HOST_SETTINGS, SYSCTLS, VERBS, ScenarioError, play

REFERENCE = (Path(__file__).parents[2] / "docs/reference/scenarios.md").read_text()

TWO = """\
host a
host b advskew=100
run 4s
----
"""


def lines(text: str) -> list[str]:
    return [line for line in play(text).text.splitlines() if line[:1].isdigit()]


def told(text: str) -> list[str]:
    """Return the transcript without its times."""
    return [line.split(" ", 1)[1] for line in lines(text)]


def test_the_transcript_stands_under_the_rule() -> None:
    assert play("host a\nrun 3s\n").text.splitlines()[:4] == [
        "host a",
        "run 3s",
        "----",
        "0.000 a INIT -> BACKUP initialization complete",
    ]


def test_playing_what_was_played_changes_nothing() -> None:
    text = play(TWO + "\nremove a\nrun 1s\n").text

    assert play(text).text == text


def test_a_stale_transcript_is_replaced() -> None:
    assert "nonsense" not in play(TWO + "0.000 a nonsense\n").text


def test_comments_and_blank_lines_stay() -> None:
    assert play("# About a.\n\n# More.\nhost a\n----\n").text.startswith("# About a.\n\n# More.\nhost a\n----\n")


def test_hosts_speak_the_dialect_that_the_player_names() -> None:
    assert "by ARP request from the link's MAC" in play("host a\nrun 3s\n", dialect=NETBSD).text


def test_a_node_with_several_hosts_names_them_by_their_vhid() -> None:
    assert "a/2 INIT -> BACKUP initialization complete" in told(
        "host a vhid=1\nhost a vhid=2 addresses=192.0.2.51/24\n"
    )


def test_the_same_vhid_on_two_links_is_named_by_its_link() -> None:
    text = "host a\nhost a interface=em1 addresses=192.0.2.51/24\nremove a/1@em1\n"

    assert "a/1@em1 has departed" in told(text)


def test_regular_advertisements_are_told_once() -> None:
    assert sum("advertises" in line for line in told(TWO + "run 60s\n")) == 1


def test_every_advertisement_is_shown_on_demand() -> None:
    assert sum("advertises" in line for line in told(TWO + "show adverts\nrun 5s\nhide adverts\nrun 5s\n")) == 6


def test_counters_are_random_until_somebody_is_heard() -> None:
    text = "host a\nrun 3500ms\nshow counters\nrun 1s\nhear a advskew=200 counter=41\nrun 2s\n"

    assert [line.rsplit(", ")[1] for line in told(text) if ", counter" in line] == [
        "counter previous + 1",
        "counter random",
        "counter heard + 1",
        "counter previous + 1",
    ]


def test_a_drop_is_told_once_a_block() -> None:
    assert sum("badttl" in line for line in told("host a\nhear a ttl=1\nhear a ttl=1\n----\n\nhear a ttl=1\n")) == 2


def test_a_forgery_can_be_repeated() -> None:
    assert "3.500 a" not in "\n".join(lines("host a advskew=10\nhear a every=1s times=5\nrun 6s\n"))


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ("isolate a", "MASTER"),
        ("cut a b", "MASTER"),
        ("cut a -> b", "MASTER"),
        ("cut b -> a", "BACKUP"),
        ("isolate a\nheal", "BACKUP"),
        ("crash a", "MASTER"),
    ],
)
def test_packets_go_where_the_segment_lets_them(commands: str, state: str) -> None:
    assert told(f"{TWO}{commands}\nrun 4s\nstatus b\n")[-1] == f"b is {State(state)}, claims 1/100"


def test_a_looped_node_hears_itself() -> None:
    assert any("our own advertisement" in line for line in told("host a\nloop a\nrun 5s\n"))


def test_what_failed_is_made_up_for_when_it_is_repaired() -> None:
    text = "host a\nfail a hold\nrun 3500ms\n----\n\nrepair a hold\nrun 9s\n----\n"

    assert "a announces 192.0.2.50 by ARP request and reply from the link's MAC" in told(text)


def test_a_crashed_node_begins_anew() -> None:
    assert (
        told("host a\nrun 4s\ncrash a\n----\n\nhost a\n----\n").count("a INIT -> BACKUP initialization complete") == 2
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("hots a", "'hots' is no command; there are host, set, "),
        ("host", "host: the host is missing"),
        ("host a vhid=0", "vhid 0 is outside 1-255"),
        ("host a vhid=x", "host: vhid 'x' is not a whole number"),
        ("host a advskew=x", "host: advskew=x is not understood"),
        ("host a colour=red", "host: 'colour=' is not understood"),
        ("host a advskew=300", "advskew 300 is outside 0-254"),
        ("host a dialect=plan9", "unknown dialect 'plan9'"),
        ("host a own=nonsense", "'nonsense' does not appear to be an IPv4 or IPv6 interface"),
        ('host a password="x', "No closing quotation"),
        ("host b", "host: b has 1@em0 already"),
        ("run", "run: a span is missing"),
        ("run 5", "run: '5' is no span such as 5s, 20ms or 50us"),
        ("cut b z", "cut: node 'z' is none of b"),
        ("remove z", "remove: there is no host 'z'"),
        ("remove b/7", "remove: 'b/7' names 0 hosts; say NODE/VHID or NODE/VHID@LINK"),
        ("force b INIT2", "force: state 'INIT2' is none of INIT, BACKUP, MASTER"),
        ("hear b checksum=odd", "hear: checksum=odd is not understood"),
        ("hear b source=fe80::9 destination=own", "em0 has no IPv6 address"),
        ("sysctl b preempt=maybe", "sysctl: preempt=maybe is not understood"),
        ("show b", "show: what is shown 'b' is none of adverts, counters, wire"),
    ],
)
def test_a_line_that_is_not_understood_is_named(line: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        play(f"# About b.\nhost b own=192.0.2.1/24\n{line}\n", name="x.carp")

    assert str(caught.value).startswith("x.carp:3: ")
    assert complaint in str(caught.value)


def test_what_is_refused_is_told() -> None:
    assert lines("try host a advskew=300\n") == ["0.000 refused: advskew 300 is outside 0-254"]


@pytest.mark.parametrize("line", ["try host a", "try hots a"])
def test_only_a_refusal_can_be_tried(line: str) -> None:
    with pytest.raises(ScenarioError):
        play(f"{line}\n")


def test_the_example_of_the_reference_is_true() -> None:
    example = REFERENCE.split("```")[1].lstrip("\n")

    assert play(example).text == example


@pytest.mark.parametrize("verb", VERBS)
def test_the_reference_explains_every_command(verb: str) -> None:
    assert f"`{verb} " in REFERENCE or f"`{verb}`" in REFERENCE


@pytest.mark.parametrize("word", [*HOST_SETTINGS, *SYSCTLS, *FIELDS])
def test_the_reference_names_every_setting(word: str) -> None:
    assert f"`{word}`" in REFERENCE
