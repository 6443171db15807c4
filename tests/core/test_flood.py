"""When a link is flooded, in virtual time: counts in, the numbers for a filter out."""

from pycarp.core.flood import CALM_NS, USELESS_PER_S_MAX, FloodCounts, FloodDetector
from pycarp.vocabulary import NS_PER_S


class Link:
    """A link on which packets arrive at a rate, of which as many are read as the filter passes."""

    def __init__(self, *, speed: int = 30_000) -> None:
        self.now_ns = 0
        self.detector = FloodDetector(FloodCounts(0, 0), 0, 0)
        self.changes: list[bool] = []
        self._read = [0.0, 0.0]
        self._speed = speed

    def run(self, seconds: float, *, useless: int = 0, repeated: int = 0) -> None:
        """Count packets at given rates for some seconds, up to the reading speed, and judge every ten milliseconds."""
        for _ in range(round(seconds * 100)):
            self.now_ns += NS_PER_S // 100
            rates = ((useless, self.detector.every), (repeated, self.detector.every_repeated))
            for index, (rate, every) in enumerate(rates):
                self._read[index] += min(rate / every, self._speed) / 100
            if self.detector.judge(FloodCounts(int(self._read[0]), int(self._read[1])), self.now_ns):
                self.changes.append(self.detector.is_on)


def test_a_thousand_packets_a_second_are_all_looked_at() -> None:
    link = Link()
    link.run(20, useless=1000)

    assert not link.changes
    assert link.detector.every == 1


def test_a_flood_is_noticed_within_a_tenth_of_a_second() -> None:
    link = Link()
    link.run(0.1, useless=100_000)

    assert link.changes == [True]


def test_in_a_flood_no_more_is_read_than_can_be_afforded() -> None:
    link = Link()
    link.run(5, useless=100_000)

    assert 100_000 / link.detector.every <= USELESS_PER_S_MAX
    assert link.detector.every == 64


def test_a_flood_that_overruns_the_reader_is_found_out_step_by_step() -> None:
    link = Link(speed=3000)
    link.run(5, useless=1_000_000)

    assert 1_000_000 / link.detector.every <= USELESS_PER_S_MAX


def test_repeated_packets_are_thinned_out_by_themselves() -> None:
    link = Link()
    link.run(5, repeated=100_000)

    assert link.detector.every == 1
    assert link.detector.every_repeated == 64


def test_a_flood_begins_and_ends_once() -> None:
    link = Link()
    link.run(60, useless=100_000)
    link.run(60)

    assert link.changes == [True, False]
    assert (link.detector.every, link.detector.every_repeated) == (1, 1)


def test_a_pause_shorter_than_the_calm_ends_nothing() -> None:
    link = Link()
    link.run(5, useless=100_000)
    link.run(CALM_NS / NS_PER_S - 2)
    link.run(5, useless=100_000)

    assert link.changes == [True]


def test_after_a_long_sleep_the_time_that_passed_counts() -> None:
    """A process that was stopped finds its queue full, which is no flood."""
    detector = FloodDetector(FloodCounts(0, 0), 0, 0)

    assert not detector.judge(FloodCounts(1000, 0), 60 * NS_PER_S)
