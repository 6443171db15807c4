"""What is counted of events, for metrics."""

from pycarp.core.events import LoopStalled
from pycarp.daemon.tallies import Tallies
from pycarp.vocabulary import HostKey

MS = 1_000_000


def test_two_stalls_of_which_each_host_tells_at_once_count_twice() -> None:
    tallies = Tallies()

    for vhid in (1, 2):
        for at_ns in (5, 6):
            tallies.take(LoopStalled(key=HostKey("fxp0", vhid), at_ns=at_ns, late_ns=300 * MS))

    assert tallies.stalls == 2
    assert tallies.stalled_s == 0.6
