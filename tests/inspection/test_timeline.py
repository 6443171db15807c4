"""Takeovers, bow-outs, silences and double masters are told from each other."""

from ipaddress import IPv4Address

from pycarp.auth.key import Passphrase
from pycarp.inspection.authenticity import SharedSecret
from pycarp.inspection.inspector import Inspector
from pycarp.inspection.timeline import Timeline, TimelineKind
from pycarp.vocabulary import NS_PER_S, Address
from tests.support.carp_packets import ONE, SECRET, SHARED, TWO, captured, frame, ip_packet, payload

THREE = IPv4Address("192.168.1.12")


class Segment:
    """A segment on which one listens."""

    def __init__(self, secret: SharedSecret | None = SECRET) -> None:
        self.timeline = Timeline()
        self._inspector = Inspector(secret=secret)
        self._counter = 0

    def says(self, source: Address, *times_s: float, advskew: int = 0, advbase: int = 1) -> None:
        for at_s in times_s:
            self._counter += 1
            octets = frame(ip_packet(payload(self._counter, advskew=advskew, advbase=advbase), source=source))
            explanation = self._inspector.explain(captured(octets, at_s=at_s))
            assert explanation is not None
            self.timeline.add(explanation)

    def told(self, until_s: float) -> list[tuple[TimelineKind, str]]:
        self.timeline.finish(round(until_s * NS_PER_S))
        return [(each.kind, each.words) for each in self.timeline.entries]


def test_a_steady_master_is_told_once() -> None:
    segment = Segment()

    segment.says(ONE, *range(20))

    assert segment.told(20) == [(TimelineKind.FIRST_HEARD, "192.168.1.10 is master when first heard")]


def test_a_takeover_after_a_bow_out() -> None:
    segment = Segment()
    segment.says(ONE, 0, 1)
    segment.says(ONE, 1.5, advbase=255, advskew=255)
    segment.says(TWO, 1.6, 2.9, advskew=100)

    assert segment.told(3)[1:] == [
        (TimelineKind.BOW_OUT, "192.168.1.10 bows out"),
        (TimelineKind.TAKEOVER, "192.168.1.11 takes over from 192.168.1.10, which had bowed out"),
    ]


def test_a_takeover_after_silence_says_how_long() -> None:
    segment = Segment()
    segment.says(ONE, 0, 1)
    segment.says(TWO, 4.39, 5.78, advskew=100)

    assert segment.told(6)[1:] == [
        (TimelineKind.TAKEOVER, "192.168.1.11 takes over from 192.168.1.10, which was silent for 3.390 s")
    ]


def test_preemption_is_told_by_the_intervals() -> None:
    segment = Segment()
    segment.says(TWO, 0, 1.39, advskew=100)
    segment.says(ONE, 1.4, 2.4, 3.4, 4.4)

    assert segment.told(5)[1:] == [
        (
            TimelineKind.TAKEOVER,
            "192.168.1.10 takes over from 192.168.1.11, preempting: 1.000 s between advertisements instead of 1.391 s",
        )
    ]


def test_the_farewell_of_ucarp_makes_no_double_master() -> None:
    segment = Segment()
    segment.says(TWO, 0, 1.39, advskew=100)
    segment.says(ONE, 1.4)
    segment.says(TWO, 1.41, advskew=100)
    segment.says(ONE, 2.4, 3.4, 4.4, 5.4)

    assert [kind for kind, _words in segment.told(6)] == [TimelineKind.FIRST_HEARD, TimelineKind.TAKEOVER]


def test_two_masters_are_told_and_their_end_too() -> None:
    segment = Segment()
    for second in range(5):
        segment.says(ONE, second)
        segment.says(TWO, second + 0.5)
    segment.says(ONE, 5, 6, 7)

    assert segment.told(8)[1:] == [
        (TimelineKind.TWO_MASTERS, "192.168.1.10 and 192.168.1.11 are both master"),
        (TimelineKind.ONE_MASTER, "192.168.1.10 alone is master again"),
    ]


def test_two_masters_at_the_end_are_both_named() -> None:
    segment = Segment()
    for second in range(5):
        segment.says(ONE, second)
        segment.says(TWO, second + 0.5)
    segment.timeline.finish(5 * NS_PER_S)

    assert list(segment.timeline.masters().values()) == [(ONE, TWO)]


def test_silence_within_and_at_the_end_is_told() -> None:
    segment = Segment()
    segment.says(ONE, 0, 1, 11, 12)

    assert segment.told(20)[1:] == [
        (TimelineKind.SILENCE, "192.168.1.10 is heard again after 10.000 s of silence"),
        (TimelineKind.SILENCE, "192.168.1.10 is not heard any more"),
    ]


def test_a_forged_advertisement_moves_nothing() -> None:
    segment = Segment(SharedSecret(passphrase=Passphrase("other"), addresses=(SHARED,)))
    segment.says(ONE, 0, 1, 2)

    assert segment.told(3) == []


def test_the_memory_is_bounded() -> None:
    segment = Segment()
    for second in range(700):
        segment.says(ONE, 10 * second)
        segment.says(TWO, 10 * second + 5)

    assert len(segment.told(7000)) == 1000
    assert segment.timeline.dropped > 0
