"""``pycarp replay``: what people read, what scripts read, tests that it writes, and every mistake in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.core.inputs import (
    Action,
    ActuationReported,
    AdminChanged,
    DatagramReceived,
    DemotionSet,
    RestrictionSet,
    TimePassed,
)
from pycarp.core.restriction import Restriction
from tests.support.hosts import KEY, advert
from tests.support.recordings import a_takeover, lines_of

LINES = lines_of(a_takeover(name="carp0"))


def replay(*words: object, stdin: str = "") -> Result:
    return CliRunner(env={"TZ": "UTC"}).invoke(cli, ["replay", *map(str, words)], input=stdin)


@pytest.fixture
def incident(tmp_path: Path) -> Path:
    """Another host is MASTER, and then silent."""
    file = tmp_path / "incident.jsonl"
    file.write_bytes(b"".join(LINES))
    return file


@pytest.fixture
def unlike(incident: Path) -> Path:
    """The same, but that the writer could not reproduce a step before the takeover."""
    lines = list(LINES)
    lines[5] = json.dumps(json.loads(lines[5]) | {"unlike": "no effects; the next deadline 7 ns"}).encode() + b"\n"
    incident.write_bytes(b"".join(lines))
    return incident


@pytest.fixture
def different(incident: Path) -> Path:
    """The same, but that the recorded takeover had another epoch."""
    incident.write_bytes(
        b"".join(LINES).replace(b'"reason":"MASTER_SILENT","epoch":2', b'"reason":"MASTER_SILENT","epoch":3')
    )
    return incident


def test_it_tells_what_happened_and_that_it_is_identical(incident: Path) -> None:
    result = replay(incident)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{incident}: recorded by pycarp 0.1.0, begins 2023-11-14 22:13:20.000+00:00",
        "22:13:20.000 0.000 carp0 INIT -> BACKUP initialization complete",
        "22:13:20.000 0.000 carp0 drops 192.168.1.50/24",
        "22:13:21.000 1.000 carp0 hears the MASTER 192.168.1.5 (1/0)",
        "22:13:25.390 5.391 carp0 BACKUP -> MASTER master timed out",
        "22:13:25.390 5.391 carp0 advertises every 1.391 s (1/100) from 192.168.1.3",
        "22:13:25.393 5.394 carp0 holds 192.168.1.50/24",
        "22:13:25.400 5.400 carp0 announces 192.168.1.50 by ARP request and reply from the owner's MAC",
        "9 inputs, 10 effects: identical",
    ]


def test_the_first_difference_is_told_and_ends_it(different: Path) -> None:
    result = replay(different)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "6 inputs, 6 effects: DIFFERENT at line 8, 5.391 s: effect 2: Publish event: StateChange epoch: "
        "recorded 3, now 2"
    )
    assert result.stderr == "pycarp: the replay differs from what was recorded\n"


def test_a_step_that_the_daemon_did_otherwise_is_told_and_ends_nothing(unlike: Path) -> None:
    result = replay(unlike)

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[4] == ("22:13:21.000 1.000 ! the daemon did something else: no effects; the next deadline 7 ns")
    assert lines[5].startswith("22:13:25.390 5.391 carp0 BACKUP -> MASTER")
    assert lines[-1] == "9 inputs, 10 effects: identical; at 1 step the daemon did something else"
    assert result.stderr == "pycarp: the daemon did not do all of this, a bug of pycarp: report it\n"


def test_json_counts_the_steps_that_the_daemon_did_otherwise(unlike: Path) -> None:
    result = replay(unlike, "--json")

    last = json.loads(result.stdout.splitlines()[-1])
    assert (result.exit_code, last["identical"], last["unlike"]) == (1, True, 1)


def test_a_difference_to_another_version_names_both(different: Path) -> None:
    different.write_bytes(different.read_bytes().replace(b'"pycarp":"0.1.0"', b'"pycarp":"0.0.9"'))

    assert replay(different).stderr.startswith("pycarp: pycarp 0.1.0 does something else here than pycarp 0.0.9")


def test_a_recording_in_an_older_format_names_its_writer_in_one_line(incident: Path) -> None:
    older = LINES[0].replace(b'"pycarp_recording":3', b'"pycarp_recording":1').replace(b'"0.1.0"', b'"0.0.9"')
    incident.write_bytes(older + b"".join(LINES[1:]))

    result = replay(incident)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"pycarp: {incident}:1: pycarp 0.0.9 wrote this recording in format 1; this pycarp can replay format 3 only; "
        "replay it with the pycarp that wrote it\n"
    )


@pytest.mark.parametrize("time", ["5", "22:13:25", "22:13:25.000"])
def test_what_is_before_from_is_not_told_but_replayed(incident: Path, time: str) -> None:
    lines = replay(incident, "--from", time).stdout.splitlines()

    assert lines[1].startswith("22:13:25.390 5.391 carp0 BACKUP -> MASTER")
    assert lines[-1] == "9 inputs, 10 effects: identical"


@pytest.mark.parametrize("time", ["5", "22:13:25"])
def test_until_ends_it_early(incident: Path, time: str) -> None:
    assert replay(incident, "--until", time).stdout.splitlines()[-1] == "5 inputs, 4 effects: identical"


def test_json_is_an_object_a_transition_and_one_at_the_end(incident: Path) -> None:
    *changes, last = [json.loads(line) for line in replay(incident, "--json").stdout.splitlines()]

    assert [(each["s"], each["new"], each["reason"]) for each in changes] == [
        (0.0, "BACKUP", "initialization complete"),
        (5.390625, "MASTER", "master timed out"),
    ]
    assert changes[1]["explanation"] == "master timed out; 192.168.1.5 silent for 3.391 s"
    assert last == {"inputs": 9, "effects": 10, "identical": True, "difference": None, "unlike": 0}


def test_json_says_what_differs(different: Path) -> None:
    result = replay(different, "--json")

    last = json.loads(result.stdout.splitlines()[-1])
    assert (result.exit_code, last["identical"]) == (1, False)
    assert last["difference"].startswith("line 8, 5.391 s: effect 2")


# Why


def test_why_explains_a_backup_at_an_instant(incident: Path) -> None:
    assert replay(incident, "--why", "carp0", "--at", "3").stdout.splitlines() == [
        "carp0 (1@fxp0) at 3.000 s, 22:13:23.000: BACKUP",
        "  since 0.000 s, for 3.000 s: initialization complete",
        "  MASTER: 192.168.1.5",
        "  heard last: 192.168.1.5 at 2.000 s, advbase 1 advskew 0",
        "  next: takes over at 5.391 s, in 2.391 s, unless a MASTER is heard",
    ]


def test_why_explains_a_master_at_the_end(incident: Path) -> None:
    lines = replay(incident, "--why", "1@fxp0").stdout.splitlines()

    assert lines[0] == "carp0 (1@fxp0) at 6.790 s, 22:13:26.790: MASTER"
    assert lines[1] == "  since 5.391 s, for 1.399 s: master timed out; 192.168.1.5 silent for 3.391 s"
    assert lines[2] == "  MASTER: this host"
    assert lines[4] == "  next: advertises at 8.172 s, in 1.382 s"


def test_why_names_the_demotions_and_who_set_it_down(incident: Path) -> None:
    events = [*a_takeover(), (DemotionSet(None, "a check failed", 30), 8), (AdminChanged(KEY, is_up=False), 8)]
    incident.write_bytes(b"".join(lines_of(events)))

    lines = replay(incident, "--why", "1@fxp0").stdout.splitlines()

    assert lines[0].endswith(": INIT")
    assert lines[-2:] == ["  next: nothing until the administrator sets it up", "  demoted by 30: a check failed"]


def test_why_names_the_restrictions_and_that_nothing_follows(incident: Path) -> None:
    restricted = RestrictionSet(None, "gate", Restriction.BACKUP_ONLY)
    incident.write_bytes(b"".join(lines_of([*a_takeover()[:5], (restricted, 4)])))

    lines = replay(incident, "--why", "1@fxp0").stdout.splitlines()
    told = json.loads(replay(incident, "--why", "1@fxp0", "--json").stdout)

    assert lines[-2:] == ["  next: nothing while it is restricted to backup", "  restricted to backup-only: gate"]
    assert told["restrictions"] == [{"cause": "gate", "restriction": "backup-only"}]


def test_why_is_one_object_as_json(incident: Path) -> None:
    told = json.loads(replay(incident, "--why", "carp0", "--at", "22:13:23", "--json").stdout)

    assert (told["state"], told["master"], told["deadline_s"]) == ("BACKUP", "192.168.1.5", 5.390625)


def test_why_names_the_hosts_there_are(incident: Path) -> None:
    result = replay(incident, "--why", "carp7")

    assert (result.exit_code, result.stderr) == (2, "pycarp: no host 'carp7' at 6.790 s; there are: carp0\n")


# Step by step


def test_enter_is_one_step(incident: Path) -> None:
    lines = replay(incident, "--step", stdin="\n\n").stdout.splitlines()

    assert [line[:2] for line in lines if line.startswith("#")] == ["#1", "#2"]
    assert "#1 0.000 LinkChanged" in lines[2]


def test_n_is_many_and_the_end_is_told(incident: Path) -> None:
    lines = replay(incident, "--step", stdin="n 3\nn 20\n\n").stdout.splitlines()

    assert sum(line.startswith("#") for line in lines) == 9
    assert lines[-1] == "9 inputs, 10 effects: identical"


def test_s_shows_the_hosts_and_w_explains_them(incident: Path) -> None:
    told = replay(incident, "--step", "--from", "2", stdin="s\nw\nw carp9\nq\n\n").stdout

    assert "    carp0: BACKUP, epoch 1, claims advbase 1 advskew 100 demote 0\n" in told
    assert "    carp0 (1@fxp0) at 2.000 s, 22:13:22.000: BACKUP\n" in told
    assert "    no host 'carp9' now\n" in told
    assert "#6" not in told


def test_another_word_is_answered_with_help(incident: Path) -> None:
    assert replay(incident, "--step", stdin="what\n").stdout.count("q: quit") == 2


def test_a_difference_ends_the_walk(different: Path) -> None:
    result = replay(different, "--step", stdin="n 100\nn 1\n")

    assert result.exit_code == 1
    assert "DIFFERENT at line 8" in result.stdout


# Tests


def run_pytest(test: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", test.name]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return subprocess.run(words, cwd=test.parent, capture_output=True, text=True, check=False, env=environment)


def test_a_small_recording_becomes_a_test_of_one_file_that_passes(incident: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_silence.py"

    result = replay(incident, "--pytest", test)

    assert result.stdout == f"wrote {test}: 2 transitions; run it with: pytest {test}\n"
    assert "def test_silence_has_the_same_transitions() -> None:" in test.read_text()
    incident.unlink()
    assert "1 passed" in run_pytest(test).stdout


def test_a_test_fails_when_something_else_happens(incident: Path, tmp_path: Path) -> None:
    test = tmp_path / "test_silence.py"
    replay(incident, "--pytest", test)
    test.write_text(test.read_text().replace("BACKUP -> MASTER (master timed out)", "BACKUP -> INIT (handed over)"))

    assert "1 failed" in run_pytest(test).stdout


def test_a_large_recording_is_copied_beside_its_test(incident: Path, tmp_path: Path) -> None:
    events = [*a_takeover(), *((TimePassed(), 8 + number) for number in range(20))]
    incident.write_bytes(b"".join(lines_of(events)))
    test = tmp_path / "test_long.py"

    result = replay(incident, "--pytest", test, "--until", "20")

    beside = tmp_path / "test_long.jsonl"
    assert f"wrote {test} and {beside}: 2 transitions" in result.stdout
    assert beside.read_bytes() == b"".join(incident.read_bytes().splitlines(keepends=True)[: 2 + 9 + 14])
    incident.unlink()
    assert "1 passed" in run_pytest(test).stdout


def test_of_a_difference_no_test_is_made(different: Path, tmp_path: Path) -> None:
    result = replay(different, "--pytest", tmp_path / "test_x.py")

    assert result.exit_code == 1
    assert result.stderr.startswith("pycarp: no test was written, for the replay differs")
    assert not (tmp_path / "test_x.py").exists()


# Mistakes


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("--from", "noon"), 2, "'noon' is no time: write seconds, as in 12.5, or a time of day, as in 02:14:07"),
        (("--until", "25:00:00"), 2, "'25:00:00' is no time"),
        (("--from", "NaN"), 2, "'NaN' is no time"),
        (("--at", "3"), 2, "--at belongs to --why HOST"),
        (("--step", "--why", "carp0"), 2, "--step, --why and --pytest exclude each other"),
        (("--step", "--json"), 2, "--json goes with neither --step nor --pytest"),
        (("--pytest", "out.txt"), 2, "out.txt does not end in .py"),
        (("--pytest", "/nonexistent/test_x.py"), 2, "cannot write /nonexistent/test_x.py: No such file or directory"),
    ],
    ids=str,
)
def test_a_mistake_is_one_clear_line(incident: Path, words: tuple[str, ...], code: int, complaint: str) -> None:
    result = replay(incident, *words)

    assert result.exit_code == code
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_named() -> None:
    result = replay("/nonexistent/x.jsonl")

    assert (result.exit_code, result.stderr) == (
        2,
        "pycarp: cannot read /nonexistent/x.jsonl: No such file or directory\n",
    )


def test_a_broken_line_is_named_after_what_is_before_it(incident: Path) -> None:
    incident.write_bytes(b"".join([*LINES[:8], b'{"at": 3']))

    result = replay(incident)

    assert result.exit_code == 1
    assert "BACKUP -> MASTER" in result.stdout
    assert result.stderr.startswith(f"pycarp: {incident}:9: the line is cut short")


def test_what_was_found_out_about_a_stranger_is_told(incident: Path) -> None:
    events = [*a_takeover(), (DatagramReceived(advert(passphrase="testpas")), 8)]
    incident.write_bytes(b"".join(lines_of(events)))

    assert "rejects 1 of 192.168.1.5: same address list, but the password lost its last" in replay(incident).stdout


def test_why_a_packet_went_no_further_is_told_once(incident: Path) -> None:
    events = [*a_takeover(), *((DatagramReceived(advert(ttl=254, counter=number)), 8 + number) for number in range(3))]
    incident.write_bytes(b"".join(lines_of(events)))

    told = [line for line in replay(incident).stdout.splitlines() if "drops what" in line]

    assert told == ["22:13:27.000 7.000 this host drops what 192.168.1.5 sent: TTL or hop limit is not 255 (badttl)"]


def test_a_failed_actuation_is_told(incident: Path) -> None:
    events = [*a_takeover(), (ActuationReported(KEY, 2, Action.HOLD, "no permission"), 8)]
    incident.write_bytes(b"".join(lines_of(events)))

    assert "fails to hold: no permission" in replay(incident).stdout
