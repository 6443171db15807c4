"""The format: what is no recording is one clear error that names the line."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycarp.core.inputs import HostAdded
from pycarp.errors import RecordingError
from pycarp.recording import Replay, Writer
from pycarp.recording.placeholder_key import text_of
from pycarp.recording.values import pack_checkpoint, pack_input, unpack_checkpoint
from tests.support.histories import entropy
from tests.support.hosts import config, master
from tests.support.recordings import WALL_NS, a_takeover, lines_of, played, recorded

LINES = lines_of(a_takeover())


def complaint(lines: list[bytes]) -> str:
    """Return what is said about a recording that cannot be replayed to its end."""
    with pytest.raises(RecordingError) as caught:
        list(Replay(played(lines)).steps())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(number: int, change: Callable[[dict[str, object]], object]) -> list[bytes]:
    """Return the recording with a line changed."""
    line = json.loads(LINES[number - 1])
    change(line)
    return [*LINES[: number - 1], json.dumps(line).encode() + b"\n", *LINES[number:]]


def test_a_recording_names_its_format_its_writer_and_the_time() -> None:
    head = json.loads(LINES[0])

    assert head == {"pycarp_recording": 3, "pycarp": "0.1.0", "began": "2023-11-14T22:13:20Z", "at": 1_000_000_000}


def test_an_empty_file_is_no_recording() -> None:
    assert complaint([]).startswith("incident is empty; name a file that")


@pytest.mark.parametrize(
    "line", [b"hello\n", b"[]\n", b"{}\n", b"\xff\xfe\n", b'"x"\n', b'{"pycarp_recording":"x"}\n'], ids=repr
)
def test_another_file_is_no_recording(line: bytes) -> None:
    assert complaint([line]) == "incident:1: not a recording of pycarp; name a file that --record wrote"


@pytest.mark.parametrize("number", [2, 4])
def test_another_format_names_the_version_that_wrote_it(number: int) -> None:
    lines = changed(1, lambda line: line.update(pycarp_recording=number, pycarp="0.0.9"))

    assert complaint(lines) == (
        f"incident:1: pycarp 0.0.9 wrote this recording in format {number}; this pycarp can replay format 3 only; "
        "replay it with the pycarp that wrote it"
    )


def test_another_format_without_a_version_is_named() -> None:
    assert complaint([b'{"pycarp_recording":1}\n']).startswith("incident:1: an unknown pycarp wrote this recording in")


def test_a_file_that_ends_before_its_checkpoint_is_named() -> None:
    assert complaint(LINES[:1]).startswith("incident:2: there is no checkpoint")


def test_a_checkpoint_of_another_version_names_the_version() -> None:
    lines = changed(2, lambda line: line.update(checkpoint={"settings": {"sampling": 3}, "statistics": []}))

    assert complaint(lines) == (
        "incident:2: Settings has no 'sampling' (written by pycarp 0.1.0); replay it with the pycarp that wrote it"
    )


def test_a_line_that_is_cut_short_is_named_after_those_before_it() -> None:
    lines = [*LINES[:-1], LINES[-1][:20]]
    steps = Replay(played(lines)).steps()

    assert [next(steps).difference for _ in range(len(LINES) - 3)] == [None] * (len(LINES) - 3)
    with pytest.raises(RecordingError, match=r"^incident:11: the line is cut short; .*; delete this line"):
        next(steps)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"in": {"is": "Nonsense"}}, "'Nonsense' is none of DatagramReceived, "),
        ({"in": {"is": {}}}, "{} is none of DatagramReceived, "),
        ({"in": {"is": "HostRemoved"}}, "HostRemoved lacks 'key'"),
        ({"in": {"is": "HostRemoved", "key": ["fxp0"]}}, "['fxp0'] has 1 items instead of 2"),
        ({"in": {"is": "HostRemoved", "key": ["fxp0", True]}}, "True where int belongs"),
        ({"in": {"is": "StateForced", "key": ["fxp0", 1], "state": "OTHER"}}, "'OTHER' is no State"),
        ({"in": {"is": "DemotionSet", "scope": 3, "cause": "x", "amount": 1}}, "3 is not expected here"),
        ({"in": 7}, "7 is not expected here"),
        ({"at": "x"}, "Expected `int`, got `str` - at `$.at`"),
        ({"at": 0}, "time goes back from 1"),
        ({"more": 0}, "Object contains unknown field `more`"),
        ({"in": {"is": "HostAdded", "config": {"interface": "x"}}}, "HostConfig lacks 'vhid'"),
        (
            {
                "in": {
                    "is": "HostAdded",
                    "config": {"interface": "x", "vhid": 300, "passphrase": "x", "addresses": ["192.0.2.1"]},
                }
            },
            "vhid 300 is outside 1-255",
        ),
    ],
    ids=str,
)
def test_a_broken_line_is_named(change: dict[str, object], what: str) -> None:
    told = complaint(changed(6, lambda line: line.update(change)))

    assert told.startswith(f"incident:6: {what}")
    assert told.endswith("; delete this line and those below it")


@settings(max_examples=200, deadline=None)
@given(number=st.integers(0, len(LINES) - 1), at=st.integers(0, 500), octets=st.binary(max_size=4))
def test_broken_files_raise_nothing_else(number: int, at: int, octets: bytes) -> None:
    line = LINES[number]
    at %= len(line)
    lines = [*LINES[:number], line[:at] + octets + line[at + len(octets) :], *LINES[number + 1 :]]

    try:
        list(Replay(played(lines)).steps())
    except RecordingError as exc:
        assert str(exc).startswith("incident")  # noqa: PT017  that nothing else comes is what is tested


def test_a_real_passphrase_cannot_be_written() -> None:
    with pytest.raises(RecordingError, match="not a throw-away one"):
        pack_input(HostAdded(config()))
    with pytest.raises(RecordingError, match="not a throw-away one"):
        pack_checkpoint(master().engine.checkpoint())


def test_a_checkpoint_is_the_same_after_reading() -> None:
    kept = recorded(a_takeover())
    assert kept.checkpoint is not None
    writer = Writer(kept.checkpoint, entropy=entropy(5))
    for entry in kept.entries:
        writer.line(entry)
    lines = writer.opening(version="0.1.0", at_ns=0, wall_ns=WALL_NS).splitlines(keepends=True)

    checkpoint = played(lines).checkpoint

    assert checkpoint == unpack_checkpoint(pack_checkpoint(checkpoint))
    (host,) = checkpoint.hosts
    assert (host.host.epoch, len(text_of(host.host.config.passphrase))) == (2, 18)
